"""Converts labels of every form to multi-hot rows, and refuses labels outside the classes.

Where the values of the labels are available (outside compiled functions), a wrong one raises a ValueError that names
it. Inside a compiled function, such as the training step of `fit`, not every backend can raise an error. There the
example's row becomes NaN, and so do the loss and the metrics, as in Keras' sparse losses on an accelerator.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


def multi_hot(labels: Any, num_classes: int) -> Any:
    """Labels in any form that a loss takes, as one row of zeros and ones for each example.

    Args:
        labels: integers [batch] or [batch, 1] from 0 to `num_classes` − 1, which may be floats, as Keras passes them to
            a loss; or one-hot or multi-hot [batch, num_classes]. With one class, a label is 1 if the class is present
            and 0 if not.
        num_classes: number of classes.

    Returns:
        float32 [batch, num_classes]; a row is NaN if a compiled function received a wrong label.

    Raises:
        ValueError: the labels have another shape or, where values are available, a label is outside the classes or a
            row has a number other than 0 and 1. The message names it.

    Example:
        >>> print(keras.ops.convert_to_numpy(multi_hot([2, 0], 3)))
        [[0. 0. 1.]
         [1. 0. 0.]]
    """
    labels = ops.convert_to_tensor(labels)
    shape = tuple(labels.shape)
    if num_classes == 1 and len(shape) == 1:
        labels = ops.expand_dims(labels, axis=1)  # [batch, 1]
        shape = (*shape, 1)
    if len(shape) == 2 and shape[1] == num_classes:
        rows = ops.cast(labels, "float32")
        valid = ops.all(ops.logical_or(ops.equal(rows, 0.0), ops.equal(rows, 1.0)), axis=1)
        refuse(labels, valid, f"Labels [batch, {num_classes}] must be one-hot or multi-hot, with 0 and 1 only")
    elif len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        labels = ops.reshape(labels, (ops.shape(labels)[0],))
        classes, valid = whole_numbers(labels, num_classes)
        refuse(labels, valid, f"Labels must be whole numbers from 0 to {num_classes - 1}")
        rows = ops.one_hot(classes, num_classes, dtype="float32")
    else:
        raise ValueError(
            f"Labels of {num_classes} classes must be integers [batch] or [batch, 1], or one-hot or multi-hot "
            f"[batch, {num_classes}]. Received the shape: {shape}"
        )
    return ops.where(valid[:, None], rows, float("nan"))


def multi_hot_targets(labels: Any, num_classes: int) -> Any:
    """Valid labels [batch, num_targets] as float32 [batch, num_classes], with a 1 at each label."""
    return ops.sum(ops.one_hot(labels, num_classes, dtype="float32"), axis=1)


def whole_numbers(labels: Any, num_classes: int) -> tuple[Any, Any]:
    """Labels of any shape and dtype as int32 clipped to the classes, and for each a bool: whether it was a class."""
    classes = ops.cast(labels, "int32")
    valid = ops.logical_and(ops.equal(ops.cast(classes, labels.dtype), labels), ops.greater_equal(classes, 0))
    valid = ops.logical_and(valid, ops.less(classes, num_classes))
    return ops.clip(classes, 0, num_classes - 1), valid


def refuse(labels: Any, valid: Any, rule: str) -> None:
    """Raises a ValueError that states the rule and names the first wrong label, if values are available.

    Args:
        labels: [batch, …].
        valid: bool [batch], whether the example's labels follow the rule.
        rule: a sentence without its full stop.
    """
    seen = values(valid)
    if seen is None or seen.all():
        return
    place = int(np.argmin(seen))
    wrong = np.array2string(ops.convert_to_numpy(labels)[place], precision=4, threshold=20)
    raise ValueError(f"{rule}. Received {wrong} as the label of example {place}.")


def values(tensor: Any) -> np.ndarray | None:
    """The values of a tensor; None inside a compiled function, where it has no values yet."""
    if isinstance(tensor, keras.KerasTensor):
        return None
    try:
        return np.asarray(ops.convert_to_numpy(tensor))
    except (NotImplementedError, RuntimeError, TypeError):  # from the tracers of TensorFlow, PyTorch and JAX
        return None
