"""Damaged and wrong files of every data set are refused by a sentence that says what was expected and received."""

import gzip
import os
import pickle

import numpy as np
import pytest
from scipy.io import savemat

from input_data import DataError, Options, open_split
from input_data.cifar10.cifar10_test import write as write_binary
from input_data.mnist.mnist_test import digits, write_idx
from input_data.mnist.sources_test import write_csv
from input_data.norb.norb_input import NAMES
from input_data.norb.norb_test import write_matrices

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


def idx(name, change, packed=False):
    """MNIST's files, of which one is changed, before or after it is packed."""

    def write(folder):
        write_idx(folder, *digits(), "test")
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(change(content) if packed else gzip.compress(change(gzip.decompress(content))))

    return "mnist", "", write


def table(change):
    """A table of digits with a changed text."""

    def write(folder):
        write_csv(folder / "csv", "mnist", heading=False)
        path = folder / "csv/mnist_test.csv"
        path.write_text(change(path.read_text()), encoding="utf-8")

    return "mnist", "csv", write


def arrays(**change):
    """A file of own images in Keras' layout with some other arrays; None: left out."""
    whole = {f"x_{part}": np.zeros((3, 9, 7), np.uint8) for part in ("train", "test")}
    whole |= {f"y_{part}": np.array([0, 1, 0]) for part in ("train", "test")}
    kept = {name: array for name, array in (whole | change).items() if array is not None}
    return "folder", "own.npz", lambda folder: np.savez(folder / "own.npz", **kept)


def matlab(dataset, name, content):
    """A file of MATLAB, or of these bytes."""
    if isinstance(content, bytes):
        return dataset, "", lambda folder: (folder / name).write_bytes(content)
    return dataset, "", lambda folder: savemat(folder / name, content)


def norb(keep=None, **change):
    """smallNORB's matrices, of which one is another or is cut."""

    def write(folder):
        write_matrices(folder, np.zeros((10, 2, 96, 96), np.uint8), **change)
        path = folder / NAMES["test"].format(*change)
        path.write_bytes(path.read_bytes()[:keep])

    return "norb", "", write


def cifar(content):
    """A test batch of CIFAR-10's Python version."""
    return "cifar10", "", lambda folder: (folder / "test_batch").write_bytes(pickle.dumps(content))


SVHN = np.zeros((32, 32, 3, 2), np.uint8)
FAULTS = [
    (idx(IMAGES, lambda c: b"\0\0\x0d\3" + c[4:]), "should begin with 00 00 08 03 .* Received 00 00 0d 03"),
    (idx(IMAGES, lambda c: c[:-1]), "1,096 bytes, as its header says. Received 1,095"),
    (idx(IMAGES, lambda c: b""), "Received an empty file"),
    (idx(LABELS, lambda c: c[:7] + b"\x1d" + c[8:-1]), "each of 30 images. Received uint8 .29."),
    (idx(IMAGES, lambda c: c[:-40], packed=True), "cut short or damaged"),
    (table(lambda text: text.replace("3,", "3.5,", 1)), "mnist_test.csv is missing, damaged or of another format"),
    (table(lambda text: text.replace(",3", ",256", 1)), "784 pixels from 0 to 255"),
    (table(lambda text: text.replace("0,", "12,", 1)), "from 0 to 9. Received 12 at index 0"),
    (table(lambda text: ",".join(["id", "label", *map(str, range(783))]) + "\n" + text), "2 such names: id, label"),
    (arrays(x_test=np.zeros((3, 9, 7), np.float32)), r"should have images uint8 .* Received float32 \[3, 9, 7, 1\]"),
    (arrays(y_test=np.array([0, 1, 0.5])), "whole numbers from 0 to 1. Received 0.5 at index 2"),
    (arrays(y_test=np.array([0, 1, None])), "own.npz is missing, damaged or of another format"),
    (arrays(x_test=None), "should have the arrays x_train, .* Received x_train, y_test, y_train"),
    (matlab("svhn", "test_32x32.mat", {"X": SVHN, "y": [[1], [11]]}), "from 1 to 10. Received 11 at index 1"),
    (matlab("svhn", "test_32x32.mat", b""), "test_32x32.mat is missing, damaged or of another format"),
    (matlab("affnist", "test.mat", {"affNISTdata": {"image": np.zeros((1600, 2))}}), "lacks the array label_int"),
    (norb(dat=(np.zeros((10, 2, 96, 96)), "<i4")), "should begin with 55 4c 3d 1e .* Received 54 4c 3d 1e"),
    (norb(dat=(np.zeros((10, 2, 96, 96)), "u1"), keep=-1), "cut short or damaged"),
    (("norb", "", lambda folder: None), "needs testduo.tfrecords, or smallnorb-5x01235x9x18x6x2x96x96-testing-dat"),
    (("cifar10", "", lambda folder: (folder / "test_batch.bin").write_bytes(b"x" * 5000)), "bytes. Received 5,000"),
    (("cifar10", "", lambda folder: write_binary(folder, "test_batch.bin", first=9)), "Received 10 at index 1"),
    (("cifar10", "", lambda folder: None), "has no CIFAR-10. Looked for: .*test_batch.bin"),
    (cifar(os.system), "uses (posix|nt).system, which is not allowed"),
]


@pytest.mark.parametrize(("made", "words"), FAULTS)
def test_wrong_files_are_refused(made, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset, inside, write = made
    write(tmp_path)
    with pytest.raises(DataError, match=words):
        open_split(dataset, "test", str(tmp_path / inside))


@pytest.mark.parametrize("name", ["svhn", "affnist", "cifar10", "norb", "folder", "fashion_mnist"])
def test_a_data_set_needs_a_folder_and_most_have_one_label(name, tmp_path):
    with pytest.raises(DataError, match="needs a --data_dir"):
        open_split(name, "test", None)
    with pytest.raises(DataError, match="one label|no files"):
        open_split(name, "test", str(tmp_path), Options(num_targets=2))
