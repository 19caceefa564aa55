"""EM routing: output capsules are Gaussian clusters of the votes (Hinton, Sabour, Frosst 2018)."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from capsules.ops import count, number, precise
from capsules.routing import Routed, Routing, Step, equal_coefficients
from capsules.votes import NOMINAL_BATCH, StoredVotes

_EPSILON = 1e-6
_CHUNK = 2**23  # numbers of the votes that are stored at a time


@keras.saving.register_keras_serializable("capsules")
class EMRouting(Routing):
    """EM routing. Each output capsule is a Gaussian; its mean is the pose, and its cost decides the activation.

    The M-step fits mean and variance to the votes, weighted by the assignments and the activations of the inputs. The
    E-step assigns each input capsule anew by the probability of its votes. The inverse temperature of iteration t is
    λ·(1 − 0.95^(t+1)). Everything is float32 and in logarithms, and the square of a difference is not expanded, since
    the terms would cancel. Votes are stored for a part of the input capsules at a time.

    Source: Hinton, Sabour, Frosst, "Matrix capsules with EM routing", ICLR 2018, procedure 1.

    Args:
        iterations: number of M-steps, 1 or more.
        inverse_temperature: λ.

    Weights: `beta_u`, `beta_a` [out]. `beta_u` starts at 1: a capsule pays if its votes deviate by less than 1/e, and
    poses of a size of about 1 have activations between 0 and 1, and not all 1, where nothing would learn.
    """

    own_activations = True
    beta_u: Any
    beta_a: Any

    def __init__(self, iterations: int = 3, inverse_temperature: float = 0.01):
        self.iterations = count("EMRouting: iterations", iterations)
        self.inverse_temperature = number("EMRouting: inverse_temperature", inverse_temperature)

    def build(self, add_weight: Callable, shape: tuple[int, int, int]) -> None:
        self.beta_u = add_weight(name="beta_u", shape=(shape[1],), initializer="ones")
        self.beta_a = add_weight(name="beta_a", shape=(shape[1],), initializer="zeros")

    def __call__(self, votes: StoredVotes, activations: Any = None) -> Routed:
        inputs, outputs, _ = votes.shape
        present = 1.0 if activations is None else precise(activations)[:, :, None]  # [batch, in, 1]
        assigned = equal_coefficients(votes.sum(), inputs, 1.0 / outputs)  # R [batch, in, out]
        steps = []
        for iteration in range(self.iterations):
            weights = assigned * present
            total = ops.sum(weights, axis=1)  # S [batch, out]
            mean = votes.weighted_sum(weights) / (total[..., None] + _EPSILON)  # [batch, out, atoms]
            spread: Any = 0.0
            for part, squares in _squared_differences(votes, mean):
                spread = spread + ops.sum(weights[:, part, :, None] * squares, axis=1)
            variance = spread / (total[..., None] + _EPSILON) + _EPSILON
            cost = total * ops.sum(precise(self.beta_u)[:, None] + 0.5 * ops.log(variance), axis=-1)  # [batch, out]
            temperature = self.inverse_temperature * (1.0 - 0.95 ** (iteration + 1))
            logits = temperature * (precise(self.beta_a) - cost)
            steps.append(Step(assigned, mean))
            if iteration < self.iterations - 1:
                prior = ops.log_sigmoid(logits) - 0.5 * ops.sum(ops.log(2 * math.pi * variance), axis=-1)
                likelihoods = [
                    prior[:, None] - 0.5 * ops.sum(squares / variance[:, None], axis=-1)
                    for _, squares in _squared_differences(votes, mean)
                ]
                assigned = ops.softmax(ops.concatenate(likelihoods, axis=1), axis=-1)
        return Routed(mean, ops.sigmoid(logits), steps)


def _squared_differences(votes: StoredVotes, mean: Any) -> Iterator[tuple[slice, Any]]:
    """(û − μ)² [batch, size, out, atoms] for a part of the input capsules at a time, and which part that is."""
    inputs, outputs, atoms = votes.shape
    size = max(1, _CHUNK // (NOMINAL_BATCH * votes.places * outputs * atoms))
    for start, part in zip(range(0, inputs, size), votes.chunks(size), strict=True):
        yield slice(start, start + size), ops.square(precise(part.array) - mean[:, None])
