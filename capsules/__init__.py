"""Capsule layers, routing, losses and metrics for Keras 3 on any backend (Sabour, Frosst, Hinton 2017)."""

from capsules.version import __version__

try:
    import keras  # noqa: F401  (a backend is missing more often than Keras itself)
except ImportError as error:
    from capsules.backends import what_to_do

    raise ImportError(what_to_do(error)) from error

from capsules.attention import SelfAttentionCapsules
from capsules.depthwise import DepthwiseCapsules
from capsules.layers import Capsules, Conv2D, Decoder, Length, Mask, PrimaryCapsules
from capsules.losses import MarginLoss, margin_loss, reconstruction_loss, sigmoid_loss, softmax_loss
from capsules.metrics import AllTargetsAccuracy, AnyTargetAccuracy, all_targets_right, any_target_right
from capsules.ops import exponential_squash, length, squash
from capsules.routing import dynamic_routing

__all__ = [
    "AllTargetsAccuracy",
    "AnyTargetAccuracy",
    "Capsules",
    "Conv2D",
    "Decoder",
    "DepthwiseCapsules",
    "Length",
    "MarginLoss",
    "Mask",
    "PrimaryCapsules",
    "SelfAttentionCapsules",
    "__version__",
    "all_targets_right",
    "any_target_right",
    "dynamic_routing",
    "exponential_squash",
    "length",
    "margin_loss",
    "reconstruction_loss",
    "sigmoid_loss",
    "softmax_loss",
    "squash",
]
