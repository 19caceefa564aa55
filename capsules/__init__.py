"""Capsule layers, routings, losses, metrics and networks for Keras 3 on any backend.

The paper: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__version__ = "1.1.0"

try:
    import keras  # noqa: F401  (a backend is missing more often than Keras itself)
except ImportError as error:
    installed = [backend for backend in ("tensorflow", "jax", "torch") if find_spec(backend)]
    raise ImportError(
        f"The package capsules could not load Keras 3 with a backend ({error}). Backends that are installed: "
        f"{', '.join(installed) or 'none'}. Choose one with the environment variable KERAS_BACKEND, or install one, "
        "for example: pip install 'dynamic-routing-capsules[cpu]' (or [gpu], [jax], [torch])"
    ) from error

from capsules.convolution import ShortDFTConv2D, convolution_method
from capsules.layers import Capsules, Decoder, Length, Mask
from capsules.losses import MarginLoss, ReconstructionLoss, SpreadLoss, margin_loss, spread_loss
from capsules.matrix import ConvCapsules, EMRouting
from capsules.metrics import AllTargetsAccuracy
from capsules.ops import exponential_squash, length, squash
from capsules.primary import DepthwiseCapsules, PrimaryCapsules
from capsules.routing import (
    DynamicRouting,
    InvertedAttentionRouting,
    Routed,
    Routing,
    SelfAttentionRouting,
    Step,
    UniformRouting,
    dynamic_routing,
)

_NETWORKS = ("Baseline", "CapsNet", "EfficientCapsNet", "MatrixCapsNet", "PaperBaseline", "presets")
_HERE = Path(__file__).resolve().parent


def _networks() -> Any:
    """The package of networks: `capsules.models` in the wheel, `models/` beside this folder in a checkout, or None."""
    for name, folder in (("capsules.models", _HERE / "models"), ("models", _HERE.parent / "models")):
        found = find_spec(name)
        if found and found.origin and Path(found.origin).parent == folder:  # there may be other packages `models`
            importlib.import_module(f"{name}.network")
            return importlib.import_module(name)
    return None


_models = _networks()  # at once, so that a saved network is found by its registered name after `import capsules`


def __getattr__(name: str) -> Any:
    if name in _NETWORKS and _models:
        return getattr(_models, name)
    raise AttributeError(f"module 'capsules' has no attribute {name!r}")


__all__ = ["AllTargetsAccuracy", "Capsules", "ConvCapsules", "Decoder", "DepthwiseCapsules", "DynamicRouting"]
__all__ += ["EMRouting", "InvertedAttentionRouting", "Length", "MarginLoss", "Mask", "PrimaryCapsules"]
__all__ += ["ReconstructionLoss", "Routed", "Routing", "SelfAttentionRouting", "ShortDFTConv2D", "SpreadLoss", "Step"]
__all__ += ["UniformRouting", "__version__", "convolution_method", "dynamic_routing", "exponential_squash", "length"]
__all__ += ["margin_loss", "spread_loss", "squash"]
