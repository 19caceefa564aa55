"""The data sets in MATLAB files, SVHN and affNIST, with its substitute."""

import numpy as np
from scipy.io import savemat

from input_data import evaluation_batches, open_split
from input_data.affnist.affnist_input import substitute
from input_data.mnist.mnist_input import SAMPLE, load
from input_data.mnist.mnist_test import write_idx

RNG = np.random.RandomState(4)


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


def test_the_substitute_is_labelled_fixed_and_keeps_digits_inside(tmp_path):
    images, labels, _ = load(SAMPLE, "test")
    write_idx(tmp_path, images[:60], labels[:60].astype(np.uint8), "test")
    split = open_split("affnist", "test", str(tmp_path))
    assert split.note.startswith("SUBSTITUTE for affNIST") and split.info.image_shape == (40, 40, 1)
    np.testing.assert_array_equal(substitute(images[:20]), split.images[:20, ..., 0])
    edges = np.concatenate([split.images[:, [0, -1]].ravel(), split.images[:, :, [0, -1]].ravel()])
    assert (edges > 128).mean() < 1e-3
    areas = split.images.astype(float).sum(axis=(1, 2, 3)) / images[:60].astype(float).sum(axis=(1, 2))
    assert areas.min() > 0.55 and areas.max() < 1.55 and abs(np.median(areas) - 1) < 0.05  # scales of 0.8 to 1.2
