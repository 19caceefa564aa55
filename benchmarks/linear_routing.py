"""Networks whose routing has other coefficients than the softmax: controls for `questions.py routings`.

    python experiment.py --model=benchmarks/linear_routing.py:exponential --data_dir=D

With the routing logits b_ij = û_ij · V_j, the coefficients of the iterations after the first are

- `first_order`: (1 + b_ij − mean over j of b_ij)/J, which is the softmax where b is small;
- `no_competition`: (1 + b_ij)/J, in which no other class takes part. It adds the second moments of a class's votes
  times V_j to its sum, (1/J) Σ_i (û_ij · V_j) û_ij: a step of power iteration;
- `exponential`: exp(b_ij)/J, again without the other classes;
- `gain`: 4/J, which depends on no vote: uniform routing whose sum is as large as routing makes it.
"""

from functools import partial

import keras
from keras import ops

from capsules import CapsNet, DynamicRouting
from models.hparams import HParams, network_arguments

COEFFICIENTS = {  # times J, of the logits and the axis of the output capsules
    "first_order": lambda logits, axis: 1.0 + logits - ops.mean(logits, axis=axis, keepdims=True),
    "no_competition": lambda logits, axis: 1.0 + logits,
    "exponential": lambda logits, axis: ops.exp(logits),
    "gain": lambda logits, axis: ops.full_like(logits, 4.0),
}


@keras.saving.register_keras_serializable("benchmarks")
class WithoutSoftmax(DynamicRouting):
    """`DynamicRouting` with the coefficients of a name in `COEFFICIENTS`."""

    def __init__(self, kind: str, iterations: int = 3):
        super().__init__(iterations)
        self.kind = kind

    def coefficients(self, logits, axis):
        return COEFFICIENTS[self.kind](logits, axis) / logits.shape[axis]


def _network(kind: str, image_shape: tuple, num_classes: int, hparams: HParams) -> CapsNet:
    """CapsNet of the run's hparams with such a routing, for --model."""
    arguments = network_arguments("capsule", CapsNet, hparams)
    return CapsNet(image_shape, num_classes, **arguments | {"routing": WithoutSoftmax(kind, hparams.routing)})


first_order, no_competition, exponential, gain = (partial(_network, kind) for kind in COEFFICIENTS)
