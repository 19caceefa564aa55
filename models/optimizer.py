"""Makes Adam and the learning rate schedule of 2017 on any backend."""

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
    """

    def __init__(
        self, learning_rate: float, decay_rate: float, decay_steps: int, floor: float = 1e-6, staircase: bool = False
    ):
        self.learning_rate, self.decay_rate, self.decay_steps = learning_rate, decay_rate, decay_steps
        self.floor, self.staircase = floor, staircase

    def __call__(self, step):
        exponent = ops.cast(step, "float32") / self.decay_steps
        if self.staircase:
            exponent = ops.floor(exponent)
        return ops.maximum(self.floor, self.learning_rate * ops.power(ops.cast(self.decay_rate, "float32"), exponent))

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
        step = ops.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=ops.power(ops.cast(self.beta_1, variable.dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, variable.dtype), step),
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=ops.cast(self.beta_1, variable.dtype),
            beta2=ops.cast(self.beta_2, variable.dtype),
            epsilon=ops.cast(self.epsilon, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
        )


def _handle(variable):
    """The resource handle of a Keras or TensorFlow variable; for a mirrored variable, that of the current device."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def make_schedule(hparams: HParams) -> DecayToFloor:
    """The learning rate schedule of the hparams."""
    return DecayToFloor(
        hparams.learning_rate, hparams.decay_rate, hparams.decay_steps, hparams.learning_rate_floor, hparams.staircase
    )


def make_optimizer(hparams: HParams, scale_loss: bool = False) -> keras.optimizers.Optimizer:
    """Adam with β 0.9 and 0.999 and ε 1e-8; Keras applies ε outside the bias correction, as TF 1 did.

    Args:
        hparams: the learning rate and its decay.
        scale_loss: whether to scale the loss dynamically, which float16 gradients need.
    """
    rate = make_schedule(hparams)
    adam = Adam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam")
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if scale_loss else adam
