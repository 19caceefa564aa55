"""Primary capsules made by a depthwise convolution (Mazzia, Salvetti, Chiaberge 2021)."""

import keras
from keras import ops

from capsules.layers import convolved_size
from capsules.ops import exponential_squash


@keras.saving.register_keras_serializable("capsules")
class DepthwiseCapsules(keras.layers.Layer):
    """Primary capsules whose atoms each see one channel: a depthwise convolution, then `exponential_squash`.

    The channels of the input are the atoms of the capsules: channel = type·atoms + atom. Capsules come out ordered
    (type, row, column).

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet: capsule network with self-attention routing",
    Scientific Reports 11:14634, 2021 (arXiv:2101.12491), section 3.2.

    Args:
        kernel_size: (rows, columns) of the kernel; in the paper it covers the whole feature map.
        atoms: length of each capsule vector (8), which divides the number of channels.
        strides: step of the kernel in both directions (1).

    Input: [batch, rows, columns, channels]. Output: [batch, channels/atoms·rows'·columns', atoms].

    Raises:
        ValueError: the input is smaller than the kernel, is not an image of known size, or its channels are no
            multiple of `atoms`.
    """

    def __init__(self, kernel_size: tuple[int, int], atoms: int = 8, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.atoms, self.strides = tuple(kernel_size), atoms, strides

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects images [batch, rows, columns, channels] of known size. "
                f"Received: {tuple(input_shape)}"
            )
        channels = input_shape[3]
        if channels % self.atoms:
            raise ValueError(
                f"Layer '{self.name}' makes capsules of {self.atoms} atoms and needs a multiple of as many channels. "
                f"Received: {channels}"
            )
        self.types = channels // self.atoms
        self.grid = self._grid(input_shape)
        # Of the shape of a grouped convolution's kernel, so that he_normal counts the inputs of one channel.
        self.kernel = self.add_weight(name="kernel", shape=(*self.kernel_size, 1, channels), initializer="he_normal")
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")

    def _grid(self, input_shape) -> tuple[int, int]:
        rows, columns = (
            convolved_size(self.name, (size, size), kernel, self.strides, "valid")[0]
            for size, kernel in zip(input_shape[1:3], self.kernel_size, strict=True)
        )
        return rows, columns

    def call(self, inputs):
        kernel = ops.transpose(ops.cast(self.kernel, inputs.dtype), (0, 1, 3, 2))  # [rows, columns, channels, 1]
        total = ops.depthwise_conv(inputs, kernel, self.strides, "valid", data_format="channels_last")
        total = ops.cast(total, "float32") + ops.cast(self.bias, "float32")
        total = ops.reshape(total, (-1, *self.grid, self.types, self.atoms))
        capsules = ops.transpose(exponential_squash(total), (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        capsules = ops.reshape(capsules, (-1, self.types * self.grid[0] * self.grid[1], self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        rows, columns = self._grid(input_shape)
        return (input_shape[0], input_shape[3] // self.atoms * rows * columns, self.atoms)

    def get_config(self):
        return super().get_config() | {
            "kernel_size": self.kernel_size,
            "atoms": self.atoms,
            "strides": self.strides,
        }
