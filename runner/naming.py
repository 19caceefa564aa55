"""Resolves a checkpoint's name: a run's folder, its newest or best checkpoint, a step, or a pretrained network."""

import re
from pathlib import Path

from models import pretrained
from runner import checkpoints
from runner.flags import user_errors
from runner.run_config import PRETRAINED

_ENDING = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def resolve(name: str, run: Path | None = None) -> str:
    """The prefix of the checkpoint with a given name.

    Args:
        name: a checkpoint's prefix `S/train/model.ckpt-STEP`, with or without `.index`; a folder with checkpoints, or
            with `train/`, for its newest checkpoint; `S/latest` or `S/best`; `pretrained:NAME`, or a folder in the form
            of `pretrained/NAME`.
        run: the run that `latest` and `best` without a folder refer to; None: the current folder.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        UserError: the files of the pretrained network are damaged.
    """
    if name.startswith(PRETRAINED):
        try:
            return _shipped(pretrained.find(name.removeprefix(PRETRAINED)))
        except ValueError as error:
            raise checkpoints.MissingCheckpoint(str(error)) from None
    path = Path(_ENDING.sub("", name))
    if Path(f"{path}{checkpoints.INDEX}").is_file():
        return str(path)
    if path.is_dir():
        for folder in (path, path / "train"):
            if found := checkpoints.steps(folder):
                return checkpoints.prefix(folder, found[-1])
        if (path / pretrained.WEIGHTS).is_file():
            return _shipped(path)
        raise checkpoints.MissingCheckpoint(f"There is no checkpoint in {path} or in {path / 'train'}.")
    if path.name in ("latest", "best"):
        return _by_name(path.name, (run or Path()) if len(path.parts) == 1 else path.parent)
    found = checkpoints.steps(path.parent)
    others = f" {path.parent} has the steps {found[0]} to {found[-1]}." if found else ""
    raise checkpoints.MissingCheckpoint(f"There is no checkpoint {path} ({path}.index does not exist).{others}")


def _shipped(folder: Path) -> str:
    with user_errors():
        pretrained.read_config(folder)  # checks it; the weights are checked when they are read
    return str(folder / pretrained.WEIGHTS)


def _by_name(name: str, run: Path) -> str:
    runs = [run, run.parent] if run.name in ("train", "test") else [run]  # a run may be called so, too
    for each in runs:
        folder = each / "train" if name == "latest" else each / "test" / "best"
        if found := checkpoints.steps(folder):
            return checkpoints.prefix(folder, found[-1])
    reason = "" if name == "latest" else " Evaluations with --validate keep the best checkpoint in test/best."
    raise checkpoints.MissingCheckpoint(f"{run} has no {name} checkpoint.{reason}")


def run_folder(checkpoint: str) -> Path:
    """The run's folder (`summary_dir`) that a checkpoint is in: the one with `train/`, or the checkpoint's own.

    A pretrained network has no run; its outputs go to `runs/pretrained/NAME`.
    """
    if Path(checkpoint).name == pretrained.WEIGHTS:
        return Path("runs/pretrained") / Path(checkpoint).parent.name
    nearest = Path(checkpoint).absolute().parents[:3]  # S/train/model.ckpt-N or S/test/best/model.ckpt-N
    return next((folder for folder in nearest if (folder / "train").is_dir()), nearest[0])
