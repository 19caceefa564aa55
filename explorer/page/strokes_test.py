"""Drawn digits become what MNIST's digits are."""

import numpy as np
import pytest

from explorer.page.strokes import draw

LINE = np.array([[0.4, 0.2], [0.42, 0.5], [0.4, 0.8]])
HOOK = np.array([[0.4, 0.8], [0.6, 0.8]])


def centre_of_mass(image):
    rows, columns = np.indices(image.shape)
    return (rows * image).sum() / image.sum(), (columns * image).sum() / image.sum()


def extent(image):
    rows, columns = np.nonzero(image)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


def test_a_drawing_has_the_size_place_and_ink_of_mnist():
    image = draw([LINE, HOOK], 28, 28, 20)
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() == 255
    np.testing.assert_allclose(centre_of_mass(image), (14, 14), atol=0.1)
    assert 19 <= max(extent(image)) <= 21
    ink = draw([LINE], 28, 28, 20).sum() / 255
    assert 45 < ink < 75  # a "1" of MNIST has 60 on average


@pytest.mark.parametrize(("scale", "move"), [(0.5, 0.3), (0.3, 0.0), (1.0, -0.1)])
def test_where_and_how_large_one_draws_makes_no_difference(scale, move):
    again = draw([LINE * scale + move, HOOK * scale + move], 28, 28, 20)
    np.testing.assert_allclose(again, draw([LINE, HOOK], 28, 28, 20), atol=1)


def test_larger_frames_keep_the_digits_size():
    np.testing.assert_array_equal(draw([LINE], 36, 40, 20)[4:32, 6:34], draw([LINE], 28, 28, 20))


def test_a_dot_stays_a_dot():
    image = draw([np.array([[0.1, 0.9]])], 28, 28, 20)
    assert max(extent(image)) <= 5
    np.testing.assert_allclose(centre_of_mass(image), (14, 14), atol=0.01)
