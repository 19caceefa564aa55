"""Resolves a checkpoint's name: a run's folder, its newest or best checkpoint, a step, or a pretrained network."""

import re
from pathlib import Path

from models import pretrained
from runner import checkpoints
from runner.run_config import PRETRAINED

_ENDING = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def resolve(name: str, run: Path | None = None) -> str:
    """The prefix of the checkpoint with a given name.

    Args:
        name: a checkpoint's prefix `S/train/model.ckpt-STEP`, with or without `.index`; a folder with checkpoints, or
            with `train/`, for its newest checkpoint; `S/latest` or `S/best`; or `pretrained:NAME`.
        run: the run that `latest` and `best` without a folder refer to; None: the current folder.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        ValueError: the files of the pretrained network are damaged.
    """
    if name.startswith(PRETRAINED):
        return _shipped(name.removeprefix(PRETRAINED))
    path = Path(_ENDING.sub("", name))
    if _exists(path):
        return str(path)
    if path.is_dir():
        for folder in (path, path / "train"):
            if checkpoints.steps(folder):
                return _newest(folder)
        raise checkpoints.MissingCheckpoint(f"There is no checkpoint in {path} or in {path / 'train'}.")
    if path.name in ("latest", "best"):
        parent = (run or Path()) if len(path.parts) == 1 else path.parent
        return _by_name(path.name, parent)
    raise checkpoints.MissingCheckpoint(
        f"There is no checkpoint {path} ({path}.index does not exist).{_others(path.parent)}"
    )


def _shipped(name: str) -> str:
    try:
        folder = pretrained.find(name)
    except ValueError as error:
        raise checkpoints.MissingCheckpoint(str(error)) from None
    pretrained.read_config(folder)  # checks it; the weights are checked when they are read
    return str(folder / pretrained.WEIGHTS)


def _exists(prefix: Path) -> bool:
    return Path(f"{prefix}.index").is_file()


def _newest(folder: Path) -> str:
    return checkpoints.prefix(folder, checkpoints.steps(folder)[-1])


def _by_name(name: str, run: Path) -> str:
    run = run.parent if run.name in ("train", "test") else run
    folder = run / "train" if name == "latest" else run / "test" / "best"
    if checkpoints.steps(folder):
        return _newest(folder)
    reason = "" if name == "latest" else " Evaluations with --validate keep the best checkpoint there."
    raise checkpoints.MissingCheckpoint(f"{run} has no {name} checkpoint: {folder} has no checkpoint.{reason}")


def _others(folder: Path) -> str:
    """A sentence about the checkpoints that a folder does have."""
    steps = checkpoints.steps(folder)
    return f" {folder} has the steps {steps[0]} to {steps[-1]}." if steps else ""
