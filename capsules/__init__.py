"""Capsule layers, routing and losses for Keras 3 on any backend (Sabour, Frosst, Hinton 2017)."""

try:
    import keras  # noqa: F401  (a backend is missing more often than Keras itself)
except ImportError as error:
    raise ImportError(
        "capsules needs Keras 3 with a backend and found none. "
        "Install one, for example: pip install 'dynamic-routing-capsules[cpu]'"
    ) from error

from capsules.layers import Capsules, Decoder, PrimaryCapsules
from capsules.losses import margin_loss, reconstruction_loss
from capsules.ops import length, squash
from capsules.routing import dynamic_routing

__all__ = [
    "Capsules",
    "Decoder",
    "PrimaryCapsules",
    "dynamic_routing",
    "length",
    "margin_loss",
    "reconstruction_loss",
    "squash",
]
