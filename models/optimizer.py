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


@keras.saving.register_keras_serializable("capsules")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, which on TensorFlow makes each update with the single operation that TF 1 used.

    The result is the same, but each array is read and written once, and not fifteen times.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        index = self._get_variable_index(variable)
        slots = {"m": _handle(self._momentums[index]), "v": _handle(self._velocities[index])}
        numbers = {"beta1": self.beta_1, "beta2": self.beta_2, "epsilon": self.epsilon, "lr": learning_rate}
        cast = {name: ops.cast(value, variable.dtype) for name, value in (numbers | {"grad": gradient}).items()}
        step = ops.cast(self.iterations + 1, variable.dtype)
        powers = {f"{name}_power": ops.power(cast[name], step) for name in ("beta1", "beta2")}
        tf.raw_ops.ResourceApplyAdam(var=_handle(variable), **slots, **powers, **cast)


def _handle(variable):
    """The resource handle of a Keras or TensorFlow variable; for a mirrored variable, that of the current device."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def make_optimizer(hparams: HParams, scale_loss: bool = False) -> keras.optimizers.Optimizer:
    """Adam with β 0.9 and 0.999 and ε 1e-8; Keras applies ε outside the bias correction, as TF 1 did.

    `scale_loss` scales the loss dynamically, which float16 gradients need.
    """
    average = {"use_ema": True, "ema_momentum": hparams.average} if hparams.average else {}
    adam = Adam(DecayToFloor(**vars(hparams)), beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam", **average)
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if scale_loss else adam
