"""Losses for capsule networks in Keras' form, loss(y_true, y_pred), with one number for each example.

Each can be given to `compile`. Everything is float32 (float64 for float64) on any backend.

Losses, metrics, `Mask` and the networks' `fit` take labels in the same forms, see `label_rows`. Where values can be
seen, a wrong label raises a ValueError that names it. In a function that TensorFlow compiles for a CPU without XLA, it
raises InvalidArgumentError with the same rule. Elsewhere no function can raise, and the loss becomes NaN.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from capsules.ops import choice, number, precise, runs_on_cpu


def label_rows(labels: Any, num_classes: int, batch: int | None = None) -> Any:
    """Labels in any form as one row for each example, with a number in [0, 1] for each class.

    Args:
        labels: integers [batch] or [batch, 1] from 0 to `num_classes` − 1, which may be floats, as Keras passes them;
            integers [batch, k], 2 ≤ k < `num_classes`: the k different labels of each image;
            rows [batch, num_classes] of numbers in [0, 1]: one-hot, multi-hot, or soft as MixUp and label smoothing
            make them. With one class, a label is 1 if the class is present and 0 if not.
        num_classes: number of classes.
        batch: number of examples, where it is known.

    Returns:
        float32 [batch, num_classes]; a row is NaN if a compiled function that cannot raise received a wrong label.

    Raises:
        ValueError: the labels have another shape or, where values are available, one of them is wrong, which is named.

    Example:
        >>> print(keras.ops.convert_to_numpy(label_rows([2, 0], 3)))
        [[0. 0. 1.]
         [1. 0. 0.]]
    """
    values = precise(labels)
    shape = tuple(values.shape)
    if len(shape) == 1:
        values, shape = values[:, None], (*shape, 1)
    if len(shape) != 2 or not shape[1] or shape[1] > num_classes:
        raise ValueError(
            f"Labels of {num_classes} classes must be integers [batch] or [batch, labels of an image], or rows "
            f"[batch, {num_classes}]. Received the shape: {tuple(ops.convert_to_tensor(labels).shape)}"
        )
    if batch is not None and shape[0] not in (None, batch):
        raise ValueError(f"There must be a label for each of the {batch} examples. Received: {shape[0]}")
    are_rows = shape[1] == num_classes
    if are_rows and num_classes == 2 and "int" in keras.backend.standardize_dtype(ops.convert_to_tensor(labels).dtype):
        words = "Whole numbers [batch, 2] as labels of 2 classes could be one-hot rows or two labels of an image."
        raise ValueError(f"{words} Give rows as floats, labels.astype('float32'), or one label for each image.")
    if are_rows:
        rows = values
        rule = f"Labels [batch, {num_classes}] must be one-hot, multi-hot or soft rows of numbers from 0 to 1"
    else:
        classes = ops.arange(num_classes, dtype=values.dtype)
        rows = ops.sum(ops.cast(ops.equal(values[:, :, None], classes), values.dtype), axis=1)
        rule = f"Labels must be whole numbers from 0 to {num_classes - 1}, different within an image"
    valid = ops.all(ops.logical_and(rows >= 0.0, rows <= 1.0), axis=1)
    if not are_rows:  # a label that is no class is in none of the columns
        valid = ops.logical_and(valid, ops.equal(ops.sum(rows, axis=1), shape[1]))
    return ops.where(_refuse(labels, valid, rule)[:, None], rows, float("nan"))


def _refuse(labels: Any, valid: Any, rule: str) -> Any:
    """`valid`, bool [batch], or an error with the rule and the first label that is not valid, if values can be seen."""
    if isinstance(valid, keras.KerasTensor) or getattr(getattr(valid, "device", None), "type", "cpu") != "cpu":
        return valid  # a copy from an accelerator in every step would take too long
    try:
        seen = np.asarray(ops.convert_to_numpy(valid))
    except (NotImplementedError, RuntimeError, TypeError):  # from the tracers of TensorFlow, PyTorch and JAX
        if not runs_on_cpu() or keras.backend.backend() != "tensorflow":
            return valid
        import tensorflow as tf

        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(valid), [f"{rule}. Received", labels])]):
            return tf.identity(valid)
    if not seen.all():
        place = int(np.argmin(seen))
        wrong = np.array2string(np.asarray(ops.convert_to_numpy(labels))[place], precision=4, threshold=20)
        raise ValueError(f"{rule}. Received {wrong} as the label of example {place}.")
    return valid


@keras.saving.register_keras_serializable("capsules")
def margin_loss(
    y_true: Any,
    y_pred: Any,
    present: float = 0.9,
    absent: float = 0.1,
    absent_weight: float = 0.5,
    over_classes: str = "sum",
) -> Any:
    """Margin loss of capsule lengths (paper, eq. 4): float32 [batch].

    L_k = T_k·max(0, m⁺ − l_k)² + λ·(1 − T_k)·max(0, l_k − m⁻)², summed over the classes k and linear in the labels T.

    Args:
        y_true: labels, in any form of `label_rows`.
        y_pred: lengths l of the class capsules [batch, classes].
        present, absent: the margins m⁺ and m⁻.
        absent_weight: λ.
        over_classes: "sum", as in the paper, or "mean". The code of 2017 had half the mean.

    Raises:
        ValueError: the predictions are not [batch, classes], or the labels are refused.
    """
    targets, lengths = _rows_and_predictions(y_true, y_pred)
    terms = targets * ops.square(ops.relu(present - lengths))
    terms = terms + absent_weight * (1.0 - targets) * ops.square(ops.relu(lengths - absent))
    reduce = {"sum": ops.sum, "mean": ops.mean}[choice("margin_loss: over_classes", over_classes, ("sum", "mean"))]
    return reduce(terms, axis=-1)


@keras.saving.register_keras_serializable("capsules")
def softmax_loss(y_true: Any, y_pred: Any) -> Any:
    """Softmax cross-entropy of logits [batch, classes], summed over the targets of an example: float32 [batch]."""
    targets, logits = _rows_and_predictions(y_true, y_pred)
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


@keras.saving.register_keras_serializable("capsules")
def sigmoid_loss(y_true: Any, y_pred: Any) -> Any:
    """Sigmoid cross-entropy of logits [batch, classes] with targets/2, as in 2017, mean over the classes: [batch]."""
    targets, logits = _rows_and_predictions(y_true, y_pred)
    return ops.mean(ops.softplus(logits) - 0.5 * targets * logits, axis=-1)


@keras.saving.register_keras_serializable("capsules")
def reconstruction_loss(y_true: Any, y_pred: Any, weight: float = 0.0005) -> Any:
    """`weight` · the sum of squared pixel differences of each image (paper, section 4.1), float32 [batch].

    `y_true` are images [batch, rows, columns, depth], and `y_pred` reconstructions; another shape is a ValueError.
    """
    images, drawn = precise(y_true), precise(y_pred)
    if len(images.shape) != len(drawn.shape) or images.shape[1:] != drawn.shape[1:]:
        raise ValueError(
            "Reconstructions must have the shape of the images they are compared with, [batch, rows, columns, depth]. "
            f"Received: {tuple(drawn.shape)} and {tuple(images.shape)}"
        )
    return weight * ops.sum(ops.square(drawn - images), axis=tuple(range(1, len(images.shape))))


@keras.saving.register_keras_serializable("capsules")
def spread_loss(y_true: Any, y_pred: Any, margin: Any = 0.9) -> Any:
    """Spread loss of activations, one number for each example: Σ_t T_t Σ_i (1 − T_i)·max(0, m − (a_t − a_i))².

    As `margin_loss`, with activations a in place of lengths, and with the margin m, by which the activation of a target
    must exceed every other one.

    Source: Hinton, Sabour, Frosst, "Matrix capsules with EM routing", ICLR 2018, eq. 3.
    """
    targets, activations = _rows_and_predictions(y_true, y_pred)
    lead = activations[:, :, None] - activations[:, None]  # a_t − a_i [batch, t, i]
    pairs = targets[:, :, None] * (1.0 - targets[:, None])
    return ops.sum(pairs * ops.square(ops.relu(ops.cast(margin, lead.dtype) - lead)), axis=(1, 2))


class _Loss(keras.losses.Loss):
    """A Keras loss object of a function and its further arguments, numbers and words, which are its config."""

    function: Callable

    def __init__(self, numbers: dict[str, Any], words: dict[str, str] | None = None, **kwargs: Any):
        super().__init__(**{"name": self.function.__name__} | kwargs)
        kind = type(self).__name__
        self.arguments: dict[str, Any] = {name: number(f"{kind}: {name}", value) for name, value in numbers.items()}
        self.arguments |= words or {}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments


@keras.saving.register_keras_serializable("capsules")
class MarginLoss(_Loss):
    """`margin_loss` as a Keras loss object. For `reduction`, `name` and `dtype` see `keras.losses.Loss`.

    Example:
        >>> images = keras.Input((28, 28, 1))
        >>> model = keras.Model(images, Length()(Capsules(10)(PrimaryCapsules(2)(images))))
        >>> model.compile("adam", MarginLoss(), metrics=["accuracy"])
    """

    function = staticmethod(margin_loss)

    def __init__(
        self,
        present: float = 0.9,
        absent: float = 0.1,
        absent_weight: float = 0.5,
        over_classes: str = "sum",
        **kwargs: Any,
    ):
        words = {"over_classes": choice("MarginLoss: over_classes", over_classes, ("sum", "mean"))}
        super().__init__({"present": present, "absent": absent, "absent_weight": absent_weight}, words, **kwargs)


@keras.saving.register_keras_serializable("capsules")
class ReconstructionLoss(_Loss):
    """`reconstruction_loss` as a Keras loss object, for a model with a `Decoder` among its outputs.

    `weight` is the factor of the sum of squares. For `reduction`, `name` and `dtype` see `keras.losses.Loss`.

    Example:
        >>> loss = ReconstructionLoss()(keras.ops.zeros((2, 28, 28, 1)), keras.ops.ones((2, 28, 28, 1)))
        >>> print(f"{float(loss):.3f}")
        0.392
    """

    function = staticmethod(reconstruction_loss)

    def __init__(self, weight: float = 0.0005, **kwargs: Any):
        super().__init__({"weight": weight}, **kwargs)


@keras.saving.register_keras_serializable("capsules")
class SpreadLoss(_Loss):
    """`spread_loss` as a Keras loss object, whose margin can be raised while it trains.

    In the paper it rises from 0.2 to 0.9, so that few capsules die early. `loss.set_margin(0.5)` changes it between two
    calls of `fit`; a function that JAX has compiled sees the change after `model.make_train_function(force=True)`.
    `margin` is the margin at the start. For `reduction`, `name` and `dtype` see `keras.losses.Loss`.

    Example:
        >>> loss = SpreadLoss(0.2)
        >>> loss.set_margin(0.9)
        >>> print(f"{float(loss([0], keras.ops.convert_to_tensor([[0.6, 0.1]]))):.2f}")
        0.16
    """

    function = staticmethod(spread_loss)

    def __init__(self, margin: float = 0.9, **kwargs: Any):
        super().__init__({"margin": margin}, **kwargs)
        self.margin = self.arguments["margin"] = keras.Variable(margin, trainable=False, name="margin")

    def set_margin(self, margin: float) -> None:
        """Sets the margin."""
        self.margin.assign(number("SpreadLoss: margin", margin))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"margin": round(float(self.margin), 6)}


def _rows_and_predictions(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    predictions = precise(y_pred)
    if len(predictions.shape) != 2 or predictions.shape[1] is None:
        raise ValueError(
            f"The loss takes predictions [batch, classes], such as the lengths of the class capsules. "
            f"Received the shape: {tuple(predictions.shape)}"
        )
    return ops.cast(label_rows(y_true, predictions.shape[1], predictions.shape[0]), predictions.dtype), predictions
