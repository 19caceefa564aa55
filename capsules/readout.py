"""Layers that read out capsules: `Length`, `Mask`, and `Decoder`, which draws an image from a capsule.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829), sections 2 and 4.1.
"""

from typing import Any

import keras
from keras import ops

from capsules.arguments import counts
from capsules.base import CapsuleLayer
from capsules.labels import multi_hot
from capsules.ops import length


def _check_capsules(layer: keras.layers.Layer, shape: tuple) -> None:
    """Refuses capsules of unknown number or length; later inputs of the layer must match them."""
    if len(shape) != 3 or None in shape[1:]:
        raise ValueError(
            f"Layer '{layer.name}' expects capsules [batch, classes, atoms] of known size. Received: {tuple(shape)}"
        )
    layer.input_spec = keras.layers.InputSpec(shape=(None, *shape[1:]))


@keras.saving.register_keras_serializable("capsules")
class Length(keras.layers.Layer):
    """Length of each capsule: the probability that its entity is present (paper, section 2).

    Input: [batch, classes, atoms]. Output: [batch, classes], float32 under every dtype policy.

    Raises:
        ValueError: the number or length of the input capsules is unknown.

    Example:
        >>> tuple(Length()(keras.ops.convert_to_tensor([[[3.0, 4.0], [0.0, 0.0]]])).shape)
        (1, 2)
    """

    def build(self, input_shape: tuple) -> None:
        _check_capsules(self, input_shape)

    def call(self, inputs: Any) -> Any:
        return length(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape[:2])

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")


@keras.saving.register_keras_serializable("capsules")
class Mask(keras.layers.Layer):
    """Sets all capsules to zero except those of the labels or, without labels, the longest one (paper, section 4.1).

    Call: `mask(capsules, labels)` in training, `mask(capsules)` for a prediction. Capsules are [batch, classes, atoms];
    labels are integers [batch] or [batch, 1], or one-hot or multi-hot [batch, classes].
    Output: [batch, classes, atoms].

    Raises:
        ValueError: the size of the capsules is unknown, or labels have another shape or are outside the classes.

    Example:
        >>> capsules = keras.ops.ones((2, 3, 4))
        >>> masked = Mask()(capsules, keras.ops.convert_to_tensor([2, 0]))
        >>> print(keras.ops.convert_to_numpy(masked)[:, :, 0])
        [[0. 0. 1.]
         [1. 0. 0.]]
    """

    def build(self, capsules_shape: tuple, labels_shape: tuple | None = None) -> None:
        _check_capsules(self, capsules_shape)

    def call(self, capsules: Any, labels: Any = None) -> Any:
        classes = capsules.shape[1]
        if labels is None:
            labels = ops.top_k(length(capsules), k=1)[1]  # [batch, 1]; float argmax does not export to LiteRT
        return capsules * ops.cast(multi_hot(labels, classes), capsules.dtype)[..., None]

    def compute_output_shape(self, capsules_shape: tuple, labels_shape: tuple | None = None) -> tuple:
        return tuple(capsules_shape)


@keras.saving.register_keras_serializable("capsules")
class Decoder(CapsuleLayer):
    """Draws an image from one capsule (paper, section 4.1): 512 ReLU, 1024 ReLU, one sigmoid a pixel.

    The weights order the pixels [depth, row, column], as in 2017; the images come out with the depth last.

    Args:
        image_shape: (rows, columns, depth) of the images.
        units: widths of the two hidden layers.
        kernel_initializer, …: see `CapsuleLayer`; they apply to each of the three layers.

    Call: `decoder(capsules, shown)` with capsules [batch, classes, atoms] and shown [batch, classes], 1 for the
    capsule to draw and 0 for the others; or `decoder(capsules)` with capsules from `Mask`.
    Output: images [batch, rows, columns, depth] in [0, 1], float32 under every dtype policy.

    Raises:
        ValueError: a size is not a whole number of 1 or more, the size of the capsules is unknown, or `shown` has
            another shape.

    Example:
        >>> capsules = Capsules(10)(keras.random.normal((2, 72, 8)))
        >>> tuple(Decoder((28, 28, 1))(Mask()(capsules)).shape)
        (2, 28, 28, 1)
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        units: tuple[int, int] = (512, 1024),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.image_shape = counts("Decoder: image_shape", image_shape, "(rows, columns, depth)")
        self.units = counts("Decoder: units", units, "(first, second)")
        rows, columns, depth = self.image_shape

        def dense(index: int, width: int, activation: str | None) -> keras.layers.Dense:
            return keras.layers.Dense(
                width,
                activation=activation,
                kernel_initializer=self.initial_kernel(),
                bias_initializer=self.initial_bias(),
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                kernel_constraint=self.kernel_constraint,
                bias_constraint=self.bias_constraint,
                dtype=self.dtype_policy,
                name=f"recons_{index}",
            )

        # Attributes and not a list: tf.train.Checkpoint does not follow a Python list in a Keras layer.
        self.recons_1 = dense(1, self.units[0], "relu")
        self.recons_2 = dense(2, self.units[1], "relu")
        self.recons_3 = dense(3, rows * columns * depth, None)

    @property
    def stack(self) -> tuple[keras.layers.Dense, ...]:
        """The three fully connected layers, in order."""
        return self.recons_1, self.recons_2, self.recons_3

    def build(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> None:
        _check_capsules(self, capsules_shape)
        width = capsules_shape[1] * capsules_shape[2]
        for layer in self.stack:
            layer.build((None, width))
            width = layer.units

    def call(self, capsules: Any, shown: Any = None) -> Any:
        batch, classes, atoms = ops.shape(capsules)
        if shown is not None:
            if len(shown.shape) != 2 or shown.shape[1] != classes:
                raise ValueError(
                    f"Layer '{self.name}' expects {classes} numbers for each example that say which capsules to draw, "
                    f"[batch, {classes}]. Received: {tuple(shown.shape)}"
                )
            capsules = capsules * ops.cast(shown, capsules.dtype)[..., None]
        hidden = ops.reshape(capsules, (batch, classes * atoms))
        for layer in self.stack:
            hidden = layer(hidden)
        rows, columns, depth = self.image_shape
        pixels = ops.sigmoid(ops.cast(hidden, "float32"))
        pixels = ops.reshape(pixels, (batch, depth, rows, columns))
        return ops.transpose(pixels, (0, 2, 3, 1))  # [batch, rows, columns, depth]

    def compute_output_shape(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> tuple:
        return (capsules_shape[0], *self.image_shape)

    def compute_output_spec(self, capsules: Any, shown: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(capsules.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"image_shape": self.image_shape, "units": self.units}
