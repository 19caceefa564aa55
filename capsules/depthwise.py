"""Primary capsules made by a depthwise convolution (Mazzia, Salvetti, Chiaberge 2021)."""

from typing import Any

import keras
from keras import ops

from capsules.arguments import count, sides
from capsules.base import CapsuleLayer, convolved_size
from capsules.ops import exponential_squash


@keras.saving.register_keras_serializable("capsules")
class DepthwiseCapsules(CapsuleLayer):
    """Primary capsules whose atoms each see one channel: a depthwise convolution, then `exponential_squash`.

    The channels of the input are the atoms of the capsules: channel = type·atoms + atom. Capsules come out ordered
    (type, row, column).

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet: capsule network with self-attention routing",
    Scientific Reports 11:14634, 2021 (arXiv:2101.12491), section 3.2.

    Args:
        kernel_size: side of the square kernel, or (rows, columns); in the paper it covers the whole feature map.
        atoms: length of each capsule vector (8), which divides the number of channels.
        strides: step of the kernel (1), or (down, across).
        kernel_initializer, …: see `CapsuleLayer`; the defaults are the paper's, he_normal and zeros.

    Input: [batch, rows, columns, channels]. Output: [batch, channels/atoms·rows'·columns', atoms].

    Raises:
        ValueError: an argument is out of range, or the input is smaller than the kernel, is not an image of the size
            that the layer was built for, or has a number of channels that is not a multiple of `atoms`.

    Example:
        >>> tuple(DepthwiseCapsules(kernel_size=9)(keras.random.normal((2, 9, 9, 128))).shape)
        (2, 16, 8)
    """

    def __init__(
        self, kernel_size: int | tuple[int, int], atoms: int = 8, strides: int | tuple[int, int] = 1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.kernel_size = sides("DepthwiseCapsules: kernel_size", kernel_size)
        self.atoms = count("DepthwiseCapsules: atoms", atoms)
        self.strides = sides("DepthwiseCapsules: strides", strides)

    def default_kernel(self) -> keras.initializers.Initializer:
        return keras.initializers.HeNormal()

    def default_bias(self) -> keras.initializers.Initializer:
        return keras.initializers.Zeros()

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects images [batch, rows, columns, channels] of known size. "
                f"Received: {tuple(input_shape)}"
            )
        channels = input_shape[3]
        if channels % self.atoms:
            raise ValueError(
                f"Layer '{self.name}' makes capsules of {self.atoms} atoms and needs a number of channels that is a "
                f"multiple of {self.atoms}. Received: {channels}"
            )
        self.types = channels // self.atoms
        self.grid = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, "valid")
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        # In the shape of a grouped convolution's kernel, so that he_normal counts the inputs of one channel.
        self.add_kernel_and_bias((*self.kernel_size, 1, channels), (channels,))

    def call(self, inputs: Any) -> Any:
        batch = ops.shape(inputs)[0]  # named in each reshape: -1 would mix the examples of an input of another size
        kernel = ops.transpose(ops.cast(self.kernel, inputs.dtype), (0, 1, 3, 2))  # [rows, columns, channels, 1]
        total = ops.depthwise_conv(inputs, kernel, self.strides, "valid", data_format="channels_last")
        total = ops.cast(total, "float32") + ops.cast(self.bias, "float32")
        total = ops.reshape(total, (batch, *self.grid, self.types, self.atoms))
        capsules = ops.transpose(exponential_squash(total), (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        capsules = ops.reshape(capsules, (batch, self.types * self.grid[0] * self.grid[1], self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        rows, columns = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, "valid")
        return (input_shape[0], input_shape[3] // self.atoms * rows * columns, self.atoms)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "kernel_size": self.kernel_size,
            "atoms": self.atoms,
            "strides": self.strides,
        }
