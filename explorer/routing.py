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
    _, size, _ = primary.shape
    shape = (-1, size, classes.num_capsules, classes.atoms)
    votes = ops.cast(ops.reshape(ops.einsum("nia,iak->nik", primary, classes.kernel), shape), "float32")
    grid = (layer.types, *layer.grid)
    weights = ops.reshape(length(primary), (-1, *grid))
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-9)  # [n, types, rows, columns]

    def on_grid(values):  # [n, in, classes]
        values = ops.reshape(values, (-1, *grid, classes.num_capsules))
        return ops.einsum("ntyxk,ntyx->nkyx", values, weights)

    coupling, lengths, agreement = [], [], []
    for each in coefficients:
        shares = ops.transpose(ops.cast(each, "float32"), (1, 2, 0))  # [n, in, classes]
        total = ops.einsum("nik,nika->nka", shares, votes) + ops.cast(classes.bias, "float32")
        summed = squash(total)
        coupling.append(on_grid(shares))
        lengths.append(length(summed))
        agreement.append(on_grid(ops.einsum("nika,nka->nik", votes, summed)))
    steps = {"coupling": coupling, "lengths": lengths, "agreement": agreement}
    return {"capsules": capsules} | {name: ops.stack(values, axis=1) for name, values in steps.items()}
