"""What training writes for TensorBoard, and the pictures of images."""

import numpy as np

from conftest import scalars
from models import make_model
from models.hparams import HParams
from runner.summaries import TrainSummaries, grid, visible


def test_the_learning_rate_that_is_written_is_the_one_that_is_used(tmp_path):
    hparams = HParams(
        learning_rate=0.01, decay_rate=0.5, decay_steps=10, staircase=True, learning_rate_floor=0.004,
        num_prime_capsules=1, conv_channels=2, remake=False,
    )  # fmt: skip
    summaries = TrainSummaries(tmp_path, make_model("capsule", (20, 20, 1), 3, hparams), batch_size=8)
    metrics = {"classification": 1.0, "reconstruction": 0.0, "total": 1.5, "correct": 4.0, "almost": 6.0}
    summaries.write(15, metrics, {})
    written = scalars(tmp_path)
    assert written["accuracy", 15] == 0.5 and written["total_loss", 15] == 1.5
    np.testing.assert_allclose(written["learning_rate", 15], 0.005)  # half of it after 10 steps, in one stair


def test_standardised_images_are_stretched_and_others_stay():
    inside = np.full((1, 2, 2, 1), 0.25, np.float32)
    np.testing.assert_array_equal(visible(inside), inside)
    outside = np.array([-3.0, 0.0, 0.0, 5.0], np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(visible(outside).ravel(), [0, 0.375, 0.375, 1])


def test_a_grid_has_a_row_for_each_list_of_images():
    row = np.zeros((3, 4, 5, 1), np.float32)
    assert grid([row, row]).shape == (2 * (4 + 2), 3 * (5 + 2), 1)
