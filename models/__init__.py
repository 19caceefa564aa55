"""Networks by the names that `--model` takes, and pretrained ones. Keras is loaded when one is first asked for."""

from importlib import import_module
from typing import Any

from . import pretrained

MODELS = {
    "capsule": "capsnet.CapsNet",
    "efficient": "efficient.EfficientCapsNet",
    "matrix": "matrix.MatrixCapsNet",
    "baseline": "baseline.Baseline",
    "baseline_paper": "baseline.PaperBaseline",
}
_LAZY = (*MODELS.values(), "network.Classifier", "making.make_model", "making.load_pretrained")
_PATHS = {path.rpartition(".")[2]: path for path in _LAZY}


def __getattr__(name: str) -> Any:
    if name not in _PATHS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PATHS[name].partition('.')[0]}", __name__), name)


def network_class(name: str) -> Any:
    """The class of a network, from a name in `MODELS`; a ValueError lists the names if there is none."""
    if name not in MODELS:
        raise ValueError(f"There is no network {name!r}. The networks are: {', '.join(MODELS)}.")
    return __getattr__(MODELS[name].rpartition(".")[2])


def presets() -> list[str]:
    """The names of the pretrained networks, which `from_preset` takes."""
    return pretrained.names()
