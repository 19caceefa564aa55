"""Makes Adam and the learning rate schedules on any backend."""

from typing import Any

import keras
from keras import ops

from .hparams import HParams


@keras.saving.register_keras_serializable("capsules")
class DecayToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """max(learning_rate_floor, learning_rate · decay_rate^(step/decay_steps)), or as the other arguments change it.

    The arguments are those of `HParams`.
    """

    def __init__(self, **hparams: Any):
        self.hparams = HParams(**hparams)

    def __call__(self, step):
        given, step = self.hparams, ops.cast(step, "float32")
        part = step / given.decay_steps
        exponent = ops.floor(part) if given.staircase else part
        is_linear = given.schedule == "linear"
        decay = 1.0 - part if is_linear else ops.power(ops.cast(given.decay_rate, "float32"), exponent)
        rate = ops.maximum(given.learning_rate_floor, given.learning_rate * decay)
        return rate * ops.minimum(1.0, (step + 1.0) / given.warmup_steps) if given.warmup_steps else rate

    def get_config(self):
        return dict(vars(self.hparams))


def make_optimizer(hparams: HParams, scale_loss: bool = False) -> keras.optimizers.Optimizer:
    """Adam with Keras' β of 0.9 and 0.999, and ε 1e-8, which Keras applies outside the bias correction, as TF 1 did.

    `scale_loss` scales the loss dynamically, which float16 gradients need.
    """
    average = {"use_ema": True, "ema_momentum": hparams.average} if hparams.average else {}
    adam = keras.optimizers.Adam(DecayToFloor(**vars(hparams)), epsilon=1e-8, name="adam", **average)
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if scale_loss else adam
