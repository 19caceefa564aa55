"""Keras layers that read class capsules: `Length`, `Mask` and `Decoder` (paper, section 4.1)."""

import math
from typing import Any

import keras
from keras import ops

from capsules.base import CapsuleLayer
from capsules.losses import label_rows
from capsules.ops import counts, drawn_dtype, length, precise


@keras.saving.register_keras_serializable("capsules")
class Length(keras.layers.Layer):
    """Length of each capsule: the probability that its entity is present (paper, section 2).

    Input: [batch, …, atoms]. Output: [batch, …], float32 under every dtype policy but float64.

    Example:
        >>> tuple(Length()(keras.ops.convert_to_tensor([[[3.0, 4.0], [0.0, 0.0]]])).shape)
        (1, 2)
    """

    def build(self, input_shape: tuple) -> None:
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def call(self, inputs: Any) -> Any:
        return length(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape[:-1])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=drawn_dtype(self))


@keras.saving.register_keras_serializable("capsules")
class Mask(keras.layers.Layer):
    """Sets all capsules to zero except those of the labels or, without labels, the longest one (paper, section 4.1).

    Call: `mask(capsules, labels)` in training, `mask(capsules)` for a prediction. Capsules are [batch, classes, atoms],
    or have more axes between; labels are those of `capsules.losses.label_rows`, which refuses others. The output is as
    the capsules.

    Example:
        >>> capsules = keras.ops.ones((2, 3, 4))
        >>> masked = Mask()(capsules, keras.ops.convert_to_tensor([2, 0]))
        >>> print(keras.ops.convert_to_numpy(masked)[:, :, 0])
        [[0. 0. 1.]
         [1. 0. 0.]]
    """

    def build(self, capsules_shape: tuple, labels_shape: tuple | None = None) -> None:
        self.input_spec = keras.layers.InputSpec(shape=(None, *capsules_shape[1:]))

    def call(self, capsules: Any, labels: Any = None) -> Any:
        classes = capsules.shape[-2]
        if labels is None:
            rows = ops.one_hot(ops.top_k(length(capsules), k=1)[1][..., 0], classes)  # argmax does not export to LiteRT
        else:
            rows = label_rows(labels, classes)
            rows = ops.reshape(rows, (ops.shape(rows)[0], *[1] * (len(capsules.shape) - 3), classes))
        return capsules * ops.cast(rows, capsules.dtype)[..., None]

    def compute_output_shape(self, capsules_shape: tuple, labels_shape: tuple | None = None) -> tuple:
        return tuple(capsules_shape)


@keras.saving.register_keras_serializable("capsules")
class Decoder(CapsuleLayer):
    """Draws an image from the capsules that `Mask` leaves (paper, section 4.1): 512 ReLU, 1024 ReLU, a sigmoid a pixel.

    The weights order the pixels [depth, row, column], as in 2017; the images come out with the depth last.

    Args:
        image_shape: (rows, columns, depth) of the images.
        units: widths of the two hidden layers.
        kernel_initializer, …: see `CapsuleLayer`; they apply to each of the three layers.

    Input: [batch, classes, atoms].
    Output: images [batch, rows, columns, depth] in [0, 1], float32 under every dtype policy but float64.

    Example:
        >>> capsules = Capsules(10)(keras.random.normal((2, 72, 8)))
        >>> tuple(Decoder((28, 28, 1))(Mask()(capsules)).shape)
        (2, 28, 28, 1)
    """

    def __init__(self, image_shape: tuple[int, ...], units: tuple[int, int] = (512, 1024), **kwargs: Any):
        super().__init__(**kwargs)
        self.image_shape = counts("Decoder: image_shape", image_shape, "(rows, columns, depth)")
        self.units = counts("Decoder: units", units, "(first, second)")

        def dense(index: int, width: int) -> keras.layers.Dense:
            options = self.weight_options("kernel") | self.weight_options("bias")
            return keras.layers.Dense(width, dtype=self.dtype_policy, name=f"recons_{index}", **options)

        # Attributes and not a list: tf.train.Checkpoint does not follow a Python list in a Keras layer.
        widths = (*self.units, math.prod(self.image_shape))
        self.recons_1, self.recons_2, self.recons_3 = map(dense, (1, 2, 3), widths)

    @property
    def stack(self) -> tuple[keras.layers.Dense, ...]:
        """The three fully connected layers, in order. Their activations are applied in `call`."""
        return self.recons_1, self.recons_2, self.recons_3

    def build(self, capsules_shape: tuple) -> None:
        self.check_shape(capsules_shape, "capsules [batch, classes, atoms]")
        width = capsules_shape[1] * capsules_shape[2]
        for layer in self.stack:
            layer.build((None, width))
            width = layer.units

    def call(self, capsules: Any) -> Any:
        batch, (classes, atoms) = ops.shape(capsules)[0], capsules.shape[1:]
        hidden = ops.reshape(capsules, (batch, classes * atoms))
        hidden = self.recons_3(ops.relu(self.recons_2(ops.relu(self.recons_1(hidden)))))
        rows, columns, depth = self.image_shape
        pixels = ops.reshape(ops.sigmoid(precise(hidden)), (batch, depth, rows, columns))
        return ops.transpose(pixels, (0, 2, 3, 1))  # [batch, rows, columns, depth]

    def compute_output_shape(self, capsules_shape: tuple) -> tuple:
        return (capsules_shape[0], *self.image_shape)

    def compute_output_spec(self, capsules: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(capsules.shape), dtype=drawn_dtype(self))
