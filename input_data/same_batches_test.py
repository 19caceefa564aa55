"""Batches are those of earlier versions, bit by bit where arithmetic is exact, so that a run resumes exactly."""

import hashlib
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from input_data import Options, evaluation_batches, open_split, training_batches
from input_data.cifar10 import cifar10_test
from input_data.mnist.mnist_input import SAMPLE
from input_data.norb import norb_test

EFFICIENT, TWO = Options(preparation="efficient"), Options(num_targets=2)


def pixels(*shape):
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def svhn(folder):
    for name in ("train", "test"):
        savemat(folder / f"{name}_32x32.mat", {"X": pixels(32, 32, 3, 40), "y": np.arange(40)[:, None] % 10 + 1})


def norb(folder):
    for name in ("train", "test"):
        norb_test.write(folder / f"{name}duo.tfrecords")


def own(folder):
    for index, image in enumerate(pixels(26, 20, 24, 3)):
        path = folder / f"c{index % 2}/{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)


# The data set, what writes it, its options; the sums of what is computed exactly, or a measure of what rounds.
CASES = {
    "digits": ("mnist", None, Options(), "ea254a1a68946f1c"),
    "pairs": ("mnist", None, TWO, "da5a972aeaf24114"),
    "affNIST": ("affnist", SAMPLE, Options(), "705d788da935ef90"),
    "SVHN": ("svhn", svhn, Options(), "73aa4c1e2c318e25"),
    "own images": ("folder", own, Options(image_size=16, grayscale=True), "fb9164c1c8a3f274"),
    "varied digits": ("mnist", None, EFFICIENT, -5.064745),
    "varied pairs": ("mnist", None, Options(2, preparation="efficient"), "64c043ceb9c2273a"),
    "CIFAR-10": ("cifar10", cifar10_test.write_binary, Options(), -16.343357),
    "smallNORB": ("norb", norb, Options(), 221.583507),
    "smallNORB, efficient": ("norb", norb, EFFICIENT, 173.478253),
}


@pytest.mark.parametrize("case", CASES)
def test_batches_are_those_of_earlier_versions(case, tmp_path):
    dataset, source, options, expected = CASES[case]
    if callable(source):
        source(tmp_path)
        source = tmp_path
    data_dir = source and str(source)
    train, test = (open_split(dataset, name, data_dir, options) for name in ("train", "test"))
    batches = [
        *islice(training_batches(train, 8, seed=3, start_step=2), 3),
        next(training_batches(open_split(dataset, "valid_train", data_dir, options), 9, 4, 1, shard=(1, 3))),
        *islice(evaluation_batches(train, 8, augmented=True), 2),
        *islice(evaluation_batches(test, 5), 1),
    ]
    if isinstance(expected, str):
        content = b"".join(batch[name].tobytes() for batch in batches for name in sorted(batch))
        assert hashlib.sha256(content).hexdigest()[:16] == expected
    else:
        values = np.concatenate([batch["images"].astype(np.float64).ravel() for batch in batches])
        measure = (values * np.cos(np.arange(len(values)))).sum()
        np.testing.assert_allclose(measure, expected, atol=1e-3)
