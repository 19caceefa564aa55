"""Accuracy metrics for images with one digit or several, in Keras' form, metric(y_true, y_pred).

`y_true` may be integers [batch] or [batch, 1], or one-hot or multi-hot [batch, classes], see `capsules.labels`.
The metrics have a direction, so that `ModelCheckpoint(monitor="val_accuracy")` and `EarlyStopping` maximise them.
"""

from typing import Any

import keras
from keras import ops

from capsules.labels import multi_hot, multi_hot_targets


def score(labels: Any, logits: Any) -> tuple[Any, Any]:
    """Which examples are right, with all labels among the top logits, and almost right, with at least one of them.

    Args:
        labels: int [batch, num_targets], valid labels that differ within a row.
        logits: [batch, classes].

    Returns:
        (correct, almost): two bool tensors [batch].
    """
    targets = multi_hot_targets(labels, logits.shape[1])
    hits = _hits(targets, logits)
    return ops.equal(hits, ops.sum(targets, axis=1)), ops.greater(hits, 0.0)


def _hits(targets: Any, logits: Any) -> Any:
    """How many of an example's k targets are among its k highest logits."""
    order = ops.argsort(-ops.cast(logits, "float32"), axis=1)  # the first of equal logits counts as the highest
    by_rank = ops.take_along_axis(targets, order, axis=1)  # [batch, classes]
    ranks = ops.arange(targets.shape[1], dtype="float32")
    counting = ops.cast(ranks < ops.sum(targets, axis=1, keepdims=True), "float32")
    return ops.sum(by_rank * counting, axis=1)  # [batch]; NaN where a target is NaN


@keras.saving.register_keras_serializable("capsules")
def all_targets_right(y_true: Any, y_pred: Any) -> Any:
    """1 for each example whose k targets have the k highest predictions, 0 for the others: float32 [batch].

    Args:
        y_true: labels, in any form of `capsules.labels.multi_hot`. An example without targets counts as wrong.
        y_pred: lengths or logits [batch, classes].

    Raises:
        ValueError: labels are refused, see `capsules.labels`.

    Example:
        >>> lengths = keras.ops.convert_to_tensor([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8]])
        >>> print(keras.ops.convert_to_numpy(all_targets_right([[1, 1, 0], [1, 1, 0]], lengths)))
        [1. 0.]
    """
    y_pred = ops.convert_to_tensor(y_pred)
    targets = multi_hot(y_true, y_pred.shape[1])
    hits, count = _hits(targets, y_pred), ops.sum(targets, axis=1)
    right = ops.cast(ops.equal(hits, ops.maximum(count, 1.0)), "float32")
    return ops.where(ops.isnan(count), count, right)


@keras.saving.register_keras_serializable("capsules")
def any_target_right(y_true: Any, y_pred: Any) -> Any:
    """1 for each example with at least one of its k targets among the k highest predictions, 0 for the others.

    Arguments, result and errors as `all_targets_right`, to which it is equal if there is one target.

    Example:
        >>> lengths = keras.ops.convert_to_tensor([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8]])
        >>> print(keras.ops.convert_to_numpy(any_target_right([[1, 1, 0], [1, 1, 0]], lengths)))
        [1. 1.]
    """
    y_pred = ops.convert_to_tensor(y_pred)
    targets = multi_hot(y_true, y_pred.shape[1])
    hits = _hits(targets, y_pred)
    return ops.where(ops.isnan(hits), hits, ops.cast(ops.greater(hits, 0.0), "float32"))


@keras.saving.register_keras_serializable("capsules")
class AllTargetsAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of examples whose targets are all right (see `all_targets_right`), the paper's measure for MultiMNIST.

    Args:
        name: name in the logs.
        dtype: see `keras.metrics.Metric`.

    Example:
        >>> accuracy = AllTargetsAccuracy()
        >>> accuracy.update_state([2, 0], keras.ops.convert_to_tensor([[0.1, 0.2, 0.9], [0.1, 0.2, 0.9]]))
        >>> print(float(accuracy.result()))
        0.5
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(all_targets_right, name=name, dtype=dtype)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("capsules")
class AnyTargetAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of examples with at least one right target (see `any_target_right`).

    Args:
        name: name in the logs.
        dtype: see `keras.metrics.Metric`.

    Example:
        >>> almost = AnyTargetAccuracy()
        >>> almost.update_state([[1, 0, 1]], keras.ops.convert_to_tensor([[0.1, 0.2, 0.9]]))
        >>> print(float(almost.result()))
        1.0
    """

    def __init__(self, name: str = "almost", dtype: Any = None):
        super().__init__(any_target_right, name=name, dtype=dtype)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}
