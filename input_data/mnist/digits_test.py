"""Pictures of digits in MNIST's layout: real digits, enlarged and put on paper, come back as they were."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from input_data import open_split, prepare
from input_data.mnist.digits import SIZE

DIGITS = open_split("mnist", "test", None).images[:40]
SHAPE = (SIZE, SIZE, 1)


def enlarged(digit, factor=10):
    return np.clip(tf.image.resize(digit, (SIZE * factor, SIZE * factor), "bicubic").numpy(), 0, 255)


def likeness(prepared, digit):
    """Correlation, at its best place within a pixel each way: MNIST rounds its centres, so that we may round others."""
    moves = itertools.product((-1, 0, 1), repeat=2)
    return max(np.corrcoef(np.roll(prepared, move, (0, 1)).ravel(), digit.ravel())[0, 1] for move in moves)


def test_a_digit_of_that_size_is_taken_as_it_is_and_a_dark_one_on_white_inverted():
    expected = DIGITS[0].astype(np.float32) * np.float32(1 / 255)
    for picture, done in ((DIGITS[0], []), (255 - DIGITS[0], ["inverted: dark on light"])):
        prepared, notes = prepare("mnist", picture, SHAPE)
        np.testing.assert_array_equal(prepared, expected)
        assert notes == done and prepared.dtype == np.float32


@pytest.mark.parametrize("paper", [0, 60, 140, 255])
def test_a_digit_anywhere_on_a_large_sheet_of_any_brightness_comes_back(paper):
    ink = 255 if paper < 128 else 0
    for index, digit in enumerate(DIGITS[:10]):
        page = np.zeros((500, 400, 1), np.float32)
        page[200:480, 10 * index : 10 * index + 280] = enlarged(digit)
        prepared, notes = prepare("mnist", np.round(paper + (ink - paper) * page / 255).astype(np.uint8), SHAPE)
        alike = [likeness(prepared, other) for other in DIGITS[:10]]
        assert np.argmax(alike) == index and alike[index] > 0.9
        assert notes[-1] == "cut from 500x400 to its ink and centred"
        assert ("inverted: dark on light" in notes) == (ink == 0)


def test_the_layout_is_that_of_mnist():
    for digit in DIGITS:
        prepared, _ = prepare("mnist", enlarged(digit, 4).astype(np.uint8), SHAPE)
        inked = np.argwhere(prepared[..., 0] > 0)
        assert (np.ptp(inked, axis=0) + 1).max() == 20 and prepared.max() == 1
        mass = prepared[..., 0] / prepared.sum()
        centre = [(mass.sum(axis=1 - axis) * np.arange(SIZE)).sum() for axis in (0, 1)]
        np.testing.assert_allclose(centre, 14, atol=0.5 + 1e-4)


def test_thin_strokes_and_the_grain_of_paper_do_not_matter():
    page = np.full((400, 400), 230.0)
    page[100:300, 200:203] = 40  # a stroke of 3 pixels: a twentieth of a pixel's width is lost without brightening
    page += np.random.RandomState(0).normal(0, 6, page.shape)
    prepared, _ = prepare("mnist", np.clip(page, 0, 255).astype(np.uint8)[..., None], SHAPE)
    inked = prepared[..., 0] > 0.5
    assert inked.any(axis=1).sum() == 20 and inked.any(axis=0).sum() == 1
    assert prepared[:, :12].max() == prepared[:, 17:].max() == 0


def test_networks_of_other_frames_keep_the_places_in_the_frame():
    digit = np.pad(DIGITS[0], ((0, 8), (8, 0), (0, 0)))  # 36x36, in a corner
    for picture in (digit, 255 - digit):
        np.testing.assert_allclose(prepare("mnist", picture, (36, 36, 1))[0] * 255, digit, atol=1e-4)
    doubled = digit.repeat(2, axis=0).repeat(2, axis=1)
    prepared, notes = prepare("mnist", doubled, (36, 36, 1))
    assert np.corrcoef(prepared.ravel(), digit.ravel())[0, 1] > 0.97 and notes == ["resized 72x72 to 36x36"]
    prepared, notes = prepare("affnist", doubled[:, 8:], (40, 40, 1))
    assert notes == ["padded to a square", "resized 72x72 to 40x40"]
    assert not prepared[:, :2].any()


def test_a_blank_sheet_is_said_to_be_blank():
    for paper in (0, 200):
        prepared, notes = prepare("mnist", np.full((50, 60, 1), paper, np.uint8), SHAPE)
        assert not prepared.any() and notes == ["blank: nothing is drawn"]
