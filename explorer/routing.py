"""Computes each iteration of a capsule network's routing on images, over the grid of its primary capsules."""

from typing import Any

from keras import ops

from capsules.ops import length
from models.network import Classifier


def routing_steps(model: Classifier, images) -> dict[str, Any]:
    """Runs the routing of a network that has `places()`, and keeps each iteration.

    Maps are over the grid of primary capsules. At each place they have the mean over the capsule types, weighted by the
    lengths of the primary capsules, because capsules of almost zero length have coefficients but no influence. These
    averages still sum to 1 over the classes (to less with leaky routing).

    Args:
        model: the network.
        images: float [n, rows, columns, depth].

    Returns:
        A dict with "capsules" [n, classes, atoms] and for each iteration
        "coupling" [n, iterations, classes, grid rows, grid columns], the coefficients of the votes in the sum;
        "lengths" [n, iterations, classes], the lengths of the resulting capsules;
        "agreement", in the shape of "coupling", the scalar products of the votes with these capsules.
    """
    primary = model.primary_capsules(images)  # [n, in, atoms]
    votes, routed = model.classes.votes(primary), model.classes.route(primary)
    grid = (model.primary.types, *model.primary.grid)
    weights = ops.reshape(length(primary), (-1, *grid))
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-9)  # [n, types, rows, columns]

    def on_grid(values):  # [n, in, classes]
        values = ops.reshape(values, (-1, *grid, values.shape[2]))  # [n, types, rows, columns, classes]
        return ops.einsum("ntyxk,ntyx->nkyx", values, weights)

    return {
        "capsules": routed.capsules,
        "coupling": ops.stack([on_grid(step.coefficients) for step in routed.steps], axis=1),
        "lengths": ops.stack([length(step.capsules) for step in routed.steps], axis=1),
        "agreement": ops.stack([on_grid(votes.agreement(step.capsules)) for step in routed.steps], axis=1),
    }
