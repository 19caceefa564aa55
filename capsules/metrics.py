"""The accuracy for images with one label or several; the target of a soft row is the class of its largest number."""

from typing import Any

import keras
from keras import ops

from capsules.losses import label_rows
from capsules.ops import precise


def _hits(rows: Any, predictions: Any) -> tuple[Any, Any]:
    """How many of an example's k targets are among its k highest predictions, and k; both NaN where a row is NaN."""
    is_hard = ops.all(ops.logical_or(ops.equal(rows, 0.0), ops.equal(rows, 1.0)), axis=1, keepdims=True)
    largest = ops.one_hot(ops.argmax(rows, axis=1), rows.shape[1], dtype=rows.dtype)
    targets = ops.where(ops.logical_or(is_hard, ops.isnan(rows)), rows, largest)
    order = ops.argsort(-precise(predictions), axis=1)  # the first of equal predictions counts as the highest
    by_rank = ops.take_along_axis(targets, order, axis=1)  # [batch, classes]
    count = ops.sum(targets, axis=1)
    counting = ops.cast(ops.arange(rows.shape[1], dtype=count.dtype) < count[:, None], count.dtype)
    return ops.sum(by_rank * counting, axis=1), count


def score(labels: Any, logits: Any) -> tuple[Any, Any]:
    """Which examples have all labels among their top logits, and which at least one of them: two bools [batch].

    `labels` are int [batch, num_targets], valid and different within a row, and `logits` [batch, classes].
    """
    rows = ops.sum(ops.one_hot(labels, logits.shape[1], dtype="float32"), axis=1)
    hits, count = _hits(rows, logits)
    return ops.equal(hits, count), ops.greater(hits, 0.0)


@keras.saving.register_keras_serializable("capsules")
def all_targets_right(y_true: Any, y_pred: Any) -> Any:
    """1 for each example whose k targets have the k highest predictions, 0 for the others: float32 [batch].

    `y_true` are labels in any form of `label_rows`, whose errors it has, and `y_pred` lengths or logits
    [batch, classes]. An example without targets counts as wrong.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    hits, count = _hits(label_rows(y_true, y_pred.shape[1], y_pred.shape[0]), y_pred)
    right = ops.cast(ops.equal(hits, ops.maximum(count, 1.0)), "float32")
    return ops.where(ops.isnan(count), count, right)


@keras.saving.register_keras_serializable("capsules")
class AllTargetsAccuracy(keras.metrics.Accuracy):
    """Share of examples whose targets are all right (see `all_targets_right`), the paper's measure for MultiMNIST.

    As an accuracy of Keras, it is maximised by callbacks. Its arguments are those of `keras.metrics.Metric`.

    Example:
        >>> accuracy = AllTargetsAccuracy()
        >>> accuracy.update_state([2, 0], keras.ops.convert_to_tensor([[0.1, 0.2, 0.9], [0.1, 0.2, 0.9]]))
        >>> print(float(accuracy.result()))
        0.5
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        keras.metrics.Mean.update_state(self, all_targets_right(y_true, y_pred), sample_weight)
