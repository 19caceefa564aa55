"""The report on a data set."""

import numpy as np
import pytest

from input_data import Info
from runner.check_data import report


class Two:
    """A split of two classes, of which only the facts are asked."""

    info = Info("things", (2, 2, 1), 2, 1, ("cat", "dog"))

    def __len__(self):
        return 3


def batches(value):
    images = np.array([0.25, 0.5, value], np.float32)[:, None, None, None] * np.ones((3, 2, 2, 1), np.float32)
    labels = np.array([[0], [1], [1]])
    return [{"images": images[:2], "labels": labels[:2]}, {"images": images[2:], "labels": labels[2:]}]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(value):
    with pytest.raises(ValueError, match="an image among 2 to 3 is not finite"):
        report("things", Two(), batches(value))
