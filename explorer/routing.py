"""Computes each iteration of a capsule network's routing on images."""

from typing import Any

from keras import ops

from capsules.ops import length, squash
from models.classifier import Classifier


def routing_steps(model: Classifier, images) -> dict[str, Any]:
    """Runs the routing by agreement of a network that has `places()`, and keeps each iteration.

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
    layer, classes = model.primary, model.classes
    primary = layer(model.conv1(images))  # [n, in, atoms]
    capsules, coefficients = classes.route(primary)
    votes = classes.compute_votes(primary)
    grid = (layer.types, *layer.grid)
    weights = ops.reshape(length(primary), (-1, *grid))
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-9)  # [n, types, rows, columns]

    def on_grid(values):  # [classes, n, in]
        values = ops.reshape(ops.cast(values, "float32"), (classes.num_capsules, -1, *grid))
        return ops.einsum("kntyx,ntyx->nkyx", values, weights)

    coupling, lengths, agreement = [], [], []
    for shares in coefficients:
        total = ops.cast(votes.weighted_sum(shares), "float32") + ops.cast(classes.bias, "float32")[:, None]
        summed = squash(total)  # [classes, n, atoms]
        coupling.append(on_grid(shares))
        lengths.append(ops.transpose(length(summed)))
        agreement.append(on_grid(votes.agreement(summed)))
    steps = {"coupling": coupling, "lengths": lengths, "agreement": agreement}
    return {"capsules": capsules} | {name: ops.stack(values, axis=1) for name, values in steps.items()}
