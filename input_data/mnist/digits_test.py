"""Pictures of digits in MNIST's layout: real digits, enlarged and put on paper, come back as they were."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, open_split, prepare

DIGITS = open_split("mnist", "test", None).images[:40]
SIZE = 28
TWO = Options(num_targets=2)
SHAPE = (SIZE, SIZE, 1)


def enlarged(digit, factor=10):
    return np.clip(tf.image.resize(digit, (SIZE * factor, SIZE * factor), "bicubic").numpy(), 0, 255)


def likeness(prepared, digit):
    """Correlation, at its best place within a pixel each way: MNIST rounds its centres, so that we may round others."""
    moves = itertools.product((-1, 0, 1), repeat=2)
    return max(np.corrcoef(np.roll(prepared, move, (0, 1)).ravel(), digit.ravel())[0, 1] for move in moves)


def test_a_digit_of_that_size_is_taken_as_it_is_and_a_dark_one_on_white_inverted():
    corner = np.pad(DIGITS[0], ((0, 8), (8, 0), (0, 0)))  # of a network of two digits
    for digit, options in ((DIGITS[0], Options()), (corner, TWO)):
        for picture, done in ((digit, []), (255 - digit, ["inverted: dark on light"])):
            prepared, notes = prepare("mnist", picture, digit.shape, options=options)
            np.testing.assert_array_equal(prepared, digit.astype(np.float32) * np.float32(1 / 255))
            assert notes == done and prepared.dtype == np.float32


@pytest.mark.parametrize("paper", [0, 60, 140, 255])
def test_a_digit_anywhere_on_a_large_sheet_of_any_brightness_comes_back(paper):
    ink = 255 if paper < 128 else 0
    page = np.zeros((500, 400, 1), np.float32)
    page[200:480, 10:290] = enlarged(DIGITS[2])
    prepared, notes = prepare("mnist", np.round(paper + (ink - paper) * page / 255).astype(np.uint8), SHAPE)
    alike = [likeness(prepared, other) for other in DIGITS[:10]]
    assert np.argmax(alike) == 2 and alike[2] > 0.9
    assert notes[-1] == "cut from 500x400 to its ink and centred"
    assert ("inverted: dark on light" in notes) == (ink == 0)


@pytest.mark.parametrize(
    ("dataset", "side", "options", "box"),
    [("mnist", 14, Options(), 10), ("affnist", 40, Options(), 20), ("mnist", 36, TWO, 24)],
)
@pytest.mark.parametrize("margins", [((0, 0), (0, 0)), ((90, 10), (5, 200))], ids=str)
def test_margins_do_not_matter_in_any_frame(dataset, side, options, box, margins):
    ink = enlarged(np.maximum(DIGITS[1], np.roll(DIGITS[2], (3, -4), (0, 1))), 5)
    page = 255 - np.pad(np.round(ink).astype(np.uint8), (*margins, (0, 0)))
    prepared, notes = prepare(dataset, page, (side, side, 1), options=options)
    inked = np.argwhere(prepared[..., 0] > 0)
    assert (np.ptp(inked, axis=0) + 1).max() == box and prepared.max() == 1 and "centred" in notes[-1]
    mass = prepared[..., 0] / prepared.sum()
    middle = [(mass.sum(axis=1 - axis) * np.arange(side)).sum() for axis in (0, 1)]
    np.testing.assert_allclose(middle, side // 2, atol=0.5 + 1e-4)


def test_a_network_of_two_digits_reads_both_wherever_they_stand():
    for count in (2, 3):
        page = np.zeros((480, 900))
        for place in range(count):
            page[100:240, 60 + 250 * place : 200 + 250 * place] = enlarged(DIGITS[place], 5)[..., 0]
        prepared, notes = prepare("mnist", (255 - 0.8 * page).astype(np.uint8)[..., None], (36, 36, 1), options=TWO)
        assert (prepared[:, :18].sum() > 5) and (prepared[:, 18:].sum() > 5)
        assert any("3 characters: only the two largest" in note for note in notes) == (count == 3)


Y, X = np.mgrid[:320, :240] / [[[320]], [[240]]]
LIGHTS = {  # how much light falls on each place of a sheet, up to 1
    "even": np.ones_like(X),
    "from one side": 1 - 0.55 * X,
    "dark corners": 1 - 0.7 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2),
    "shadow on the left": np.where(X + 0.02 * np.sin(9 * Y) < 0.18, 0.45, 1.0),
    "shadow below": np.where(Y + 0.1 * X < 0.88, 1.0, 0.5),
    "shadow in a corner": np.where(X + Y < 0.4, 0.4, 1.0),
    "table on the right": np.where(X > 0.9, 0.08, 1.0),
    "half in shadow": np.where(X + 0.3 * Y < 0.6, 0.6, 1.0),
    "dim": np.full_like(X, 0.3),
}


def photo(written, light, grain, seed=0):
    """A photo of a sheet: ink float [rows, columns] in [0, 1] under some light, with the grain of a camera."""
    sheet = 235 * light * (1 - 0.75 * written) + np.random.RandomState(seed).normal(0, grain, light.shape)
    return np.clip(sheet, 0, 255).astype(np.uint8)[..., None]


def sheet(*digits):
    """Ink on a sheet of 320x240: up to two digits of 84 pixels side by side, or one of 140."""
    written = np.zeros((320, 240))
    size, left = (5, 50) if len(digits) == 1 else (3, 20)
    for place, digit in enumerate(digits):
        column = left + 100 * place
        written[85 : 85 + 28 * size, column : column + 28 * size] = enlarged(digit, size)[..., 0] / 255
    return written


@pytest.mark.parametrize("light", LIGHTS)
def test_photos_of_digits_are_read_and_blank_paper_is_not_whatever_the_light(light):
    for index, grain in enumerate((0, 12)):
        prepared, notes = prepare("mnist", photo(sheet(DIGITS[index]), LIGHTS[light], grain, index), SHAPE)
        alike = [likeness(prepared, other) for other in DIGITS[:10]]
        assert np.argmax(alike) == index and alike[index] > 0.85
        assert notes[0] == "inverted: dark on light" and not any("characters" in note for note in notes)
        assert light != "shadow on the left" or "a shadow or an edge removed" in notes
    for blank in (photo(sheet(), LIGHTS[light], 12), np.full(SHAPE, 200, np.uint8)):
        with pytest.raises(DataError, match="Nothing readable: no ink stands out"):
            prepare("mnist", blank, SHAPE)


@pytest.mark.parametrize("light", ["even", "from one side", "shadow below"])
def test_several_digits_in_a_picture_are_said(light):
    first, second = DIGITS[1:3]
    prepared, notes = prepare("mnist", photo(sheet(first, second), LIGHTS[light], 4), SHAPE)
    assert "2 characters: only the largest is read" in notes
    assert max(likeness(prepared, first), likeness(prepared, second)) > 0.85
