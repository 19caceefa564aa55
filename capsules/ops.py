"""Functions of capsule vectors, squash and length, and what every file of the library needs.

Norms are computed in float32, or in float64 for tensors that have it: a float16 sum of sixteen squares overflows at a
length of 256.
"""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import keras
from keras import ops


def precise(tensor: Any) -> Any:
    """The tensor in float32, or in float64 if it has that; norms, softmax and losses are computed so."""
    tensor = ops.convert_to_tensor(tensor)
    return ops.cast(tensor, "float64" if keras.backend.standardize_dtype(tensor.dtype) == "float64" else "float32")


def _safe_norm(vectors: Any, axis: int) -> Any:
    """Euclidean norm along `axis` (kept), whose gradient at a zero vector is 0 and not 0/0."""
    squared = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    is_zero = ops.equal(squared, 0.0)
    # The inner `where` keeps sqrt'(0) = inf out of the backward pass, the outer one restores the value.
    return ops.where(is_zero, 0.0, ops.sqrt(ops.where(is_zero, 1.0, squared)))


@keras.saving.register_keras_serializable("capsules")
def squash(vectors: Any, axis: int = -1) -> Any:
    """Shrinks each vector to a length below 1 and keeps its direction (paper, eq. 1).

    squash(s) = |s|² / (1 + |s|²) · s / |s|, and 0 with gradient 0 at s = 0.

    Args:
        vectors: tensor of any shape and floating dtype, which the result has too.
        axis: the axis of the atoms.
    """
    values = precise(vectors)
    norm = _safe_norm(values, axis)
    return ops.cast(values * (norm / (1.0 + ops.square(norm))), vectors.dtype)


@keras.saving.register_keras_serializable("capsules")
def exponential_squash(vectors: Any, axis: int = -1) -> Any:
    """Shrinks each vector to a length below 1 and keeps its direction, more sensitive near 0 than `squash`.

    exponential_squash(s) = (1 - exp(-|s|)) · s / |s|, and 0 with gradient 0 at s = 0. Arguments as `squash`.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021, eq. 3.
    """
    values = precise(vectors)
    norm = _safe_norm(values, axis)
    # Near 0, 1 - exp(-n) loses its digits, so (1 - exp(-n)) / n is computed by its series; ONNX has no expm1.
    is_small = norm < 0.01
    series = ops.where(ops.equal(norm, 0.0), 0.0, 1.0 - norm / 2.0 + ops.square(norm) / 6.0)  # no gradient at 0
    scale = ops.where(is_small, series, (1.0 - ops.exp(-norm)) / ops.where(is_small, 1.0, norm))
    return ops.cast(values * scale, vectors.dtype)


@keras.saving.register_keras_serializable("capsules")
def length(capsules: Any, axis: int = -1) -> Any:
    """Length of each capsule: the probability that its entity is present (paper, section 2).

    The atoms lie along `axis`, which the result does not have. It is float32 (float64 for float64), and its gradient at
    a zero vector is 0.
    """
    return ops.squeeze(_safe_norm(precise(capsules), axis), axis=axis)


def runs_on_cpu() -> bool:
    """Whether TensorFlow or JAX computes without an accelerator; PyTorch's products on a CPU follow other rules."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


# Checks of arguments. Each returns the value in one form, or raises a ValueError that names the argument. NumPy's
# numbers are accepted, booleans are not.


def count(name: str, value: Any) -> int:
    """A whole number of 1 or more."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of 1 or more. Received: {value!r}")
    return int(value)


def number(name: str, value: Any) -> float:
    """A finite number of 0 or more."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError(f"{name} must be a finite number of 0 or more. Received: {value!r}")
    return float(value)


def counts(name: str, value: Any, meaning: str) -> tuple[int, ...]:
    """Several whole numbers of 1 or more, as many as there are names in `meaning`, such as "(rows, columns)"."""
    expected = meaning.count(",") + 1
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != expected:
        raise ValueError(f"{name} must be {expected} whole numbers {meaning}. Received: {value!r}")
    return tuple(count(f"Each of {name} {meaning}", each) for each in value)


def sides(name: str, value: Any) -> tuple[int, ...]:
    """(rows, columns) from one number for both or from two."""
    return counts(name, (value, value) if isinstance(value, Integral) else value, "(rows, columns)")


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of a few words, in lower case."""
    word = value.lower() if isinstance(value, str) else value
    if word not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {value!r}")
    return word


def check_floats(layer: Any, images: Any) -> Any:
    """Images of floats; whole numbers, such as bytes, are refused."""
    dtype = keras.backend.standardize_dtype(images.dtype)
    if "float" not in dtype:
        expected = f"'{layer.name}' expects images of floats in [0, 1]."
        raise ValueError(f"{expected} Received: {dtype}. Divide by 255: images / 255.0")
    return images


def drawn_dtype(layer: Any) -> str:
    """The dtype of lengths, activations and images: float32 under every dtype policy but float64."""
    return "float64" if layer.compute_dtype == "float64" else "float32"
