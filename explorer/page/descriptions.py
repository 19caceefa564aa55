"""Describes a network, with its weights, for `network.js` and `efficient.js`, which run it in the browser.

Weights are found by their names in a checkpoint, and strides and paddings by the names of the layers.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from capsules import DynamicRouting
from runner.flags import UserError
from runner.loader import Trained


def base64_text(content: bytes) -> str:
    """Bytes as text in base64."""
    return base64.b64encode(content).decode()


@dataclass
class Weights:
    """The weights of networks, one after another in an array of each kind; `add` gives the place of one.

    An array whose numbers are all float16 numbers is kept as float16, every other as float32.
    """

    arrays: dict[str, list[np.ndarray]] = field(default_factory=lambda: {"float16": [], "float32": []})
    sizes: dict[str, int] = field(default_factory=lambda: {"float16": 0, "float32": 0})

    def add(self, values: Any) -> dict[str, Any]:
        values = np.asarray(values, "<f4").ravel()
        with np.errstate(over="ignore"):
            halves = values.astype("<f2")
        kind = "float16" if (halves == values).all() else "float32"
        self.arrays[kind].append(halves if kind == "float16" else values)
        self.sizes[kind] += values.size
        return {"kind": kind, "start": self.sizes[kind] - values.size, "count": values.size}

    def as_text(self) -> dict[str, str]:
        """The bytes of each kind, base64."""
        return {kind: base64_text(b"".join(values.tobytes() for values in each)) for kind, each in self.arrays.items()}


@dataclass
class Network:
    """A network's weights by name, and its layers.

    Args:
        model: the network.
        weights: what takes the weights up for the page.
    """

    model: Any
    weights: Weights

    def __post_init__(self):
        self.named = {name: np.asarray(values) for name, values in self.model.named_variables().items()}

    def add(self, name: str) -> dict[str, Any]:
        return self.weights.add(self.named[name])

    def convolution(self, name: str, layer: Any = None) -> dict[str, Any]:
        layer = layer or self.model.get_layer(name.split("/")[-1])
        kernel = self.named[f"{name}/weights"]  # [size, size, depth, channels]
        size, channels = kernel.shape[0], kernel.shape[3]
        shape = {"size": size, "stride": layer.strides[0], "padding": layer.padding, "channels": channels}
        return {"kernel": self.add(f"{name}/weights"), "bias": self.add(f"{name}/biases")} | shape

    def dense(self, name: str, relu: bool) -> dict[str, Any]:
        return {"kernel": self.add(f"{name}/weights"), "bias": self.add(f"{name}/biases"), "relu": relu}

    def classes(self, name: str) -> dict[str, Any]:
        """The layer of class capsules, whose kernel is [in, atoms_in, classes·atoms]."""
        inputs = self.named[f"{name}/weights"].shape[0]
        routing = self.model.classes.routing
        scale = getattr(routing, "scale", 1)  # a number, "sqrt" or "learnt"
        return {
            "kernel": self.add(f"{name}/weights"),
            "bias": self.add(f"{name}/biases"),
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
        return {"side": side, "first": self.dense("recons/dense", relu=False), "convolutions": convolutions}


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
        "primary": {
            "kernel": network.add("primary/weights"),
            "bias": network.add("primary/biases"),
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
