"""Capsule layers, routing and losses for Keras 3 on any backend (Sabour, Frosst, Hinton 2017)."""

try:
    import keras  # noqa: F401  (a backend is missing more often than Keras itself)
except ImportError as error:
    raise ImportError(
        "capsules needs Keras 3 with a backend and found none. "
        "Install one, for example: pip install 'dynamic-routing-capsules[cpu]'"
    ) from error

from capsules.attention import SelfAttentionCapsules
from capsules.depthwise import DepthwiseCapsules
from capsules.layers import Capsules, Decoder, PrimaryCapsules
from capsules.losses import margin_loss, reconstruction_loss
from capsules.ops import exponential_squash, length, squash
from capsules.routing import dynamic_routing

__all__ = [
    "Capsules",
    "Decoder",
    "DepthwiseCapsules",
    "PrimaryCapsules",
    "SelfAttentionCapsules",
    "dynamic_routing",
    "exponential_squash",
    "length",
    "margin_loss",
    "reconstruction_loss",
    "squash",
]
