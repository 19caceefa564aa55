"""Describes a network, with its weights, for `network.js`, which runs it in the browser."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.baseline import Baseline, PaperBaseline
from models.capsnet import CapsNet
from models.capsule_network import CapsuleNetwork
from models.efficient import EfficientCapsNet
from models.upsampling_decoder import UpsamplingDecoder
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


def describe(trained: Trained, weights: Weights) -> dict[str, Any]:
    """A network as `network.js` runs it; its weights are added to `weights`.

    Raises:
        UserError: a kind of network that it cannot run.
    """
    model = trained.model
    if type(model) not in _DESCRIPTIONS:
        raise UserError(
            f"--export_page supports {', '.join(kind.__name__ for kind in _DESCRIPTIONS)}. Received a "
            f"{type(model).__name__}: use --serve."
        )
    rows, columns, depth = model.image_shape
    return _DESCRIPTIONS[type(model)](model, weights) | {"rows": rows, "columns": columns, "depth": depth}


def _convolution(layer, weights: Weights) -> dict[str, Any]:
    return {
        "kernel": weights.add(layer.kernel),
        "bias": weights.add(layer.bias),
        "size": layer.kernel_size[0],
        "stride": layer.strides[0],
        "padding": layer.padding,
        "channels": layer.filters,
    }


def _dense(layer, weights: Weights, relu: bool) -> dict[str, Any]:
    return {"kernel": weights.add(layer.kernel), "bias": weights.add(layer.bias), "relu": relu}


def _capsules(model: CapsNet, weights: Weights) -> dict[str, Any]:
    primary, classes = model.primary, model.classes
    return {
        "kind": "capsules",
        "conv1": _convolution(model.conv1, weights),
        "primary": {
            "kernel": weights.add(primary.kernel),
            "bias": None,
            "offset": weights.add(primary.bias),
            "size": primary.kernel_size[0],
            "stride": primary.strides[0],
            "padding": primary.padding,
            "channels": primary.types * primary.atoms,
            "types": primary.types,
            "atoms": primary.atoms,
            "coefficient": 1 / (primary.types + bool(primary.leaky)),
        },
        "classes": {
            "kernel": weights.add(classes.kernel),
            "bias": weights.add(classes.bias),
            "classes": classes.num_capsules,
            "atoms": classes.atoms,
            "routing": classes.routing,
            "leaky": classes.leaky,
        },
        "decoder": _decoder(model, weights),
    }


def _decoder(model: CapsuleNetwork, weights: Weights) -> list[dict[str, Any]] | dict[str, Any] | None:
    if model.decoder is None:
        return None
    if isinstance(model.decoder, UpsamplingDecoder):
        first, *convolutions = model.decoder.stack
        return {
            "side": model.decoder.SIDE,
            "first": _dense(first, weights, relu=False),
            "convolutions": [_convolution(layer, weights) for layer in convolutions],
        }
    stack = model.decoder.stack
    return [_dense(layer, weights, relu=layer is not stack[-1]) for layer in stack]


def _efficient(model: EfficientCapsNet, weights: Weights) -> dict[str, Any]:
    primary, classes = model.primary, model.classes
    convolutions = []
    for index in range(1, 5):
        norm = getattr(model, f"norm{index}")
        factor, offset = np.asarray(norm.gamma), np.asarray(norm.beta)
        if not model.instance:
            factor = factor / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
            offset = offset - np.asarray(norm.moving_mean) * factor
        normalisation = {"factor": weights.add(factor), "offset": weights.add(offset), "own": model.instance}
        normalisation["slope"] = 0.3 if model.instance else 0
        convolutions.append(_convolution(getattr(model, f"conv{index}"), weights) | normalisation)
    return {
        "kind": "efficient",
        "convolutions": convolutions,
        "primary": {
            "kernel": weights.add(primary.kernel),
            "bias": weights.add(primary.bias),
            "size": primary.kernel_size,
            "stride": primary.strides[0],
            "atoms": primary.atoms,
        },
        "classes": {
            "kernel": weights.add(classes.kernel),
            "bias": weights.add(classes.bias),
            "classes": classes.num_capsules,
            "atoms": classes.atoms,
        },
        "decoder": _decoder(model, weights),
    }


def _baseline(model: Baseline | PaperBaseline, weights: Weights) -> dict[str, Any]:
    head = [layer for layer in model.head if layer.weights]  # dropout does nothing here
    return {
        "kind": "convolutions",
        "loss": model.hparams.loss_type,
        "convolutions": [_convolution(layer, weights) | {"pooled": bool(pool)} for layer, *pool in model.convolutions],
        "head": [_dense(layer, weights, relu=layer is not head[-1]) for layer in head],
    }


_DESCRIPTIONS: dict[type, Callable] = {
    CapsNet: _capsules,
    EfficientCapsNet: _efficient,
    Baseline: _baseline,
    PaperBaseline: _baseline,
}
