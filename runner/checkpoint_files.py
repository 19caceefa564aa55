"""The files of checkpoints: their names, and a reader that gives a checkpoint as a dict of arrays, whoever wrote it.

A checkpoint is a TF 1 Saver file (V2 bundle: `.index` and `.data-00000-of-00001`). Each of ours also has a file
`.sha256`, as the program sha256sum writes it, which is checked before TensorFlow reads the others: its reader can end
the process on a damaged index.
"""

import hashlib
import math
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from models import pretrained
from runner.flags import UserError

INDEX, DATA, SUMS = ".index", ".data-00000-of-00001", ".sha256"
OUR_NAME = re.compile(r"model\.ckpt-(0|[1-9][0-9]*)")
_PLAIN = re.compile(r"[\w./~+=,@: -]*", re.ASCII)  # TensorFlow's reader takes other names for patterns
Arrays = dict[str, np.ndarray]


class CheckpointError(UserError):
    """A checkpoint that cannot be used or written."""


class MissingCheckpoint(CheckpointError):
    """There is no such checkpoint; the training job that wrote it may have deleted it since."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint that is cut short, corrupted, or has values that training never writes."""


def prefix(folder: Path, step: int) -> str:
    """A checkpoint's prefix: the path of its files without their endings."""
    return str(Path(folder) / f"model.ckpt-{step}")


def steps(folder: Path, last: float = math.inf) -> list[int]:
    """The steps of a folder's checkpoints up to `last`, in ascending order."""
    names = (OUR_NAME.fullmatch(path.name.removesuffix(INDEX)) for path in Path(folder).glob(f"model.ckpt-*{INDEX}"))
    return sorted(step for name in names if name and (step := int(name[1])) <= last)


def files(checkpoint: str) -> list[Path]:
    """The files of one of our checkpoints, which may not exist, in the order in which they are written."""
    return [Path(f"{checkpoint}{ending}") for ending in (DATA, SUMS, INDEX)]


def minutes(checkpoint: str) -> float:
    """The minutes of training until one of our checkpoints; 0 if that was not written."""
    path = files(checkpoint)[1]
    found = re.search(r"^# ([\d.]+) minutes", path.read_text(encoding="utf-8"), re.M) if path.is_file() else None
    return float(found[1]) if found else 0.0


def last_good(folder: Path, step: int) -> str:
    """Advice after a run has diverged: names its newest checkpoint of `step` steps or fewer."""
    good = steps(folder, step)
    if not good:
        return "No earlier checkpoint was saved: lower learning_rate and start again in another --summary_dir."
    return (
        f"The last good checkpoint is {prefix(folder, good[-1])}: lower learning_rate and start from it with "
        "--checkpoint in another --summary_dir."
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(checkpoint: str) -> Arrays:
    """The arrays of a checkpoint by name: one of ours, one of 2017, or the weights of a pretrained network.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`, or `…/weights.npz` in a folder in the form of `pretrained/NAME`.

    Raises:
        MissingCheckpoint: there is no such checkpoint.
        DamagedCheckpoint: it is cut short or does not fit its checksum.
    """
    path = Path(checkpoint)
    if path.name == pretrained.WEIGHTS:
        try:
            return pretrained.read_weights(path.parent)
        except ValueError as error:
            raise DamagedCheckpoint(str(error)) from None
    if not Path(checkpoint + INDEX).is_file():
        raise MissingCheckpoint(f"There is no checkpoint {checkpoint} ({checkpoint}{INDEX} does not exist).")
    try:
        if (sums := Path(checkpoint + SUMS)).is_file():
            for line in sums.read_text(encoding="utf-8").splitlines():
                digest, _, name = line.partition("  ")
                if not line.startswith("#") and sha256(path.with_name(name)) != digest:
                    raise damaged(checkpoint, f"{name} does not fit its checksum")
        if _PLAIN.fullmatch(checkpoint):
            return _read_bundle(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            for file in path.parent.iterdir():
                if file.name.startswith(f"{path.name}."):
                    link = f"{folder}/model.ckpt{file.name.removeprefix(path.name)}"
                    os.symlink(file.absolute(), link)
            return _read_bundle(f"{folder}/model.ckpt")
    except (tf.errors.OpError, FileNotFoundError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        if not Path(checkpoint + INDEX).is_file():
            raise MissingCheckpoint(f"The checkpoint {checkpoint} was deleted while it was read.") from None
        raise damaged(checkpoint, getattr(error, "message", None) or str(error)) from None


def _read_bundle(checkpoint: str) -> Arrays:
    reader = tf.train.load_checkpoint(checkpoint)
    return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}


def damaged(checkpoint: str, reason: str) -> DamagedCheckpoint:
    """The error for a checkpoint whose files are not what was written."""
    return DamagedCheckpoint(f"The checkpoint {checkpoint} is cut short or damaged: {reason}.")
