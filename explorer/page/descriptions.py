"""Describes a network, with its weights, for `network.js`, which runs it in the browser."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from capsules import DynamicRouting, UniformRouting
from models.network import Classifier
from runner.flags import UserError


class Described:
    """A network whose layers are described by their names, and whose weights are added to `arrays`, by kind.

    The description of an array says where it is. An array whose numbers are all float16 numbers is kept as float16,
    every other as float32.
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

    def dense(self, name: str, relu: bool = False) -> dict[str, Any]:
        kernel, bias = (self.add(self.named[f"{name}/{each}"]) for each in ("weights", "biases"))
        return {"kernel": kernel, "bias": bias, "relu": relu}

    def convolution(self, name: str, relu: bool = True) -> dict[str, Any]:
        layer = self.model.get_layer(name)
        size, _, _, channels = self.named[f"{name}/weights"].shape
        shape = {"size": size, "stride": layer.strides[0], "padding": layer.padding, "channels": channels}
        return self.dense(name, relu) | shape

    def classes(self, name: str) -> dict[str, Any]:
        """The layer of class capsules, whose kernel is [in, atoms_in, classes·atoms]."""
        inputs, _, width = self.named[f"{name}/weights"].shape
        routing, classes = self.model.classes.routing, self.model.num_classes
        scale = getattr(routing, "scale", 1)  # a number, "sqrt" or "learnt"
        scale = {"sqrt": inputs**0.5, "learnt": getattr(routing, "learnt_scale", 1)}.get(scale, scale)
        return self.dense(name) | {"classes": classes, "atoms": width // classes, "scale": float(scale)}

    def decoder(self) -> list[dict[str, Any]] | None:
        """The dense layers of the decoder, with ReLU between them."""
        kernels = [each for each in self.named if each.startswith("recons/") and each.endswith("/weights")]
        return [self.dense(each.removesuffix("/weights"), relu=each is not kernels[-1]) for each in kernels] or None


def describe(model: Classifier, arrays: defaultdict[str, list[np.ndarray]]) -> dict[str, Any]:
    """A network as the page runs it; its weights are added to `arrays`.

    Raises:
        UserError: a kind of network that the page cannot run.
    """
    kind, (rows, columns, depth) = type(model).__name__, model.image_shape
    routing = type(model.classes.routing) if kind == "CapsNet" else None
    if kind not in _DESCRIPTIONS or routing not in (None, DynamicRouting, UniformRouting):  # not a user's subclass
        received = kind + (f" with {routing.__name__}" if routing else "")
        raise UserError(f"The page runs {' and '.join(_DESCRIPTIONS)} with their own routing. Received: {received}.")
    network = Described(model, arrays)
    own = {"decoder": network.decoder(), "rows": rows, "columns": columns, "depth": depth}
    return _DESCRIPTIONS[kind](network) | own


def _capsules(network: Described) -> dict[str, Any]:
    primary, layer = network.convolution("conv_capsule1", relu=False), network.model.primary
    # The factor multiplies the sum before the bias.
    primary |= {"offset": primary["bias"], "bias": None, "types": layer.types, "atoms": layer.atoms}
    routing = network.model.classes.routing
    return {
        "kind": "capsules",
        "conv1": network.convolution("conv1"),
        "primary": primary | {"coefficient": layer.scale},
        "classes": network.classes("capsule2") | {"routing": routing.iterations, "leaky": routing.leaky},
    }


def _efficient(network: Described) -> dict[str, Any]:
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


_DESCRIPTIONS: dict[str, Callable] = {"CapsNet": _capsules, "EfficientCapsNet": _efficient}
