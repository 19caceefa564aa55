"""`prepare`: a test image that comes as a picture becomes the array that evaluation makes of it, in every data set."""

from dataclasses import replace

import numpy as np
import pytest

from input_data import Options, evaluation_batches, open_split, prepare
from input_data.arrays import ImageArrays
from input_data.cifar10.cifar10_input import Cifar10
from input_data.dataset import Info
from input_data.norb.norb_input import EfficientNorb, SmallNorb

RANDOM = np.random.RandomState(5)
EFFICIENT = Options(preparation="efficient")


class SameViews:
    """smallNORB's examples of which both eyes see the same picture, as the only picture that a user has is used."""

    def __init__(self, step):
        self.pictures = RANDOM.randint(0, 256, (6, 96, 96, 1)).astype(np.uint8)
        self.step = step

    def __len__(self):
        return len(self.pictures)

    def read(self, indices):
        views = self.pictures[indices].repeat(2, axis=3)
        return views[:, :: self.step, :: self.step], np.zeros((len(indices), 1), np.int32)


def mnist(options):
    split = open_split("mnist", "test", None, options)
    return split.images[:20].reshape(20, 28, 28, 1), split


def multi_mnist(options):
    split = open_split("mnist", "test", None, options)
    digits, _ = split.pair(np.arange(20), np.zeros((20, 0)))
    return np.minimum(digits.sum(axis=1, dtype=np.uint16), 255).astype(np.uint8)[..., None], split


def norb(options):
    if options.preparation == "2017":
        examples = SameViews(step=2)
        return examples.pictures, SmallNorb(examples, "test")
    examples = SameViews(step=1)
    return examples.pictures, EfficientNorb(examples, "test", (100.0, 120.0, 60.0, 70.0))


def cifar10(options):
    pictures = RANDOM.randint(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    return pictures, Cifar10(pictures, np.zeros(5), training=False)


def folder(options):
    pictures = RANDOM.randint(0, 256, (5, 20, 30, 3)).astype(np.uint8)
    return pictures, ImageArrays(Info("own", (20, 30, 3), 2, 1, ("a", "b")), pictures, np.zeros(5), reach=0)


@pytest.mark.parametrize("options", [Options(), EFFICIENT], ids=lambda options: options.preparation)
@pytest.mark.parametrize("opened", [mnist, multi_mnist, norb, cifar10, folder], ids=lambda opened: opened.__name__)
def test_a_picture_of_a_test_image_becomes_what_the_network_is_evaluated_on(opened, options):
    options = replace(options, num_targets=2 if opened is multi_mnist else 1)
    pictures, split = opened(options)
    (name,) = (name for name in ("mnist", "norb", "cifar10", "folder") if name in opened.__name__)
    options = replace(options, statistics=split.statistics)
    facts = split.info.image_shape, split.info.class_names, options
    prepared = [prepare(name, picture, *facts)[0] for picture in pictures]
    expected = next(evaluation_batches(split, len(pictures)))["images"]
    np.testing.assert_array_equal(prepared, expected)


def test_a_digit_that_is_laid_out_has_the_largest_value_of_the_training_digits():
    sheet = np.zeros((90, 70, 1), np.uint8)
    sheet[20:70, 30:36] = 200
    for options, largest in ((Options(), 1), (EFFICIENT, 255 / 256)):
        assert prepare("mnist", sheet, (28, 28, 1), options=options)[0].max() == np.float32(largest)


def test_a_stereo_network_without_statistics_says_that_it_takes_the_pictures_own():
    image, notes = prepare("norb", SameViews(1).pictures[0], (48, 48, 2), options=EFFICIENT)
    assert any("config.json has no statistics" in note for note in notes)
    np.testing.assert_allclose(image.mean(), 0, atol=0.2)
    assert np.isfinite(prepare("norb", np.full((96, 96, 1), 7, np.uint8), (48, 48, 2), options=EFFICIENT)[0]).all()
