"""The names of checkpoints, and what they stand for.

A run's folder S has its checkpoints in S/train, and the best of those that were evaluated in S/test/best.
"""

import math
import re
from pathlib import Path

from models import pretrained
from runner.flags import UserError, user_errors
from runner.run_config import PRETRAINED

INDEX, DATA, SUMS = ".index", ".data-00000-of-00001", ".sha256"
NAME = re.compile(r"model\.ckpt-(0|[1-9][0-9]*)")


class CheckpointError(UserError):
    """A checkpoint that cannot be used or written."""


class MissingCheckpoint(CheckpointError):
    """There is no such checkpoint; the training job that wrote it may have deleted it since."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that is cut short, corrupted, or has values that training never writes."""

    def __init__(self, checkpoint: str, reason: str):
        super().__init__(f"The checkpoint {checkpoint} is cut short or damaged: {reason}.")


def prefix(folder: Path, step: int) -> str:
    """A checkpoint's prefix: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path, last: float = math.inf) -> list[int]:
    """The steps of a folder's checkpoints up to `last`, in ascending order."""
    names = (NAME.fullmatch(path.name.removesuffix(INDEX)) for path in Path(folder).glob(f"model.ckpt-*{INDEX}"))
    return sorted(step for name in names if name and (step := int(name[1])) <= last)


def files(checkpoint: str) -> list[Path]:
    """The files of one of our checkpoints, which may not exist, in the order in which they are written."""
    return [Path(f"{checkpoint}{ending}") for ending in (DATA, SUMS, INDEX)]


def last_good(folder: Path, step: int) -> str:
    """Advice after a run has diverged: names its newest checkpoint of `step` steps or fewer."""
    good = steps(folder, step)
    found = f"The last good checkpoint is {prefix(folder, good[-1])}" if good else "No earlier checkpoint was saved"
    start = "start from it with --checkpoint" if good else "start again"
    return f"{found}: lower learning_rate and {start} in another --summary_dir."


def resolve(name: str, run: Path | None = None) -> str:
    """The prefix of the checkpoint with a given name.

    The name is a prefix `S/train/model.ckpt-STEP`, with or without `.index`; a folder with checkpoints, or with
    `train/`, for its newest checkpoint; `S/latest` or `S/best`, of `run` or the current folder if there is no S;
    `pretrained:NAME`, or a folder in the form of `pretrained/NAME`. MissingCheckpoint: there is none.
    """
    if name.startswith(PRETRAINED):
        try:
            return _shipped(pretrained.find(name.removeprefix(PRETRAINED)))
        except ValueError as error:
            raise MissingCheckpoint(str(error)) from None
    path = Path(re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", name))
    if Path(f"{path}{INDEX}").is_file():
        return str(path)
    if path.is_dir():
        folders = [path, path / "train"]
        if (path / pretrained.WEIGHTS).is_file():
            return _shipped(path)
    else:  # latest or best; a run may be called train or test, too
        runs = [(run or Path()) if len(path.parts) == 1 else path.parent]
        runs += [runs[0].parent] if runs[0].name in ("train", "test") else []
        folders = [each / {"latest": "train", "best": "test/best"}.get(path.name, "") for each in runs]
    found = next(((folder, own) for folder in folders if (own := steps(folder))), None)
    if found and (path.is_dir() or path.name in ("latest", "best")):
        return prefix(found[0], found[1][-1])
    others = f" {found[0]} has the steps {found[1][0]} to {found[1][-1]}." if found else ""
    best = " Evaluations with --validate keep the best checkpoint in test/best." if path.name == "best" else ""
    raise MissingCheckpoint(f"There is no checkpoint {path}.{others}{best}")


def _shipped(folder: Path) -> str:
    with user_errors():
        pretrained.read_config(folder)  # checks it; the weights are checked when they are read
    return str(folder / pretrained.WEIGHTS)


def run_folder(checkpoint: str) -> Path:
    """The run's folder (`summary_dir`) that a checkpoint is in: the one with `train/`, or the checkpoint's own.

    A pretrained network has no run; its outputs go to `runs/pretrained/NAME`.
    """
    if Path(checkpoint).name == pretrained.WEIGHTS:
        return Path("runs/pretrained") / Path(checkpoint).parent.name
    nearest = Path(checkpoint).absolute().parents[:3]  # S/train/model.ckpt-N or S/test/best/model.ckpt-N
    return next((folder for folder in nearest if (folder / "train").is_dir()), nearest[0])
