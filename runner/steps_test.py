"""Metrics that stay on the device until they are read."""

import pytest
import tensorflow as tf

from runner.steps import PendingMetrics


def metrics(total: float) -> dict:
    return {"total": tf.constant(total), "correct": tf.constant(3.0)}


def test_metrics_are_read_once_by_step(tmp_path):
    pending = PendingMetrics(tmp_path)
    pending.add(7, metrics(0.5))
    pending.add(8, metrics(0.25))
    assert len(pending) == 2
    assert pending.read() == {7: {"total": 0.5, "correct": 3.0}, 8: {"total": 0.25, "correct": 3.0}}
    assert pending.read() == {}


def test_the_first_step_with_a_bad_loss_is_named(tmp_path):
    pending = PendingMetrics(tmp_path)
    for step, total in ((1, 0.5), (2, float("inf")), (3, float("nan"))):
        pending.add(step, metrics(total))
    with pytest.raises(ValueError, match="became inf at step 2"):
        pending.read()
