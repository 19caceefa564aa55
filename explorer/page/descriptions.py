"""Describes a network, with its weights, for `network.js` and `efficient.js`, which run it in the browser.

Weights are found by their names in a checkpoint, and strides and paddings by the names of the layers.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from capsules import DynamicRouting
from runner.flags import UserError
from runner.loader import Trained


class Network:
    """A network's layers and weights, which it adds to `arrays`, by kind: a description has the place of each array.

    An array whose numbers are all float16 numbers is kept as float16, every other as float32.
    """

    def __init__(self, model: Any, arrays: defaultdict[str, list[np.ndarray]]):
        self.model, self.arrays = model, arrays
        self.named = {name: np.asarray(values) for name, values in model.named_variables().items()}

    def add(self, values: Any) -> dict[str, Any]:
        values = np.asarray(values, "<f4").ravel()
        with np.errstate(over="ignore"):
            halves = values.astype("<f2")
        kind, kept = ("float16", halves) if (halves == values).all() else ("float32", values)
        start = sum(each.size for each in self.arrays[kind])
        self.arrays[kind].append(kept)
        return {"kind": kind, "start": start, "count": values.size}

    def convolution(self, name: str) -> dict[str, Any]:
        layer = self.model.get_layer(name)
        size, _, _, channels = self.named[f"{name}/weights"].shape
        shape = {"size": size, "stride": layer.strides[0], "padding": layer.padding, "channels": channels}
        return self.dense(name) | shape

    def dense(self, name: str, relu: bool = False) -> dict[str, Any]:
        kernel, bias = (self.add(self.named[f"{name}/{each}"]) for each in ("weights", "biases"))
        return {"kernel": kernel, "bias": bias, "relu": relu}

    def stack(self, names: list[str]) -> list[dict[str, Any]]:
        """Dense layers with ReLU between them."""
        return [self.dense(name, relu=name is not names[-1]) for name in names]

    def layers(self, start: str) -> list[str]:
        """The names of the layers with a kernel that begin like this."""
        return [
            name.removesuffix("/weights") for name in self.named if name.endswith("/weights") and name.startswith(start)
        ]

    def classes(self, name: str) -> dict[str, Any]:
        """The layer of class capsules, whose kernel is [in, atoms_in, classes·atoms]."""
        inputs, _, width = self.named[f"{name}/weights"].shape
        routing, classes = self.model.classes.routing, self.model.num_classes
        scale = getattr(routing, "scale", 1)  # a number, "sqrt" or "learnt"
        scale = {"sqrt": inputs**0.5, "learnt": getattr(routing, "learnt_scale", 1)}.get(scale, scale)
        return self.dense(name) | {"classes": classes, "atoms": width // classes, "scale": float(scale)}


def describe(trained: Trained, arrays: defaultdict[str, list[np.ndarray]]) -> dict[str, Any]:
    """A network as the page runs it; its weights are added to `arrays`.

    Raises:
        UserError: a kind of network that the page cannot run.
    """
    model, kind = trained.model, type(trained.model).__name__
    if kind not in _DESCRIPTIONS or (kind == "CapsNet" and not isinstance(model.classes.routing, DynamicRouting)):
        raise UserError(f"The page runs {', '.join(_DESCRIPTIONS)} with their own routing. Received: {kind}.")
    network, (rows, columns, depth) = Network(model, arrays), model.image_shape
    own = {"decoder": network.stack(network.layers("recons/")) or None}
    return _DESCRIPTIONS[kind](network) | own | {"rows": rows, "columns": columns, "depth": depth}


def _capsules(network: Network) -> dict[str, Any]:
    primary, layer = network.convolution("conv_capsule1"), network.model.primary
    # The factor multiplies the sum before the bias.
    primary |= {"offset": primary["bias"], "bias": None, "types": layer.types, "atoms": layer.atoms}
    routing = network.model.classes.routing
    return {
        "kind": "capsules",
        "conv1": network.convolution("conv1"),
        "primary": primary | {"coefficient": layer.scale},
        "classes": network.classes("capsule2") | {"routing": routing.iterations, "leaky": routing.leaky},
    }


def _efficient(network: Network) -> dict[str, Any]:
    named, convolutions = network.named, []
    if "norm1/moving_mean" not in named:
        raise UserError("The page does not run the Efficient-CapsNet of smallNORB.")
    for index in range(1, 5):
        name = f"norm{index}"
        epsilon = network.model.get_layer(name).epsilon
        factor = named[f"{name}/gamma"] / np.sqrt(named[f"{name}/moving_variance"] + epsilon)
        offset = named[f"{name}/beta"] - named[f"{name}/moving_mean"] * factor
        normalisation = {"factor": network.add(factor), "offset": network.add(offset)}
        convolutions.append(network.convolution(f"conv{index}") | normalisation)
    layer = network.model.primary
    shape = {"size": layer.kernel_size, "stride": layer.strides[0], "atoms": layer.atoms}
    return {
        "kind": "efficient",
        "convolutions": convolutions,
        "primary": network.dense("primary") | shape,
        "classes": network.classes("classes"),
    }


def _baseline(network: Network) -> dict[str, Any]:
    names = network.layers("conv")
    pools = {layer.name for layer in network.model.layers}
    return {
        "kind": "convolutions",
        "loss": network.model.hparams.loss_type,
        "convolutions": [
            network.convolution(name) | {"pooled": name.replace("conv", "pool") in pools} for name in names
        ],
        "head": network.stack([name for name in network.layers("") if name not in names]),
    }


_DESCRIPTIONS: dict[str, Callable] = {
    "CapsNet": _capsules,
    "EfficientCapsNet": _efficient,
    "Baseline": _baseline,
    "PaperBaseline": _baseline,
}
