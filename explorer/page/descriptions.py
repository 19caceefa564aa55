"""Describes a network, with its weights, for `network.js` and `efficient.js`, which run it in the browser.

Weights are found by their names in a checkpoint, and strides and paddings by the names of the layers.
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

from capsules import DynamicRouting
from runner.flags import UserError
from runner.loader import Trained


def base64_text(content: bytes) -> str:
    """Bytes as text in base64."""
    return base64.b64encode(content).decode()


class Weights:
    """The weights of networks, one after another in an array of each kind; `add` gives the place of one.

    An array whose numbers are all float16 numbers is kept as float16, every other as float32.
    """

    def __init__(self):
        self.arrays: dict[str, list[np.ndarray]] = {"float16": [], "float32": []}

    def add(self, values: Any) -> dict[str, Any]:
        values = np.asarray(values, "<f4").ravel()
        with np.errstate(over="ignore"):
            halves = values.astype("<f2")
        kind = "float16" if (halves == values).all() else "float32"
        start = sum(each.size for each in self.arrays[kind])
        self.arrays[kind].append(halves if kind == "float16" else values)
        return {"kind": kind, "start": start, "count": values.size}

    def as_text(self) -> dict[str, str]:
        """The bytes of each kind, base64."""
        return {kind: base64_text(b"".join(values.tobytes() for values in each)) for kind, each in self.arrays.items()}


class Network:
    """A network's weights by name, and its layers; `weights` takes the weights up for the page."""

    def __init__(self, model: Any, weights: Weights):
        self.model, self.weights = model, weights
        self.named = {name: np.asarray(values) for name, values in model.named_variables().items()}

    def add(self, name: str) -> dict[str, Any]:
        return self.weights.add(self.named[name])

    def convolution(self, name: str, layer: Any = None) -> dict[str, Any]:
        layer = layer or self.model.get_layer(name.split("/")[-1])
        size, _, _, channels = self.named[f"{name}/weights"].shape
        shape = {"size": size, "stride": layer.strides[0], "padding": layer.padding, "channels": channels}
        return self.dense(name) | shape

    def dense(self, name: str, relu: bool = False) -> dict[str, Any]:
        return {"kernel": self.add(f"{name}/weights"), "bias": self.add(f"{name}/biases"), "relu": relu}

    def classes(self, name: str) -> dict[str, Any]:
        """The layer of class capsules, whose kernel is [in, atoms_in, classes·atoms]."""
        inputs = self.named[f"{name}/weights"].shape[0]
        routing = self.model.classes.routing
        scale = getattr(routing, "scale", 1)  # a number, "sqrt" or "learnt"
        return self.dense(name) | {
            "classes": self.model.num_classes,
            "atoms": self.named[f"{name}/weights"].shape[2] // self.model.num_classes,
            "scale": float({"sqrt": inputs**0.5, "learnt": getattr(routing, "learnt_scale", 1)}.get(scale, scale)),
        }

    def decoder(self) -> list[dict[str, Any]] | dict[str, Any] | None:
        names = [name.removesuffix("/weights") for name in self.named if name.startswith("recons/")]
        names = [name for name in names if not name.endswith("/biases")]
        if not names:
            return None
        if "recons/dense" not in names:
            return [self.dense(name, relu=name is not names[-1]) for name in names]
        side = round(self.named["recons/dense/biases"].size ** 0.5)  # of the small image that it enlarges
        layers = [(name, self.model.decoder.get_layer(name.split("/")[1])) for name in names[1:]]
        convolutions = [self.convolution(name, layer) for name, layer in layers]
        return {"side": side, "first": self.dense("recons/dense"), "convolutions": convolutions}


def describe(trained: Trained, weights: Weights) -> dict[str, Any]:
    """A network as the page runs it; its weights are added to `weights`.

    Raises:
        UserError: a kind of network that the page cannot run.
    """
    model, kind = trained.model, type(trained.model).__name__
    if kind not in _DESCRIPTIONS or (kind == "CapsNet" and not isinstance(model.classes.routing, DynamicRouting)):
        raise UserError(f"The page runs {', '.join(_DESCRIPTIONS)} with their own routing. Received: {kind}.")
    rows, columns, depth = model.image_shape
    return _DESCRIPTIONS[kind](Network(model, weights)) | {"rows": rows, "columns": columns, "depth": depth}


def _capsules(network: Network) -> dict[str, Any]:
    routing, types, atoms = network.model.classes.routing, *network.named["conv_capsule1/biases"].shape[:2]
    primary = network.convolution("conv_capsule1")
    factor = network.model.primary.scale  # of the sum before the bias
    primary |= {"offset": primary["bias"], "bias": None, "types": types, "atoms": atoms, "coefficient": factor}
    return {
        "kind": "capsules",
        "conv1": network.convolution("conv1"),
        "primary": primary,
        "classes": network.classes("capsule2") | {"routing": routing.iterations, "leaky": routing.leaky},
        "decoder": network.decoder(),
    }


def _efficient(network: Network) -> dict[str, Any]:
    convolutions = []
    for index in range(1, 5):
        factor, offset = (network.named[f"norm{index}/{name}"] for name in ("gamma", "beta"))
        instance = f"norm{index}/moving_mean" not in network.named
        if not instance:
            variance = network.named[f"norm{index}/moving_variance"]
            factor = factor / np.sqrt(variance + network.model.get_layer(f"norm{index}").epsilon)
            offset = offset - network.named[f"norm{index}/moving_mean"] * factor
        normalisation = {"factor": network.weights.add(factor), "offset": network.weights.add(offset)}
        normalisation |= {"instance": instance, "slope": 0.3 if instance else 0}
        convolutions.append(network.convolution(f"conv{index}") | normalisation)
    return {
        "kind": "efficient",
        "convolutions": convolutions,
        "primary": network.dense("primary")
        | {
            "size": network.named["primary/weights"].shape[:2],
            "stride": network.model.get_layer("primary").strides[0],
            "atoms": network.named["classes/weights"].shape[1],
        },
        "classes": network.classes("classes"),
        "decoder": network.decoder(),
    }


def _baseline(network: Network) -> dict[str, Any]:
    layers = [name.removesuffix("/weights") for name in network.named if name.endswith("/weights")]
    pools = {layer.name for layer in network.model.layers}
    convolutions = [
        network.convolution(name) | {"pooled": name.replace("conv", "pool") in pools}
        for name in layers
        if name.startswith("conv")
    ]
    head = [name for name in layers if not name.startswith("conv")]
    return {
        "kind": "convolutions",
        "loss": network.model.hparams.loss_type,
        "convolutions": convolutions,
        "head": [network.dense(name, relu=name != head[-1]) for name in head],
    }


_DESCRIPTIONS: dict[str, Callable] = {
    "CapsNet": _capsules,
    "EfficientCapsNet": _efficient,
    "Baseline": _baseline,
    "PaperBaseline": _baseline,
}
