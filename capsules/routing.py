"""Routings, which compute output capsules from the votes of input capsules.

A routing is an object: `Capsules(10, routing=DynamicRouting(3, scale="sqrt"))`. A routing of one's own is a class
derived from `Routing` with `__call__`; `examples/new_routing.py` shows one.

Agreements and the softmax are float32 whatever the votes are: float16 is too coarse for logits that grow slowly. An
argument of a routing that is out of range is a ValueError.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from capsules.ops import choice, count, exponential_squash, length, number, precise, squash
from capsules.votes import StoredVotes


@dataclass(frozen=True)
class Step:
    """One iteration of a routing."""

    coefficients: Any  # c_ij, the weight of each vote, float32 [batch, in, out]
    capsules: Any  # v_j that they lead to, float32 [batch, out, atoms]


@dataclass(frozen=True)
class Routed:
    """What a routing returns."""

    capsules: Any  # the output capsules [batch, out, atoms]
    activations: Any  # how sure the routing is of each, [batch, out]: its length, or the routing's own
    steps: list[Step]  # the iterations in order; the last one led to `capsules`


class Routing:
    """The base class of routings.

    A derived class is registered with `keras.saving.register_keras_serializable`, so that files with it load again. It
    keeps its arguments as attributes of the same names, from which `get_config` takes them. If its activations are not
    the lengths of the capsules but other numbers in [0, 1], these are a network's scores, and `own_activations` true.
    """

    own_activations = False

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        """Creates the routing's weights as attributes; the default has none.

        `add_weight` is that of the layer that routes, and `shape` is (in, out, atoms) of the votes.
        """

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        """Routes votes to the output capsules.

        `activations` are None, or how sure each input capsule is of being present, [batch, in].
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, by name: a subclass keeps each as an attribute, or overrides this."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Routing":
        """The routing with these arguments."""
        return cls(**config)


def coupling_coefficients(logits: Any, leaky: bool = False, axis: int = -1) -> Any:
    """Softmax of the routing logits over the output capsules, which lie along `axis` (paper, eq. 3).

    With `leaky`, an extra output with logit 0 takes part. Its share is dropped, so the coefficients sum to less than 1,
    and an input capsule may belong to none of the outputs.
    """
    peak = ops.stop_gradient(ops.max(logits, axis=axis, keepdims=True))
    if leaky:
        peak = ops.maximum(peak, 0.0)
    shares = ops.exp(logits - peak)
    total = ops.sum(shares, axis=axis, keepdims=True)
    if leaky:
        total = total + ops.exp(-peak)
    return shares / total


def equal_coefficients(total: Any, inputs: int, share: float) -> Any:
    """Coefficients [batch, in, out] that are all `share`, for votes whose sum is `total` [batch, out, atoms]."""
    return ops.repeat(ops.full_like(total[:, None, :, 0], share), inputs, axis=1)


@keras.saving.register_keras_serializable("capsules")
class DynamicRouting(Routing):
    """Routing by agreement (paper, procedure 1).

    The logit of a vote is its agreement with the sum of the capsules of the iterations before, b_ij = û_ij · Σ v_j, so
    logits are not kept from one iteration to the next.

    Args:
        iterations: number of routing iterations, 1 or more. With 1, all votes have the same weight.
        leaky: see `coupling_coefficients`.
        gradient: "all": the gradient flows through every iteration, as in 2017; "last": the coefficients of the last
            iteration are treated as constants, which takes less memory and time.
        scale: a factor of the agreements: a number (1 in the paper), "sqrt" for √N with N input capsules, or "learnt"
            for a weight that starts at 1. With a factor above 1, routing is sharper.

    Weights: `bias` [out, atoms], added to the sum in every iteration before `squash`, as in 2017; `scale` if learnt.
    """

    bias: Any = None
    learnt_scale: Any = None

    def __init__(self, iterations: int = 3, leaky: bool = False, gradient: str = "all", scale: float | str = 1.0):
        self.iterations = count("Routing: iterations", iterations)
        self.leaky = bool(leaky)
        self.gradient = choice("Routing: gradient", gradient, ("all", "last"))
        words = isinstance(scale, str)
        self.scale = choice("Routing: scale", scale, ("sqrt", "learnt")) if words else number("Routing: scale", scale)
        if scale == "learnt" and (self.gradient == "last" or self.iterations == 1):
            raise ValueError("Routing: a scale is learnt with gradient='all' and 2 iterations or more.")

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.bias = add_weight(name="bias", shape=shape[1:], initializer=keras.initializers.Constant(0.1))
        if self.scale == "learnt":
            self.learnt_scale = add_weight(name="scale", shape=(), initializer="ones")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        inputs, outputs, _ = votes.shape
        bias = 0.0 if self.bias is None else precise(self.bias)
        factor: Any = {"sqrt": inputs**0.5, "learnt": self.learnt_scale}.get(str(self.scale), self.scale)
        uniform = 1.0 / (outputs + int(self.leaky))
        total = votes.sum()
        capsules = squash(uniform * total + bias)
        steps = [Step(equal_coefficients(total, inputs, uniform), capsules)]
        seen = capsules  # the sum of the capsules so far

        def couple(agreements: Any, axis: int) -> Any:
            shares = self.coefficients(factor * agreements, axis)
            return ops.stop_gradient(shares) if self.gradient == "last" else shares

        for _ in range(self.iterations - 1):
            total, coefficients = votes.attend(seen, couple)
            capsules = squash(total + bias)
            seen = seen + capsules
            steps.append(Step(coefficients, capsules))
        return Routed(capsules, length(capsules), steps)

    def coefficients(self, logits: Any, axis: int) -> Any:
        """c_ij of the routing logits b_ij, whose output capsules lie along `axis`; a derived class may have others."""
        return coupling_coefficients(logits, self.leaky, axis)


@keras.saving.register_keras_serializable("capsules")
class UniformRouting(DynamicRouting):
    """All votes have the same weight: the control for comparisons. It is `DynamicRouting` with one iteration."""

    def __init__(self):
        super().__init__(iterations=1)


@keras.saving.register_keras_serializable("capsules")
class SelfAttentionRouting(Routing):
    """Routing by the agreement of each vote with the sum of all votes, in one pass without iterations.

    c_ij = softmax over j of (û_ij · Σ_k û_kj) / √atoms, then c_ij + b_ij, and v_j = squash(Σ_i c_ij û_ij) with
    `exponential_squash`.

    Weights: `bias` b [out, in], added to the coefficients after the softmax, so that they do not sum to 1.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021, eq. 4 to 8.
    """

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.bias = add_weight(name="bias", shape=(shape[1], shape[0]), initializer="zeros")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        def couple(agreements: Any, axis: int) -> Any:
            shares = coupling_coefficients(agreements / votes.shape[2] ** 0.5, axis=axis)
            bias = precise(self.bias)
            return shares + (bias[:, None] if axis == 0 else ops.transpose(bias)[None])

        total, coefficients = votes.attend(votes.sum(), couple)
        capsules = exponential_squash(total)
        return Routed(capsules, length(capsules), [Step(coefficients, capsules)])


@keras.saving.register_keras_serializable("capsules")
class InvertedAttentionRouting(Routing):
    """Output capsules compete for each vote by its dot product with them; layer normalisation takes squash's place.

    p_j = norm(Σ_i R_ij û_ij) with uniform R first, then with R_ij = softmax over j of û_ij · p_j / √atoms.

    Source: Tsai, Srivastava, Goh, Salakhutdinov, "Capsules with inverted dot-product attention routing", ICLR 2020.

    Args:
        iterations: how many times the capsules p are computed, 1 or more; with 1, all votes have the same weight.

    Weights: `gain` and `offset` [atoms] of the normalisation. All capsules have about the same length after it, so the
    activation is the sigmoid of a product with `score` [atoms], as the paper's classifier that all classes share.
    """

    own_activations = True

    def __init__(self, iterations: int = 1):
        self.iterations = count("InvertedAttentionRouting: iterations", iterations)

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.gain = add_weight(name="gain", shape=shape[2:], initializer="ones")
        self.offset = add_weight(name="offset", shape=shape[2:], initializer="zeros")
        self.score = add_weight(name="score", shape=shape[2:], initializer="glorot_normal")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        inputs, outputs, atoms = votes.shape

        def couple(agreements: Any, axis: int) -> Any:
            return coupling_coefficients(agreements / atoms**0.5, axis=axis)

        total = votes.sum()
        capsules = self._norm(total / outputs)
        steps = [Step(equal_coefficients(total, inputs, 1.0 / outputs), capsules)]
        for _ in range(self.iterations - 1):
            total, shares = votes.attend(capsules, couple)
            capsules = self._norm(total)
            steps.append(Step(shares, capsules))
        scores = ops.sigmoid(ops.sum(capsules * precise(self.score), axis=-1))
        return Routed(capsules, scores, steps)

    def _norm(self, vectors: Any) -> Any:
        centred = vectors - ops.mean(vectors, axis=-1, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + 1e-5)
        return centred / deviation * precise(self.gain) + precise(self.offset)


def as_routing(routing: Any) -> Routing:
    """A copy of a routing, one from a file, or `DynamicRouting` of a number; a ValueError for anything else."""
    if isinstance(routing, dict):
        return keras.saving.deserialize_keras_object(routing)
    if isinstance(routing, Routing):
        return type(routing).from_config(routing.get_config())  # each layer has weights of its own
    return DynamicRouting(routing)


def dynamic_routing(
    votes: Any,
    iterations: int = 3,
    leaky: bool = False,
    bias: Any = None,
    gradient: str = "all",
    scale: float | str = 1.0,
) -> Any:
    """The output capsules [batch, out, atoms] of stored votes û [batch, in, out, atoms] (paper, procedure 1).

    `bias` is None or [out, atoms]; the other arguments are those of `DynamicRouting`.
    """
    routing = DynamicRouting(iterations, leaky, gradient, scale)
    routing.bias = bias
    return ops.cast(routing(StoredVotes(votes)).capsules, votes.dtype)
