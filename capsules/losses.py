"""Losses for capsule networks in Keras' form, loss(y_true, y_pred), with one number for each example.

Each is a registered function that can be given to `compile`: Keras averages it over the batch, applies sample weights,
divides it among devices and finds it again when it loads a saved model. Everything is float32 on any backend.

`y_true` may be integers [batch] or [batch, 1], or one-hot or multi-hot [batch, classes], see `capsules.labels`.
"""

from typing import Any

import keras
from keras import ops

from capsules.arguments import choice
from capsules.labels import multi_hot


def margin_terms(targets: Any, lengths: Any) -> Any:
    """L_k = T_k·max(0, 0.9 − l_k)² + 0.5·(1 − T_k)·max(0, l_k − 0.1)² of each class (paper, eq. 4).

    Args:
        targets: T, multi-hot [batch, classes].
        lengths: l, of the class capsules [batch, classes].

    Returns:
        float32 [batch, classes].
    """
    lengths = ops.cast(lengths, "float32")
    present = ops.square(ops.relu(0.9 - lengths))
    absent = 0.5 * ops.square(ops.relu(lengths - 0.1))
    return targets * present + (1.0 - targets) * absent


def softmax_terms(targets: Any, logits: Any) -> Any:
    """Softmax cross-entropy summed over the targets of an example, float32 [batch]. Arguments as `margin_terms`."""
    return -ops.sum(targets * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)


def sigmoid_terms(targets: Any, logits: Any) -> Any:
    """Sigmoid cross-entropy with targets/2, as in 2017, float32 [batch, classes]. Arguments as `margin_terms`."""
    logits = ops.cast(logits, "float32")
    return ops.softplus(logits) - 0.5 * targets * logits


@keras.saving.register_keras_serializable("capsules")
def margin_loss(y_true: Any, y_pred: Any, over_classes: str = "mean") -> Any:
    """Margin loss of capsule lengths (paper, eq. 4), one number for each example.

    Args:
        y_true: labels, in any form of `capsules.labels.multi_hot`.
        y_pred: lengths of the class capsules [batch, classes].
        over_classes: "mean" is half the mean of L_k over the classes, as in the code of 2017; "sum" is the sum, as in
            the paper, which is 20 times as large for ten classes.

    Returns:
        float32 [batch].

    Raises:
        ValueError: the predictions are not [batch, classes], labels are refused, or `over_classes` is another word.

    Example:
        >>> loss = margin_loss([0, 1], keras.ops.convert_to_tensor([[0.9, 0.1], [0.9, 0.1]]), over_classes="sum")
        >>> print(keras.ops.convert_to_numpy(loss).round(2))
        [0.   0.96]
    """
    terms = margin_terms(*_targets_and_predictions(y_true, y_pred))
    if choice("margin_loss: over_classes", over_classes, ("mean", "sum")) == "sum":
        return ops.sum(terms, axis=-1)
    return 0.5 * ops.mean(terms, axis=-1)


@keras.saving.register_keras_serializable("capsules")
class MarginLoss(keras.losses.Loss):
    """`margin_loss` as a Keras loss object.

    Args:
        over_classes: "mean", as in the code of 2017, or "sum", as in the paper; see `margin_loss`.
        reduction: see `keras.losses.Loss`.
        name, dtype: see `keras.losses.Loss`; the loss is computed in float32 whatever the dtype is.

    Example:
        >>> images = keras.Input((28, 28, 1))
        >>> model = keras.Model(images, Length()(Capsules(10)(PrimaryCapsules(2)(images))))
        >>> model.compile("adam", MarginLoss(over_classes="sum"), metrics=["accuracy"])
    """

    def __init__(
        self,
        over_classes: str = "mean",
        reduction: str | None = "sum_over_batch_size",
        name: str = "margin_loss",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.over_classes = choice("MarginLoss: over_classes", over_classes, ("mean", "sum"))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return margin_loss(y_true, y_pred, self.over_classes)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"over_classes": self.over_classes}


@keras.saving.register_keras_serializable("capsules")
def softmax_loss(y_true: Any, y_pred: Any) -> Any:
    """Softmax cross-entropy of logits, summed over the targets of an example: float32 [batch].

    Arguments and errors as `margin_loss`, with logits [batch, classes] in place of lengths.

    Example:
        >>> print(keras.ops.convert_to_numpy(softmax_loss([0], keras.ops.zeros((1, 4)))).round(3))
        [1.386]
    """
    return softmax_terms(*_targets_and_predictions(y_true, y_pred))


@keras.saving.register_keras_serializable("capsules")
def sigmoid_loss(y_true: Any, y_pred: Any) -> Any:
    """Sigmoid cross-entropy of logits with targets/2, as in 2017, mean over the classes: float32 [batch].

    Arguments and errors as `margin_loss`, with logits [batch, classes] in place of lengths.

    Example:
        >>> print(keras.ops.convert_to_numpy(sigmoid_loss([0], keras.ops.zeros((1, 4)))).round(3))
        [0.693]
    """
    return ops.mean(sigmoid_terms(*_targets_and_predictions(y_true, y_pred)), axis=-1)


@keras.saving.register_keras_serializable("capsules")
def reconstruction_loss(y_true: Any, y_pred: Any) -> Any:
    """0.0005 · the sum of squared pixel differences of each image (paper, section 4.1), float32 [batch].

    Args:
        y_true: the images to reconstruct [batch, rows, columns, depth].
        y_pred: the reconstructions, same shape.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> loss = reconstruction_loss(keras.ops.zeros((1, 28, 28, 1)), keras.ops.ones((1, 28, 28, 1)))
        >>> print(keras.ops.convert_to_numpy(loss).round(3))
        [0.392]
    """
    return RECONSTRUCTION_WEIGHT * squared_error(y_true, y_pred)


RECONSTRUCTION_WEIGHT = 0.0005


def squared_error(images: Any, reconstructions: Any) -> Any:
    """Sum of squared pixel differences of each image, float32 [batch]. Arguments as `reconstruction_loss`."""
    images, reconstructions = ops.convert_to_tensor(images), ops.convert_to_tensor(reconstructions)
    if len(images.shape) != len(reconstructions.shape) or images.shape[1:] != reconstructions.shape[1:]:
        raise ValueError(
            "Reconstructions must have the shape of the images they are compared with, [batch, rows, columns, depth]. "
            f"Received: {tuple(reconstructions.shape)} and {tuple(images.shape)}"
        )
    difference = ops.cast(reconstructions, "float32") - ops.cast(images, "float32")
    return ops.sum(ops.square(difference), axis=tuple(range(1, len(images.shape))))


def _targets_and_predictions(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    y_pred = ops.convert_to_tensor(y_pred)
    if len(y_pred.shape) != 2 or y_pred.shape[1] is None:
        raise ValueError(
            f"The loss takes predictions [batch, classes], such as the lengths of the class capsules. "
            f"Received the shape: {tuple(y_pred.shape)}"
        )
    return multi_hot(y_true, y_pred.shape[1]), y_pred
