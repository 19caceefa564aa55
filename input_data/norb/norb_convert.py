"""Converts smallNORB's original files to the TFRecords of 2017.

    python input_data/norb/norb_convert.py --data_dir=FOLDER

Reads the `.mat` binary-matrix files, plain or gzipped, and writes trainduo.tfrecords and testduo.tfrecords beside them.
Format: https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/ — a magic number for the type, the number of dimensions, at
least three dimensions, then the values, all little-endian.
"""

import math
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from input_data.dataset import DataError, check_labels
from input_data.flags import exit_code, flag, parse
from input_data.formats.files import atomic_write, check_disk, read_sized, refuse_to_overwrite
from input_data.formats.record_writer import record
from input_data.progress import track
from input_data.startup import load_tensorflow

_TYPES = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
_OVERHEAD = 180  # bytes of a record besides its pixels
NAMES = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training-{}.mat",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing-{}.mat",
}


def read_matrix(path: Path, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns the array in a binary-matrix file, `.gz` or plain.

    Args:
        path: the file.
        dtype: "u1" or "<i4".
        shape: the shape that it must have, where None is any size.

    Raises:
        DataError: the magic number, the shape or the length is wrong, or the length exceeds the limit.
    """
    start = 4 * (2 + max(3, len(shape)))  # at least three dimensions are written
    actual: tuple[int, ...] = ()

    def length(head: bytes) -> int:
        nonlocal actual
        numbers = np.frombuffer(head[: len(head) // 4 * 4], "<u4").tolist()
        magic, dimensions = numbers[:2] if len(numbers) > 1 else (0, 0)
        if _TYPES.get(magic) != np.dtype(dtype):
            raise DataError(f"{path} should begin with the magic number of type {dtype}. Received {magic:#010x}.")
        actual = tuple(numbers[2 : 2 + min(dimensions, len(numbers))])
        if len(actual) != len(shape) or any(size not in (None, got) for size, got in zip(shape, actual, strict=True)):
            raise DataError(f"{path} should have the dimensions {shape}. Received {actual}.")
        return start + math.prod(actual) * np.dtype(dtype).itemsize

    content = read_sized(path, start, length)
    return np.frombuffer(content, dtype, offset=start).reshape(actual)


def _find(folder: Path, name: str) -> Path:
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder} lacks {name}[.gz].")
    return path


def convert(folder: Path, split: str, overwrite: bool = False) -> Path:
    """Writes a split's records and returns their path.

    Args:
        folder: the folder of the original files.
        split: train or test.
        overwrite: whether to replace an existing file.

    Raises:
        DataError: files are missing or damaged, the records exist already, or the disk is full.
    """
    from tensorflow.train import BytesList, Example, Feature, Features, Int64List

    target = folder / f"{split}duo.tfrecords"
    if not overwrite:
        refuse_to_overwrite([target])
    paths = {kind: _find(folder, NAMES[split].format(kind)) for kind in ("dat", "cat", "info")}
    images = read_matrix(paths["dat"], "u1", (None, 2, 96, 96))
    labels = read_matrix(paths["cat"], "<i4", (len(images),))
    meta = read_matrix(paths["info"], "<i4", (len(images), 4))
    check_labels(labels, 5, str(paths["cat"]))
    check_disk(folder, len(images) * (images[0].nbytes + _OVERHEAD))
    with atomic_write(target) as (draft,), draft.open("wb") as file:
        for image, label, info in zip(track(images, len(images), "pair", lambda _: 1), labels, meta, strict=True):
            numbers = {"label": [label], "height": [96], "width": [96], "depth": [2], "meta": info}
            feature = {name: Feature(int64_list=Int64List(value=value)) for name, value in numbers.items()}
            feature["image_raw"] = Feature(bytes_list=BytesList(value=[image.tobytes()]))
            file.write(record(Example(features=Features(feature=feature)).SerializeToString(deterministic=True)))
    return target


@dataclass(frozen=True)
class ConvertConfig:
    """The flags of `norb_convert.py`."""

    data_dir: str = flag(MISSING, "folder of the .mat files; the records go there too", path=True, metavar="DIR")
    overwrite: bool = flag(False, "replace existing files")


def main(arguments: list[str]) -> int:
    """Runs the script and returns its exit code."""
    program = "norb_convert.py"
    config = parse(ConvertConfig, arguments, program, "Converts smallNORB's original files to the TFRecords of 2017.")

    def job() -> int:
        load_tensorflow()
        for split in NAMES:
            print(f"Wrote {convert(Path(config.data_dir), split, config.overwrite)}")
        return 0

    return exit_code(program, job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
