"""Trains with the data on the device: uint8 images are stored there once, and each step picks and shifts its own.

Each step then sends only a row of indices to the device, so an accelerator does not wait for its input.
"""

import keras
import numpy as np
from keras import ops

from models.network import Classifier


@keras.saving.register_keras_serializable("capsules")
class OnDevice(keras.Model):
    """A network together with the images it is trained on; `fit` takes indices instead of images.

    In training, each image is shifted at random by up to `reach` pixels each way, and the gap is filled with zeros. The
    losses, metrics and weights are those of the network.

    Args:
        network: the network to train.
        images: uint8 [n, rows, columns, depth].
        reach: largest shift in pixels; 0 for no shift.
        seed: seed of the shifts.

    Example:
        >>> model = OnDevice(CapsNet((28, 28, 1), 10), images, reach=2)
        >>> model.compile("adam", steps_per_execution=10)
        >>> model.fit(np.arange(len(images)), labels, batch_size=128)
    """

    def __init__(self, network: Classifier, images: np.ndarray, reach: int = 2, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.network, self.reach = network, reach
        padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        self.images = self.add_weight(
            name="images", shape=padded.shape, dtype="uint8", initializer="zeros", trainable=False
        )
        self.images.assign(padded)
        self.random = keras.random.SeedGenerator(seed)

    def pick(self, numbers, training: bool = False):
        """The images [batch, rows, columns, depth] in [0, 1] at these indices, shifted at random in training."""
        rows, columns, _ = self.network.image_shape
        chosen = ops.take(self.images.value, numbers, axis=0)
        if training and self.reach:
            corners = keras.random.randint((2, ops.shape(numbers)[0]), 0, 2 * self.reach + 1, seed=self.random)
        else:
            corners = ops.full((2, ops.shape(numbers)[0]), self.reach, dtype="int32")
        row = corners[0][:, None] + ops.arange(rows, dtype="int32")  # [batch, rows]
        column = corners[1][:, None] + ops.arange(columns, dtype="int32")
        chosen = ops.take_along_axis(chosen, row[:, :, None, None], axis=1)
        chosen = ops.take_along_axis(chosen, column[:, None, :, None], axis=2)
        return ops.cast(chosen, "float32") / 255.0

    def call(self, numbers, training=False):
        images = self.pick(numbers, training)
        return self.network(images, training=training) | {"images": images}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.network.compute_loss(y_pred["images"], y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()  # `compute_loss` has updated the metrics

    @property
    def metrics(self):
        return super().metrics + self.network.metrics
