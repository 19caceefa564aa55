"""Makes Adam and the learning rate schedules on any backend."""

import keras
from keras import ops

from .hparams import HParams


@keras.saving.register_keras_serializable("capsules")
class DecayToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """max(floor, rate · decay^(step/decay_steps)), which falls with every step or in a staircase.

    Args:
        learning_rate: the rate at step 0.
        decay_rate: factor for each `decay_steps` steps.
        decay_steps: number of steps.
        floor: the smallest rate.
        staircase: whether the rate changes only at multiples of `decay_steps`.
        linear: whether the rate falls linearly instead, to `floor` at step `decay_steps`.
        warmup_steps: number of steps at the start in which the rate rises linearly to what it would be.
    """

    def __init__(
        self,
        learning_rate: float,
        decay_rate: float,
        decay_steps: int,
        floor: float = 1e-6,
        staircase: bool = False,
        linear: bool = False,
        warmup_steps: int = 0,
    ):
        self.learning_rate, self.decay_rate, self.decay_steps = learning_rate, decay_rate, decay_steps
        self.floor, self.staircase, self.linear, self.warmup_steps = floor, staircase, linear, warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        part = step / self.decay_steps
        exponent = ops.floor(part) if self.staircase else part
        decay = 1.0 - part if self.linear else ops.power(ops.cast(self.decay_rate, "float32"), exponent)
        rate = ops.maximum(self.floor, self.learning_rate * decay)
        return rate * ops.minimum(1.0, (step + 1.0) / self.warmup_steps) if self.warmup_steps else rate

    def get_config(self):
        return vars(self)


@keras.saving.register_keras_serializable("capsules")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, which on TensorFlow makes each update with the single operation that TF 1 used.

    The result is the same, but each array is read and written once. Keras' own update passes over memory fifteen times.
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


def make_schedule(hparams: HParams) -> DecayToFloor:
    """The learning rate schedule of the hparams."""
    names = ("learning_rate", "decay_rate", "decay_steps", "staircase", "warmup_steps")
    same = {name: getattr(hparams, name) for name in names}
    return DecayToFloor(floor=hparams.learning_rate_floor, linear=hparams.schedule == "linear", **same)


def make_optimizer(hparams: HParams, scale_loss: bool = False) -> keras.optimizers.Optimizer:
    """Adam with β 0.9 and 0.999 and ε 1e-8; Keras applies ε outside the bias correction, as TF 1 did.

    Args:
        hparams: the learning rate, its schedule, and the moving average of the weights.
        scale_loss: whether to scale the loss dynamically, which float16 gradients need.
    """
    average = {"use_ema": True, "ema_momentum": hparams.average} if hparams.average else {}
    adam = Adam(make_schedule(hparams), beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam", **average)
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if scale_loss else adam
