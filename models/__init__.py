"""Networks by the names that `--model` takes, and pretrained ones."""

import inspect
from typing import Any

from . import pretrained
from .baseline import Baseline, PaperBaseline
from .capsnet import CapsNet
from .efficient import EfficientCapsNet
from .hparams import HParams, network_arguments, refuse_unused
from .network import Classifier

MODELS: dict[str, type[Classifier]] = {
    "capsule": CapsNet,
    "efficient": EfficientCapsNet,
    "baseline": Baseline,
    "baseline_paper": PaperBaseline,
}


def make_model(
    name: str, image_shape: tuple[int, int, int], num_classes: int, hparams: HParams | dict | None = None
) -> Classifier:
    """A network with fresh weights.

    Args:
        name: a name in `MODELS`.
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: an `HParams`, or a dict of its fields; None: the defaults.

    Raises:
        ValueError: there is no such network, or it cannot have this image shape, number of classes or hparams.
    """
    if name not in MODELS:
        raise ValueError(f"There is no network {name!r}. The networks are: {', '.join(MODELS)}.")
    hparams = hparams if isinstance(hparams, HParams) else HParams(**(hparams or {}))
    accepted: Any = inspect.signature(MODELS[name]).parameters
    if name == "efficient":
        refuse_unused(hparams, name, accepted)
    network: Any = MODELS[name]
    model = network(image_shape, num_classes, **network_arguments(hparams, accepted))
    model.given_hparams = hparams
    return model


def presets() -> list[str]:
    """The names of the pretrained networks, which `from_preset` takes."""
    return pretrained.names()


def load_pretrained(name: str) -> Classifier:
    """`Classifier.from_preset(name)`: a pretrained network of any class."""
    return Classifier.from_preset(name)


__all__ = [
    "MODELS",
    "Baseline",
    "CapsNet",
    "Classifier",
    "EfficientCapsNet",
    "PaperBaseline",
    "load_pretrained",
    "make_model",
    "presets",
    "pretrained",
]
