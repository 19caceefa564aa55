"""The base class of the capsule layers, with Keras' usual arguments for weights, and the size after a convolution."""

from typing import Any

import keras


class CapsuleLayer(keras.layers.Layer):
    """A layer with a kernel and a bias, each with an initializer, a regularizer and a constraint of Keras.

    A derived layer with other default initializers overrides `default_kernel` and `default_bias`.

    Args:
        kernel_initializer, bias_initializer: initializers; None: those of `default_kernel` and `default_bias`.
        kernel_regularizer, bias_regularizer: penalties on the weights that are added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each step.
    """

    def __init__(
        self,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def default_kernel(self) -> keras.initializers.Initializer:
        """The initializer of a kernel if the user gives none: that of 2017."""
        return keras.initializers.TruncatedNormal(stddev=0.1)

    def default_bias(self) -> keras.initializers.Initializer:
        """The initializer of a bias if the user gives none: that of 2017."""
        return keras.initializers.Constant(0.1)

    def initial_kernel(self) -> Any:
        """The initializer of one kernel; an instance is cloned, so that several kernels differ."""
        given = self.kernel_initializer
        if given is None:
            return self.default_kernel()
        return given.clone() if isinstance(given, keras.initializers.Initializer) else given

    def initial_bias(self) -> Any:
        """The initializer of one bias."""
        return self.default_bias() if self.bias_initializer is None else self.bias_initializer

    def add_kernel_and_bias(self, kernel_shape: tuple[int, ...], bias_shape: tuple[int, ...]) -> None:
        """Creates the weights `kernel` and `bias`."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel_shape,
            initializer=self.initial_kernel(),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=bias_shape,
            initializer=self.initial_bias(),
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
            autocast=False,  # it is added to float32 sums, whatever the dtype of the votes is
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def convolved_size(
    layer: str, size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], padding: str
) -> tuple[int, int]:
    """Rows and columns of a convolution's output.

    Args:
        layer: the layer's name, for the message.
        size: (rows, columns) of its input.
        kernel: (rows, columns) of the kernel.
        strides: steps of the kernel, (down, across).
        padding: "valid" or "same", in upper or lower case.

    Raises:
        ValueError: the input is smaller than the kernel and there is no padding.
    """
    if padding.lower() == "same":
        return -(-size[0] // strides[0]), -(-size[1] // strides[1])
    if size[0] < kernel[0] or size[1] < kernel[1]:
        raise ValueError(
            f"Layer '{layer}' applies a {kernel[0]}x{kernel[1]} kernel without padding and needs an input of at least "
            f"that size. Received: {size[0]}x{size[1]}. Use larger images or the padding 'same'."
        )
    return (size[0] - kernel[0]) // strides[0] + 1, (size[1] - kernel[1]) // strides[1] + 1
