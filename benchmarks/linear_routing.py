"""Networks whose routing has other coefficients than the softmax: controls for `questions.py routings`.

    python experiment.py --model=benchmarks/linear_routing.py:exponential --data_dir=D

With the routing logits b_ij = û_ij · V_j, the coefficients of the iterations after the first are

- `first_order`: (1 + b_ij − mean over j of b_ij)/J, which is the softmax where b is small;
- `no_competition`: (1 + b_ij)/J, in which no other class takes part. It adds the second moments of a class's votes
  times V_j to its sum, (1/J) Σ_i (û_ij · V_j) û_ij: a step of power iteration;
- `exponential`: exp(b_ij)/J, again without the other classes.
"""

from functools import partial

import keras
from keras import ops

from capsules import CapsNet, DynamicRouting
from models.hparams import HParams, network_arguments


@keras.saving.register_keras_serializable("benchmarks")
class FirstOrder(DynamicRouting):
    """`DynamicRouting` with the first order of the softmax."""

    def coefficients(self, logits, axis):
        return (1.0 + logits - ops.mean(logits, axis=axis, keepdims=True)) / logits.shape[axis]


@keras.saving.register_keras_serializable("benchmarks")
class NoCompetition(DynamicRouting):
    """`DynamicRouting` with the first order of the softmax but for its mean over the classes."""

    def coefficients(self, logits, axis):
        return (1.0 + logits) / logits.shape[axis]


@keras.saving.register_keras_serializable("benchmarks")
class Exponential(DynamicRouting):
    """`DynamicRouting` with the numerator of the softmax, divided by the number of classes."""

    def coefficients(self, logits, axis):
        return ops.exp(logits) / logits.shape[axis]


def _network(kind: type[DynamicRouting], image_shape: tuple, num_classes: int, hparams: HParams) -> CapsNet:
    arguments = network_arguments("capsule", CapsNet, hparams)
    return CapsNet(image_shape, num_classes, **arguments | {"routing": kind(hparams.routing)})


# CapsNet of the run's hparams with one of these routings, for --model.
first_order = partial(_network, FirstOrder)
no_competition = partial(_network, NoCompetition)
exponential = partial(_network, Exponential)
