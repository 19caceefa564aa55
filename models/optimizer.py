"""Adam in the form of TF 1 and the learning rate of 2017, on any backend."""

import keras
from keras import ops

from .hparams import HParams


@keras.saving.register_keras_serializable("capsules")
class DecayToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """max(1e-6, rate · decay^(step/decay_steps)), falling smoothly with every step.

    Args:
        learning_rate: the rate at step 0.
        decay_rate: factor for each `decay_steps` steps.
        decay_steps: number of steps.
    """

    def __init__(self, learning_rate: float, decay_rate: float, decay_steps: int):
        self.learning_rate, self.decay_rate, self.decay_steps = learning_rate, decay_rate, decay_steps

    def __call__(self, step):
        exponent = ops.cast(step, "float32") / self.decay_steps
        return ops.maximum(1e-6, self.learning_rate * ops.power(ops.cast(self.decay_rate, "float32"), exponent))

    def get_config(self):
        return vars(self)


def make_optimizer(hparams: HParams, scale_loss: bool = False) -> keras.optimizers.Optimizer:
    """Adam with β 0.9 and 0.999 and ε 1e-8, which Keras applies outside the bias correction, as TF 1 did.

    Args:
        hparams: the learning rate and its decay.
        scale_loss: scale the loss dynamically, which float16 gradients need.
    """
    rate = DecayToFloor(hparams.learning_rate, hparams.decay_rate, hparams.decay_steps)
    adam = keras.optimizers.Adam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam")
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if scale_loss else adam
