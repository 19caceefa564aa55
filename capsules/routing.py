"""Routings, which compute output capsules from the votes of input capsules.

A routing is a callable that takes votes and a bias and returns (capsules, coefficients). It works with any
object that has the methods of `capsules.votes.Votes`: `sum`, `weighted_sum` and `agreement`. To add a routing,
write a class like `DynamicRouting` and return an instance from `make_routing` of a layer derived from
`capsules.layers.Capsules`.

Routing logits and the softmax are computed in float32 whatever the dtype of the votes is: the smallest step of
float16 is too coarse for logits that grow by small agreements.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from capsules.ops import exponential_squash, squash
from capsules.votes import StoredVotes, Votes

Routing = Callable[..., tuple[Any, list]]  # of votes and a bias; gives (capsules, coefficients)


def coupling_coefficients(logits, leaky: bool = False, axis: int = 0):
    """Softmax of the routing logits over the output capsules (paper, eq. 3).

    Args:
        logits: float tensor; the output capsules lie along `axis`.
        leaky: whether an extra output with logit 0 takes part in the softmax. Its share is dropped, so an input
            capsule may belong to none of the outputs.
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


@dataclass(frozen=True)
class DynamicRouting:
    """Routing by agreement (paper, procedure 1).

    All routing logits start at 0, so the first iteration gives all votes the same weight.

    Args:
        iterations: number of routing iterations, 1 or more.
        leaky: see `coupling_coefficients`.
        gradient: "all": the gradient flows through every iteration, as in 2017; "last": the coefficients of the last
            iteration are treated as constants, which takes less memory and time.

    Raises:
        ValueError: `iterations` below 1, or an unknown `gradient`.
    """

    iterations: int = 3
    leaky: bool = False
    gradient: str = "all"

    def __post_init__(self):
        if not isinstance(self.iterations, int) or isinstance(self.iterations, bool) or self.iterations < 1:
            raise ValueError(f"Routing takes a whole number of iterations, 1 or more. Received: {self.iterations!r}")
        if self.gradient not in ("all", "last"):
            raise ValueError(f"The routing gradient is 'all' or 'last'. Received: {self.gradient!r}")

    def __call__(self, votes: Votes | StoredVotes, bias=None):
        """Routes the votes to the output capsules.

        Args:
            votes: the votes û_ij of input capsule i for output capsule j.
            bias: None, or [out, atoms], added to the sum in every iteration before `squash`.

        Returns:
            (capsules, coefficients): output capsules v [out, batch, atoms] and a list of the coupling coefficients
            c [out, batch, in] of each iteration, all float32.
        """
        uniform = 1.0 / (votes.coefficients_shape[0] + bool(self.leaky))
        coefficients = [ops.full(votes.coefficients_shape, uniform, dtype="float32")]
        offset = 0.0 if bias is None else ops.expand_dims(bias, axis=1)  # [out, 1, atoms]
        capsules = _squashed_sum(uniform * votes.sum(), offset)
        logits = 0.0
        for _ in range(self.iterations - 1):
            logits = logits + ops.cast(votes.agreement(capsules), "float32")
            shares = coupling_coefficients(logits, self.leaky)
            coefficients.append(ops.stop_gradient(shares) if self.gradient == "last" else shares)
            capsules = _squashed_sum(votes.weighted_sum(coefficients[-1]), offset)
        return capsules, coefficients


def _squashed_sum(total, offset):
    return squash(ops.cast(total, "float32") + ops.cast(offset, "float32"))


def self_attention_routing(votes: Votes | StoredVotes, bias=None):
    """Routes votes by their agreement with the sum of all votes, in one pass without iterations.

    c_ij = softmax over j of (û_ij · Σ_k û_kj) / √atoms, then c_ij + b_ij, and v_j = squash(Σ_i c_ij û_ij) with
    `exponential_squash`.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021, eq. 4 to 8.

    Args:
        votes: the votes û_ij of input capsule i for output capsule j.
        bias: None, or b [out, in], added to the coupling coefficients after the softmax.

    Returns:
        (capsules, coefficients): output capsules v [out, batch, atoms] and a list with one tensor of coupling
        coefficients c [out, batch, in], both float32. With a bias, the coefficients do not sum to 1 over the outputs.
    """
    total = ops.cast(votes.sum(), "float32")  # [out, batch, atoms]
    logits = ops.cast(votes.agreement(total), "float32") / total.shape[-1] ** 0.5
    coefficients = coupling_coefficients(logits)
    if bias is not None:
        coefficients = coefficients + ops.cast(bias, "float32")[:, None, :]  # [out, batch, in]
    capsules = exponential_squash(ops.cast(votes.weighted_sum(coefficients), "float32"))
    return capsules, [coefficients]


def dynamic_routing(votes, iterations: int = 3, leaky: bool = False, bias=None, gradient: str = "all"):
    """Routes votes that are already stored to the output capsules (paper, procedure 1).

    `capsules.layers.Capsules` does the same from the input capsules without ever storing the votes.

    Args:
        votes: û [batch, in, out, atoms], the prediction of input capsule i for output capsule j.
        iterations: number of routing iterations, 1 or more.
        leaky: see `coupling_coefficients`.
        bias: None, or [out, atoms], added to the weighted sum inside every iteration.
        gradient: "all" or "last", see `DynamicRouting`.

    Returns:
        The output capsules [batch, out, atoms], in the dtype of `votes`.

    Raises:
        ValueError: the votes have another rank, or `DynamicRouting` refuses the arguments.

    Example:
        >>> votes = keras.random.normal((2, 1152, 10, 16))
        >>> tuple(dynamic_routing(votes).shape)
        (2, 10, 16)
    """
    capsules, _ = DynamicRouting(iterations, leaky, gradient)(StoredVotes(votes), bias)
    return ops.cast(ops.transpose(capsules, (1, 0, 2)), votes.dtype)  # [batch, out, atoms]
