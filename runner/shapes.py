"""Infers a network from the shapes in a checkpoint, for checkpoints of 2017, which have no config.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.hparams import HParams

Shapes = Mapping[str, tuple[int, ...]]


@dataclass
class Inferred:
    """What the shapes imply.

    Attributes:
        model: the network's name; None if the shapes are not those of a known network.
        num_classes, depth: number of classes and depth of the images; None if unknown.
        size: side of the square images; None if the shapes do not imply it.
        hparams: the implied hparams, by name.
    """

    model: str | None = None
    num_classes: int | None = None
    depth: int | None = None
    size: int | None = None
    hparams: dict = field(default_factory=dict)

    def words(self) -> str:
        """A description for the user."""
        size = f"{self.size}x{self.size}x{self.depth}" if self.size else f"depth {self.depth}"
        hparams = ", ".join(f"{name}={str(v).lower() if v in (True, False) else v}" for name, v in self.hparams.items())
        return f"{self.model}, {self.num_classes} classes, images of {size}" + (f", {hparams}" if hparams else "")


def infer(shapes: Shapes, data_size: int | None = None) -> Inferred:
    """What the shapes of a checkpoint imply.

    Args:
        shapes: of its variables, by name.
        data_size: side of the data set's images, from which the padding is inferred if the network has no decoder.
    """
    if _ranks(shapes, {"conv1/weights": 4, "conv_capsule1/biases": 4, "capsule2/weights": 3, "capsule2/biases": 2}):
        return _capsule(shapes, data_size)
    if _ranks(shapes, {"conv1/weights": 4, "softmax_layer/biases": 1}):
        (num_classes,) = shapes["softmax_layer/biases"]
        model = "baseline_paper" if "fc2/weights" in shapes else "baseline"
        return Inferred(model, num_classes, shapes["conv1/weights"][2])
    return Inferred()


def _ranks(shapes: Shapes, ranks: dict[str, int]) -> bool:
    return all(len(shapes.get(name, ())) == rank for name, rank in ranks.items())


def _capsule(shapes: Shapes, data_size: int | None) -> Inferred:
    _, _, depth, conv_channels = shapes["conv1/weights"]
    types, primary_atoms = shapes["conv_capsule1/biases"][:2]
    num_classes, class_atoms = shapes["capsule2/biases"]
    hparams: dict[str, Any] = {
        "num_prime_capsules": types,
        "conv_channels": conv_channels,
        "primary_atoms": primary_atoms,
        "class_atoms": class_atoms,
        "remake": "recons/recons_3/biases" in shapes,
    }
    size = math.isqrt(shapes["recons/recons_3/biases"][0] // depth) if hparams["remake"] and depth else None
    # The padding with which two 9x9 kernels, the second with stride 2, turn the images into the grid of capsules.
    if side := size or data_size:
        grid = math.isqrt(shapes["capsule2/weights"][0] // max(types, 1))
        grids = {(side - 8 - 8 + 1) // 2: "VALID", -(-side // 2): "SAME"}
        hparams |= {"padding": grids[grid]} if grid in grids else {}
    changed = {name: value for name, value in hparams.items() if value != getattr(HParams(), name)}
    return Inferred("capsule", num_classes, depth, size, changed)
