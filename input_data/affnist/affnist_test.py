"""The data sets in MATLAB files, SVHN and affNIST, with its substitute."""

import numpy as np
import pytest
from scipy.io import savemat

from input_data import DataError, Options, evaluation_batches, open_split
from input_data.affnist.affnist_input import substitute
from input_data.mnist import mnist_shift
from input_data.mnist.mnist_input import SAMPLE, load
from input_data.mnist.mnist_test import digits, write_idx

RNG = np.random.RandomState(4)
DIGITS = np.zeros((32, 32, 3, 2), np.uint8)


def write_affnist(path, images, labels):
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"affNISTdata": {"image": images.reshape(len(images), 1600).T, "label_int": labels[None]}})


def test_svhn_reads_its_axes_and_its_ten(tmp_path):
    images = RNG.randint(0, 256, (32, 32, 3, 12)).astype(np.uint8)
    labels = np.array([10, 1, 2, 9, 10, 3, 4, 5, 6, 7, 8, 9], np.uint8)[:, None]
    for own in ("train", "test"):
        savemat(tmp_path / f"{own}_32x32.mat", {"X": images, "y": labels}, do_compression=own == "test")
    (batch,) = evaluation_batches(open_split("svhn", "test", str(tmp_path)), 20)
    np.testing.assert_allclose(batch["images"], images.transpose(3, 0, 1, 2) / 255, atol=1e-6)
    assert batch["labels"][:5, 0].tolist() == [0, 1, 2, 9, 0]
    sizes = [len(open_split("svhn", name, str(tmp_path))) for name in ("train", "valid_train", "valid_test")]
    assert sizes == [12, 10, 2]


@pytest.mark.parametrize(
    ("dataset", "name", "content", "words"),
    [
        (
            "svhn",
            "test_32x32.mat",
            {"X": DIGITS, "y": np.ones((3, 1))},
            "each of 2 images. Received float64 .3.",
        ),
        ("svhn", "test_32x32.mat", {"X": DIGITS[:16], "y": np.ones((2, 1))}, r"Received uint8 \[2, 16, 32, 3\]"),
        ("svhn", "test_32x32.mat", {"X": DIGITS, "y": [[1], [11]]}, "from 1 to 10. Received 11 at index 1"),
        ("svhn", "test_32x32.mat", {"X": DIGITS, "y": [[1], [3.5]]}, "whole numbers .* Received 3.5"),
        ("svhn", "test_32x32.mat", {"X": DIGITS}, "lacks the array y. It has: .*X"),
        (
            "affnist",
            "test.mat",
            {"affNISTdata": {"image": np.zeros((1600, 2))}},
            "lacks the array label_int",
        ),
        ("affnist", "test.mat", {"affNISTdata": np.zeros(3)}, "lacks the array image. It has: none"),
    ],
)
def test_wrong_files_are_refused(dataset, name, content, words, tmp_path):
    savemat(tmp_path / name, content)
    with pytest.raises(DataError, match=words):
        open_split(dataset, "test", str(tmp_path))


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"not matlab", lambda c: c[: len(c) // 2]])
def test_files_that_are_empty_foreign_or_cut_are_refused(damage, tmp_path):
    path = tmp_path / "test.mat"
    write_affnist(path, np.zeros((4, 40, 40), np.uint8), np.arange(4))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"test.mat is not a file of MATLAB's versions"):
        open_split("affnist", "test", str(tmp_path))


def test_affnist_batches_are_read_in_order(tmp_path):
    images = RNG.randint(0, 256, (6, 40, 40)).astype(np.uint8)
    labels = np.array([3, 1, 4, 1, 5, 9], np.uint8)
    for index in range(2):
        own = slice(3 * index, 3 * index + 3)
        write_affnist(tmp_path / "test_batches" / f"{index}.mat", images[own], labels[own])
    split = open_split("affnist", "test", str(tmp_path))
    (batch,) = evaluation_batches(split, 10)
    np.testing.assert_allclose(batch["images"][..., 0] * 255, images, atol=1e-4)
    assert batch["labels"][:, 0].tolist() == labels.tolist() and "SUBSTITUTE" not in split.note


def test_expanded_mnist_comes_from_records_where_there_are_some(tmp_path):
    images, labels = digits(12, size=28)
    write_idx(tmp_path, images, labels)
    mnist_shift.generate(str(tmp_path), shift=6, pad=6)
    split = open_split("affnist", "train", str(tmp_path))
    assert len(split) == 12 * 13**2 and split.info.name == "affNIST"
    first = next(evaluation_batches(split, 1))
    expected = np.zeros((40, 40))
    expected[:28, :28] = images[0] / 255  # 6 pixels up and left of the middle
    np.testing.assert_allclose(first["images"][0, ..., 0], expected, atol=1e-6)
    mnist_shift.generate(str(tmp_path), shift=6, overwrite=True)
    with pytest.raises(DataError, match="should hold 40x40x1, as mnist_shift.py --shift=6 --pad=6"):
        open_split("affnist", "train", str(tmp_path))


def test_the_substitute_is_labelled_fixed_and_keeps_digits_inside():
    split = open_split("affnist", "test", str(SAMPLE))
    assert split.note.startswith("SUBSTITUTE for affNIST") and split.info.image_shape == (40, 40, 1)
    images = load(SAMPLE, "test")[0]
    np.testing.assert_array_equal(substitute(images[:20]), split.images[:20, ..., 0])
    edges = np.concatenate([split.images[:, [0, -1]].ravel(), split.images[:, :, [0, -1]].ravel()])
    assert (edges > 128).mean() < 1e-3
    areas = split.images.astype(float).sum(axis=(1, 2, 3)) / images.astype(float).sum(axis=(1, 2))
    assert areas.min() > 0.55 and areas.max() < 1.55 and abs(np.median(areas) - 1) < 0.05  # scales of 0.8 to 1.2


@pytest.mark.parametrize("name", ["svhn", "affnist", "cifar10", "norb", "folder"])
def test_they_have_one_label_and_need_a_folder(name, tmp_path):
    with pytest.raises(DataError, match="one label"):
        open_split(name, "test", str(tmp_path), Options(num_targets=2))
    with pytest.raises(DataError, match="needs a --data_dir"):
        open_split(name, "test", None)
