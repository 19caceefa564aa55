"""Routing by inverted dot-product attention (Tsai, Srivastava, Goh, Salakhutdinov 2020)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from capsules.ops import count, length, precise
from capsules.routing import Routed, Routing, Step, coupling_coefficients
from capsules.votes import StoredVotes

_EPSILON = 1e-5


@keras.saving.register_keras_serializable("capsules")
class InvertedAttentionRouting(Routing):
    """Output capsules compete for each vote by its dot product with them; layer normalisation takes squash's place.

    p_j = norm(Σ_i R_ij û_ij) with uniform R first, then with R_ij = softmax over j of û_ij · p_j / √atoms.

    Source: Tsai, Srivastava, Goh, Salakhutdinov, "Capsules with inverted dot-product attention routing", ICLR 2020.

    Args:
        iterations: how many times the capsules p are computed, 1 or more; with 1, all votes have the same weight.

    Weights: `gain` and `offset` [atoms] of the normalisation. All capsules have about the same length after it, so the
    activation is the sigmoid of a product with `score` [atoms], as the paper's classifier that all classes share.

    Raises:
        ValueError: `iterations` is out of range.
    """

    own_activations = True

    def __init__(self, iterations: int = 1):
        self.iterations = count("InvertedAttentionRouting: iterations", iterations)
        self.gain: Any = None
        self.offset: Any = None
        self.score: Any = None

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.gain = add_weight(name="gain", shape=shape[2:], initializer="ones")
        self.offset = add_weight(name="offset", shape=shape[2:], initializer="zeros")
        self.score = add_weight(name="score", shape=shape[2:], initializer="glorot_normal")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        inputs, outputs, atoms = votes.shape
        total = votes.sum()
        shares = ops.repeat(ops.full_like(total[:, None, :, 0], 1.0 / outputs), inputs, axis=1)  # [batch, in, out]
        capsules = self._norm(total / outputs)
        steps = [Step(shares, capsules)]
        for _ in range(self.iterations - 1):
            total, shares = votes.attend(
                capsules, lambda agreements, axis: coupling_coefficients(agreements / atoms**0.5, axis=axis)
            )
            capsules = self._norm(total)
            steps.append(Step(shares, capsules))
        scored = (
            length(capsules) if self.score is None else ops.sigmoid(ops.sum(capsules * precise(self.score), axis=-1))
        )
        return Routed(capsules, scored, steps)

    def _norm(self, vectors: Any) -> Any:
        centred = vectors - ops.mean(vectors, axis=-1, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + _EPSILON)
        return centred / deviation * precise(self.gain) + precise(self.offset)
