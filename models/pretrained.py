"""Reads and writes the files of pretrained networks; each folder of `pretrained/` has one, with its card.

`config.json` describes the network, `weights.npz` has its weights by the names of a checkpoint and its `global_step`,
and `SHA256SUMS` has the checksums of both, which are checked each time a file is read.

In `weights.npz`, a float array [...] is stored as byte planes, uint8 [2 or 4, ...], from the lowest byte of each
float16 or float32 to the highest, which compress better.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "pretrained"  # in a checkout and in the installed package alike
CONFIG, WEIGHTS, SUMS = "config.json", "weights.npz", "SHA256SUMS"
_COPY = "Copy the folder again from a checkout of the code."
AVERAGE = "/ExponentialMovingAverage"  # after a weight's name: its moving average, as TF 1 named it


def names() -> list[str]:
    """The names of the pretrained networks."""
    return sorted(path.name for path in FOLDER.glob("*") if path.is_dir())


def find(name: str | Path) -> Path:
    """The folder of a pretrained network, from its name or from its path; a ValueError lists the names."""
    if name in names():
        return FOLDER / name
    if (Path(name) / WEIGHTS).is_file():
        return Path(name)
    known = f"The networks are: {', '.join(names())}." if names() else f"{FOLDER} is missing or empty. {_COPY}"
    raise ValueError(f"There is no pretrained network {str(name)!r}. {known}")


def read(name: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The config and the weights by name of a pretrained network, or of the newest checkpoint of a run's folder.

    ValueError: there is no such network, or its files are missing or damaged.
    """
    train = Path(name) / "train"
    checkpoints = [path.with_suffix("") for path in train.glob("model.ckpt-*.index")]
    if name in names() or not checkpoints:
        folder = find(name)
        return json.loads(read_file(folder, CONFIG)), read_weights(folder)
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(max(checkpoints, key=lambda path: int(path.name.rpartition("-")[2]))))
        weights = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map() if "/Adam" not in key}
        averaged = {key.removesuffix(AVERAGE): value for key, value in weights.items() if key.endswith(AVERAGE)}
        return json.loads((train / CONFIG).read_text(encoding="utf-8")), weights | averaged
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ValueError(f"The run in {name} cannot be read: {error}") from None


def write(folder: str | Path, config: Mapping[str, Any], weights: Mapping[str, np.ndarray], step: int) -> None:
    """Writes a network's three files into a folder, each completely or not at all.

    Args:
        folder: a new or empty folder, or one that holds a network of this form; another one is a ValueError.
        config: the content of config.json, at least flags, hparams, image_shape and class_names.
        weights: float16 or float32 arrays by the names of a checkpoint.
        step: number of training steps.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / WEIGHTS).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something else than a network. Give the name of a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as name:
        draft = Path(name)
        (draft / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        planes: dict[str, Any] = {each: _to_planes(values) for each, values in weights.items()}
        np.savez_compressed(draft / WEIGHTS, **planes, global_step=np.int64(step))
        (draft / SUMS).write_text(checksum_line(draft / CONFIG) + checksum_line(draft / WEIGHTS), encoding="utf-8")
        for each in (CONFIG, WEIGHTS, SUMS):
            os.replace(draft / each, folder / each)


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The float32 weights of a network by name, and its "global_step", the number of steps; errors as `read_file`."""
    with np.load(io.BytesIO(read_file(folder, WEIGHTS)), allow_pickle=False) as archive:
        return {name: _from_planes(archive[name]) for name in archive.files}


def checksum_line(path: Path) -> str:
    """The line of a file in `SHA256SUMS`, in the format of the program sha256sum."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


def read_file(folder: Path, name: str) -> bytes:
    """The content of a file of a pretrained network; a ValueError if it is missing or does not fit `SHA256SUMS`."""
    try:
        content = (folder / name).read_bytes()
        if f"{hashlib.sha256(content).hexdigest()}  {name}\n" in (folder / SUMS).read_text(encoding="utf-8"):
            return content
        problem = f"{name} does not match its checksum"
    except (OSError, UnicodeDecodeError) as error:
        problem = str(error)
    raise ValueError(f"The pretrained network {folder.name} is damaged: {problem}. {_COPY}")


def _to_planes(values: np.ndarray) -> np.ndarray:
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return np.moveaxis(stored[..., None].view(np.uint8), -1, 0)  # [bytes, ...]


def _from_planes(planes: np.ndarray) -> np.ndarray:
    if planes.dtype != np.uint8:
        return planes
    stored = np.ascontiguousarray(np.moveaxis(planes, 0, -1))  # [..., bytes]
    return stored.view(f"<f{len(planes)}")[..., 0].astype(np.float32)
