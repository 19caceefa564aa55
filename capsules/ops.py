"""The arithmetic of capsules as plain functions: squash, length and routing by agreement.

Everything is written with `keras.ops`, so the same code runs on TensorFlow, JAX and PyTorch.
Norms, routing logits and the softmax are computed in float32 whatever the input's dtype: a float16
sum of sixteen squares overflows at a length of 256, and its smallest step is too coarse for logits
that grow by small agreements.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

from collections.abc import Callable

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


def length(capsules, axis: int = -1):
    """Length of each capsule: the probability that its entity is there (paper, section 2).

    Args:
        capsules: tensor whose atoms lie along `axis`.
        axis: the axis of the atoms, which the result no longer has.

    Returns:
        float32 tensor of lengths; the gradient at a zero vector is 0.
    """
    return ops.squeeze(_safe_norm(ops.cast(capsules, "float32"), axis), axis=axis)


def coupling_coefficients(logits, leaky: bool = False, axis: int = 0):
    """Softmax of the routing logits over the output capsules (paper, eq. 3).

    Args:
        logits: float tensor; the output capsules lie along `axis`.
        leaky: an extra output with logit 0 takes part in the softmax and its share is dropped, so
            that an input capsule may belong to none of the outputs.
        axis: the axis of the output capsules.

    Returns:
        Coefficients of the shape of `logits`, which sum to 1 over `axis` (to less when leaky).
    """
    peak = ops.stop_gradient(ops.max(logits, axis=axis, keepdims=True))
    if leaky:
        peak = ops.maximum(peak, 0.0)
    shares = ops.exp(logits - peak)
    total = ops.sum(shares, axis=axis, keepdims=True)
    if leaky:
        total = total + ops.exp(-peak)
    return shares / total


def route(
    weighted_sum: Callable,
    agreement: Callable,
    num_outputs: int,
    iterations: int = 3,
    leaky: bool = False,
    bias=None,
    gradient: str = "all",
):
    """Routing by agreement over any form of votes (paper, procedure 1).

    The caller says how votes are summed and compared, and may so avoid storing them. The gradient
    flows through every iteration unless `gradient` says otherwise.

    Args:
        weighted_sum: function of coefficients c [out, batch, in], or of one number that stands for
            all of them in the first iteration, that gives s_j = Σ_i c_ij û_ij, [out, batch, atoms].
        agreement: function of v [out, batch, atoms] that gives û_ij · v_j, [out, batch, in].
        num_outputs: number of output capsules.
        iterations: number of routing iterations, 1 or more.
        leaky: see `coupling_coefficients`.
        bias: None, or [out, 1, atoms], added to the sum inside every iteration before squash.
        gradient: "all" (through every iteration, as in 2017), or "last" (the coefficients of the
            last iteration are taken as constants: less memory and time).

    Returns:
        (capsules, coefficients): float32 output capsules v [out, batch, atoms] and, for each iteration, the
        coefficients it summed with: one number for the first, [out, batch, in] for the others.

    Raises:
        ValueError: `iterations` below 1, or an unknown `gradient`.
    """
    check_routing(iterations, gradient)
    # All logits start at 0, so the first coefficients are one known number.
    coefficients = [1.0 / (num_outputs + bool(leaky))]
    logits = 0.0
    for iteration in range(iterations):
        total = ops.cast(weighted_sum(coefficients[-1]), "float32")
        if bias is not None:
            total = total + ops.cast(bias, "float32")
        capsules = squash(total)
        if iteration + 1 < iterations:
            logits = logits + ops.cast(agreement(capsules), "float32")
            shares = coupling_coefficients(logits, leaky)
            coefficients.append(ops.stop_gradient(shares) if gradient == "last" else shares)
    return capsules, coefficients


def check_routing(iterations: int, gradient: str = "all") -> None:
    """Refuses, with a ValueError, routing arguments that `route` cannot work with."""
    if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations < 1:
        raise ValueError(f"Routing takes a whole number of iterations, 1 or more. Received: {iterations!r}")
    if gradient not in ("all", "last"):
        raise ValueError(f"The routing gradient is 'all' or 'last'. Received: {gradient!r}")


def dynamic_routing(votes, iterations: int = 3, leaky: bool = False, bias=None, gradient: str = "all"):
    """Routes votes that are already there to the output capsules (paper, procedure 1).

    `capsules.layers.Capsules` does the same from the input capsules without ever storing the votes.

    Args:
        votes: û [batch, in, out, atoms]: what input capsule i predicts for output capsule j.
        iterations: number of routing iterations, 1 or more.
        leaky: see `coupling_coefficients`.
        bias: None, or [out, atoms], added to the weighted sum inside every iteration.
        gradient: "all" or "last", see `route`.

    Returns:
        The output capsules [batch, out, atoms], in the dtype of `votes`.

    Raises:
        ValueError: votes of another rank, or arguments that `route` refuses.

    Example:
        >>> votes = keras.random.normal((2, 1152, 10, 16))
        >>> dynamic_routing(votes).shape
        (2, 10, 16)
    """
    if len(votes.shape) != 4:
        raise ValueError(f"Votes have the shape [batch, in, out, atoms]. Received: {tuple(votes.shape)}")
    by_output = ops.transpose(votes, (2, 0, 1, 3))  # [out, batch, in, atoms]

    def weighted_sum(coefficients):
        if isinstance(coefficients, float):
            return coefficients * ops.sum(by_output, axis=2)
        shares = ops.cast(coefficients, votes.dtype)[:, :, None, :]  # [out, batch, 1, in]
        return ops.squeeze(ops.matmul(shares, by_output), axis=2)  # [out, batch, atoms]

    def agreement(capsules):
        capsules = ops.cast(capsules, votes.dtype)[..., None]  # [out, batch, atoms, 1]
        return ops.squeeze(ops.matmul(by_output, capsules), axis=3)  # [out, batch, in]

    if bias is not None:
        bias = ops.expand_dims(bias, axis=1)  # [out, 1, atoms]
    capsules, _ = route(weighted_sum, agreement, votes.shape[2], iterations, leaky, bias, gradient)
    return ops.cast(ops.transpose(capsules, (1, 0, 2)), votes.dtype)  # [batch, out, atoms]
