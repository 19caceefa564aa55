"""The convolutional decoder of Efficient-CapsNet's network for smallNORB."""

from typing import Any

import keras
from keras import ops


def leaky_relu(values: Any, slope: float) -> Any:
    """The values, with those below 0 multiplied by `slope`, a number in [0, 1].

    This is not `keras.ops.leaky_relu`, because on CPUs TensorFlow's graph optimizer merges that with the preceding
    convolution although the gradient needs the convolution's own result, and prints an error.
    """
    return ops.maximum(values, slope * values)


@keras.saving.register_keras_serializable("capsules")
class UpsamplingDecoder(keras.layers.Layer):
    """Draws an image from one capsule by enlarging a small image.

    A fully connected layer makes an image of 8x8 with one channel. Three times, the image is doubled (bilinear) and
    convolved (3x3, no padding, 64, 128 and 128 channels, LeakyReLU 0.2). A last 3x3 convolution and a sigmoid make
    48x48 pixels.

    Source: code of Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021.

    Args:
        depth: channels of the images.

    Call: as `capsules.Decoder`. Output: images [batch, 48, 48, depth] in [0, 1], float32 under every dtype policy.
    """

    SIDE = 8  # pixels of the small image
    SIZE = 48  # pixels of the result

    def __init__(self, depth: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.depth = depth
        self.dense = keras.layers.Dense(self.SIDE**2, dtype=self.dtype_policy, name="dense")
        # Attributes and not a list: tf.train.Checkpoint does not follow a Python list in a Keras layer.
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            keras.layers.Conv2D(channels, 3, data_format="channels_last", dtype=self.dtype_policy, name=f"conv{index}")
            for index, channels in enumerate((64, 128, 128, depth), start=1)
        )

    @property
    def stack(self) -> tuple[keras.layers.Layer, ...]:
        """The layers with weights, in order."""
        return self.dense, self.conv1, self.conv2, self.conv3, self.conv4

    def build(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> None:
        self.dense.build((None, capsules_shape[1] * capsules_shape[2]))
        side, channels = self.SIDE, 1
        for layer in (self.conv1, self.conv2, self.conv3):
            layer.build((None, 2 * side, 2 * side, channels))
            side, channels = 2 * side - 2, layer.filters
        self.conv4.build((None, side, side, channels))

    def call(self, capsules: Any, shown: Any = None) -> Any:
        batch, classes, atoms = ops.shape(capsules)
        if shown is not None:
            capsules = capsules * ops.cast(shown, capsules.dtype)[..., None]
        hidden = self.dense(ops.reshape(capsules, (batch, classes * atoms)))
        hidden = ops.reshape(hidden, (batch, self.SIDE, self.SIDE, 1))  # [batch, 8, 8, 1]
        for layer in (self.conv1, self.conv2, self.conv3):
            _, rows, columns, _ = hidden.shape
            hidden = ops.image.resize(hidden, (2 * rows, 2 * columns), "bilinear", data_format="channels_last")
            hidden = leaky_relu(layer(hidden), 0.2)
        return ops.sigmoid(ops.cast(self.conv4(hidden), "float32"))

    def compute_output_shape(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> tuple:
        return (capsules_shape[0], self.SIZE, self.SIZE, self.depth)

    def compute_output_spec(self, capsules: Any, shown: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(capsules.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"depth": self.depth}
