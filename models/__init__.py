"""Networks by the names that `--model` takes, and pretrained ones. Keras is loaded when one is first asked for."""

from importlib import import_module
from typing import Any

from . import pretrained

MODELS = {
    "capsule": "capsnet.CapsNet",
    "efficient": "efficient.EfficientCapsNet",
    "matrix": "capsnet.MatrixCapsNet",
    "baseline": "capsnet.Baseline",
    "baseline_paper": "capsnet.PaperBaseline",
}
_MODULES = {name: module for module, name in (path.split(".") for path in (*MODELS.values(), "network.Classifier"))}
presets = pretrained.names  # the names of the pretrained networks, which `from_preset` takes


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def network_class(name: str) -> Any:
    """The class of a network, from a name in `MODELS`; a ValueError lists the names if there is none."""
    if name not in MODELS:
        raise ValueError(f"There is no network {name!r}. The networks are: {', '.join(MODELS)}.")
    return __getattr__(MODELS[name].rpartition(".")[2])


def make_model(name: str, image_shape: tuple[int, ...], num_classes: int, hparams: Any = None) -> Any:
    """A network with fresh weights, by its name in `MODELS`; a ValueError says what it cannot have.

    `image_shape` is (rows, columns, depth), and `hparams` an `HParams`, a dict of its fields, or None for the defaults.
    """
    from .hparams import HParams, network_arguments

    network = network_class(name)
    hparams = hparams if isinstance(hparams, HParams) else HParams(**(hparams or {}))
    model = network(image_shape, num_classes, **network_arguments(name, network, hparams))
    model.given_hparams = hparams
    return model
