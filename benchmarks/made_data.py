"""Prepares data for every input pipeline in a folder: the user's files, or generated ones of the same format."""

import shutil
from pathlib import Path

import numpy as np

from input_data.mnist import mnist_shift
from input_data.norb.norb_input import NAMES

_SIZE = 2000  # examples of a generated data set


def make_all(folder: Path, mnist: Path, cifar10: Path | None) -> dict[str, list[str]]:
    """Returns the flags of `experiment.py` for each pipeline, by the pipeline's name.

    Args:
        folder: the folder for generated files.
        mnist: a folder with MNIST's gzipped IDX files.
        cifar10: a folder with CIFAR-10's binary files; None generates some.
    """
    records = folder / "records"
    records.mkdir()
    for path in mnist.glob("*.gz"):
        shutil.copyfile(path, records / path.name)
    mnist_shift.generate(str(records))
    pairs = mnist_shift.generate(str(records), shift=4, pad=4, multi_targets=True, num_pairs=1, max_shard=10000)
    return {
        "MNIST, IDX": [f"--data_dir={mnist}"],
        "MNIST, TFRecords": [f"--data_dir={records}"],
        "MultiMNIST, composed": [f"--data_dir={mnist}", "--num_targets=2"],
        "MultiMNIST, TFRecords": [f"--data_dir={_sharded(pairs)}", "--num_targets=2"],
        "affNIST, expanded MNIST": ["--dataset=affnist", f"--data_dir={mnist}"],
        "CIFAR-10": ["--dataset=cifar10", f"--data_dir={cifar10 or _cifar10(folder / 'cifar10')}"],
        "smallNORB, made": ["--dataset=norb", f"--data_dir={_norb(folder / 'norb')}"],
        "SVHN, made": ["--dataset=svhn", f"--data_dir={_svhn(folder / 'svhn')}"],
        "own images, made": ["--dataset=folder", f"--data_dir={_images(folder / 'images')}"],
    }


def _sharded(paths: list[Path]) -> str:
    return f"{str(paths[0]).rpartition('-00000-of-')[0]}@{len(paths)}"


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _cifar10(folder: Path) -> Path:
    folder.mkdir()
    for number in range(1, 6):
        batch = _pixels(_SIZE, 3073)
        batch[:, 0] = np.arange(_SIZE) % 10
        batch.tofile(folder / f"data_batch_{number}.bin")
    return folder


def _norb(folder: Path) -> Path:
    folder.mkdir()
    parts = {
        "dat": (_pixels(_SIZE, 2, 96, 96), 0x1E3D4C55),
        "cat": (np.arange(_SIZE, dtype="<i4") % 5, 0x1E3D4C54),
        "info": (np.zeros((_SIZE, 4), "<i4"), 0x1E3D4C54),
    }
    for part, (array, magic) in parts.items():
        head = np.array([magic, array.ndim, *array.shape, *[1] * (3 - array.ndim)], "<u4")
        (folder / NAMES["train"].format(part)).write_bytes(head.tobytes() + array.tobytes())
    return folder


def _svhn(folder: Path) -> Path:
    from scipy.io import savemat

    folder.mkdir()
    savemat(folder / "train_32x32.mat", {"X": _pixels(32, 32, 3, _SIZE), "y": np.arange(_SIZE)[:, None] % 10 + 1})
    return folder


def _images(folder: Path) -> Path:
    import tensorflow as tf

    for index, image in enumerate(_pixels(_SIZE // 4, 32, 32, 3)):
        path = folder / "train" / f"class{index % 5}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    return folder
