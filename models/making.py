"""Makes networks by name. It loads all classes of networks, so that saved ones are found by their names afterwards."""

import inspect
from typing import Any

from . import network_class
from .hparams import HParams, network_arguments, refuse_unused
from .network import Classifier


def make_model(
    name: str, image_shape: tuple[int, int, int], num_classes: int, hparams: HParams | dict | None = None
) -> Any:
    """A network with fresh weights.

    Args:
        name: a name in `MODELS`.
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: an `HParams`, or a dict of its fields; None: the defaults.

    Raises:
        ValueError: there is no such network, or it cannot have this image shape, number of classes or routing.
    """
    network = network_class(name)
    hparams = hparams if isinstance(hparams, HParams) else HParams(**(hparams or {}))
    accepted = inspect.signature(network).parameters
    if name in ("efficient", "matrix"):
        refuse_unused(hparams, f"The network {name}", ("routing",) if name == "matrix" else ())
    model = network(image_shape, num_classes, **network_arguments(hparams, accepted))
    model.given_hparams = hparams
    return model


def load_pretrained(name: str) -> Any:
    """`Classifier.from_preset(name)`: a pretrained network of any class."""
    return Classifier.from_preset(name)
