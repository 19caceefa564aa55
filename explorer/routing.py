"""What the routing of a capsule network does to images, iteration by iteration."""

from typing import Any

from keras import ops

from capsules.ops import length, squash
from models.classifier import Classifier


def routing_steps(model: Classifier, images) -> dict[str, Any]:
    """How the routing by agreement of a network that has `places()` comes to its class capsules.

    Maps are over the grid of primary capsules: at each place the mean over the capsule types, weighted by the lengths
    of the primary capsules, since those near zero length have a coefficient but no say. Coefficients so averaged
    still sum to 1 over the classes (to less with leaky routing).

    Args:
        model: the network.
        images: float [n, rows, columns, depth].

    Returns:
        "capsules" [n, classes, atoms], and for each iteration "coupling" [n, iterations, classes, grid rows, grid
        columns], the coefficients that it sums the votes with; "lengths" [n, iterations, classes], of the capsules
        that this gives; "agreement" (the shape of "coupling"), of the votes with these capsules, their scalar product.
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
