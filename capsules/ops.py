"""Functions of capsule vectors: squash and length.

Everything is written with `keras.ops`, so the same code runs on TensorFlow, JAX and PyTorch.
Norms are computed in float32 whatever the input's dtype is: a float16 sum of sixteen squares overflows
at a length of 256.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

from keras import ops


def _safe_norm(vectors, axis: int):
    """Euclidean norm along `axis` (kept), whose gradient at a zero vector is 0 and not 0/0."""
    squared = ops.sum(ops.square(vectors), axis=axis, keepdims=True)
    is_zero = ops.equal(squared, 0.0)
    # The inner `where` keeps sqrt'(0) = inf out of the backward pass, the outer one restores the value.
    return ops.where(is_zero, 0.0, ops.sqrt(ops.where(is_zero, 1.0, squared)))


def squash(vectors, axis: int = -1):
    """Shrinks each vector to a length below 1 and keeps its direction (paper, eq. 1).

    squash(s) = |s|² / (1 + |s|²) · s / |s|, and 0 with gradient 0 at s = 0.

    Args:
        vectors: tensor of any shape and floating dtype; the atoms lie along `axis`.
        axis: the axis of the atoms.

    Returns:
        A tensor of the shape and dtype of `vectors`.
    """
    dtype = vectors.dtype
    vectors = ops.cast(vectors, "float32")
    norm = _safe_norm(vectors, axis)
    return ops.cast(vectors * (norm / (1.0 + ops.square(norm))), dtype)


def exponential_squash(vectors, axis: int = -1):
    """Shrinks each vector to a length below 1 and keeps its direction, more sensitive near 0 than `squash`.

    exponential_squash(s) = (1 - exp(-|s|)) · s / |s|, and 0 with gradient 0 at s = 0.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021, eq. 3.

    Args:
        vectors: tensor of any shape and floating dtype; the atoms lie along `axis`.
        axis: the axis of the atoms.

    Returns:
        A tensor of the shape and dtype of `vectors`.
    """
    dtype = vectors.dtype
    vectors = ops.cast(vectors, "float32")
    norm = _safe_norm(vectors, axis)
    # Near 0, 1 - exp(-n) loses its digits, so (1 - exp(-n)) / n is computed by its series; ONNX has no expm1.
    is_small = norm < 0.01
    series = ops.where(ops.equal(norm, 0.0), 0.0, 1.0 - norm / 2.0 + ops.square(norm) / 6.0)  # no gradient at 0
    scale = ops.where(is_small, series, (1.0 - ops.exp(-norm)) / ops.where(is_small, 1.0, norm))
    return ops.cast(vectors * scale, dtype)


def length(capsules, axis: int = -1):
    """Length of each capsule: the probability that its entity is present (paper, section 2).

    Args:
        capsules: tensor whose atoms lie along `axis`.
        axis: the axis of the atoms, which the result does not have.

    Returns:
        float32 tensor of lengths; the gradient at a zero vector is 0.
    """
    return ops.squeeze(_safe_norm(ops.cast(capsules, "float32"), axis), axis=axis)
