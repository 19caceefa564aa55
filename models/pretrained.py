"""Reads and writes the files of pretrained networks; each folder of `pretrained/` has one, with its card.

`config.json` describes the network, `weights.npz` has its weights by the names of a checkpoint and its `global_step`,
and `SHA256SUMS` has the checksums of both, which are checked each time a file is read.

In `weights.npz`, a float array [...] is stored as byte planes, uint8 [2 or 4, ...], from the lowest byte of each
float16 or float32 to the byte with its sign and exponent. In the last plane few values are frequent, so it compresses
well.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "pretrained"  # in a checkout and in the installed package alike
CONFIG, WEIGHTS, SUMS = "config.json", "weights.npz", "SHA256SUMS"


def names() -> list[str]:
    """The names of the pretrained networks."""
    return sorted(path.name for path in FOLDER.glob("*") if path.is_dir())


def find(name: str) -> Path:
    """The folder of a pretrained network.

    Raises:
        ValueError: there is no such network; the message lists the names.
    """
    if name in names():
        return FOLDER / name
    if not names():
        raise ValueError(
            f"There is no pretrained network {name!r}: {FOLDER} is missing or empty. "
            "Copy it from a checkout of the code."
        )
    raise ValueError(f"There is no pretrained network {name!r}. The networks are: {', '.join(names())}.")


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a network's `config.json`. Errors as `read_file`."""
    return json.loads(read_file(folder, CONFIG))


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a network by name, float32, and its number of training steps, "global_step", int64.

    Errors as `read_file`.
    """
    with np.load(io.BytesIO(read_file(folder, WEIGHTS)), allow_pickle=False) as archive:
        return {name: _from_planes(archive[name]) for name in archive.files}


def write_weights(path: Path, weights: Mapping[str, np.ndarray], step: int) -> None:
    """Writes `weights.npz`.

    Args:
        path: the file.
        weights: float16 or float32 arrays by name.
        step: number of training steps.
    """
    planes: dict[str, Any] = {name: _to_planes(values) for name, values in weights.items()}
    np.savez_compressed(path, **planes, global_step=np.int64(step))


def checksum_line(path: Path) -> str:
    """The line of a file in `SHA256SUMS`, in the format of the program sha256sum."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


def read_file(folder: Path, name: str) -> bytes:
    """The content of a file of a pretrained network, checked against `SHA256SUMS`.

    Raises:
        ValueError: the file is missing, cannot be read or does not match its checksum.
    """
    again = f"Copy {folder} again from a checkout of the code."
    try:
        content = (folder / name).read_bytes()
        sums = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The pretrained network {folder.name} cannot be read ({error}). {again}") from None
    if f"{hashlib.sha256(content).hexdigest()}  {name}" not in sums:
        raise ValueError(
            f"The pretrained network {folder.name} is damaged: {name} does not match its checksum in {SUMS}. {again}"
        )
    return content


def _to_planes(values: np.ndarray) -> np.ndarray:
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return np.moveaxis(stored[..., None].view(np.uint8), -1, 0)  # [bytes, ...]


def _from_planes(planes: np.ndarray) -> np.ndarray:
    if planes.dtype != np.uint8:
        return planes
    stored = np.ascontiguousarray(np.moveaxis(planes, 0, -1))  # [..., bytes]
    return stored.view(f"<f{len(planes)}")[..., 0].astype(np.float32)
