"""Keras layers for capsule networks: primary capsules, routed capsules and the decoder.

The layers hold no reference to a backend, take any image size, depth and class count, follow the
dtype policy (with the sensitive parts in float32) and save to `.keras` files that load again without
custom objects. The functions they are made of are in `capsules.ops` and `capsules.routing` and can be
imported from here.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

import keras
from keras import ops

from capsules.convolution import convolve
from capsules.ops import length, squash
from capsules.routing import DynamicRouting, coupling_coefficients, dynamic_routing
from capsules.votes import StoredVotes, Votes

__all__ = [
    "Capsules",
    "Decoder",
    "PrimaryCapsules",
    "convolved_size",
    "coupling_coefficients",
    "dynamic_routing",
    "length",
    "squash",
]


def convolved_size(layer: str, size: tuple[int, int], kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Rows and columns that a convolution leaves of an image.

    Args:
        layer: the layer's name, for the message.
        size: (rows, columns) of its input.
        kernel: side of the square kernel.
        stride: step in both directions.
        padding: "valid" or "same", in any case.

    Raises:
        ValueError: the input is smaller than the kernel and there is no padding.
    """
    rows, columns = size
    if padding.lower() == "same":
        return -(-rows // stride), -(-columns // stride)
    if min(rows, columns) < kernel:
        raise ValueError(
            f"Layer '{layer}' applies a {kernel}x{kernel} kernel without padding and needs an input of at least "
            f"that size. Received: {rows}x{columns}. Use larger images or padding=SAME."
        )
    return (rows - kernel) // stride + 1, (columns - kernel) // stride + 1


def _truncated_normal():
    return keras.initializers.TruncatedNormal(stddev=0.1)


@keras.saving.register_keras_serializable("capsules")
class Conv2D(keras.layers.Conv2D):
    """Keras' 2-D convolution of images [batch, rows, columns, channels], by short DFTs where those are faster.

    Arguments, weights and results are those of `keras.layers.Conv2D`; see `capsules.convolution`.
    """

    def convolution_op(self, inputs, kernel):
        return convolve(inputs, kernel, self.strides, self.padding)


@keras.saving.register_keras_serializable("capsules")
class PrimaryCapsules(keras.layers.Layer):
    """Convolutional capsules made from a feature map (paper, section 4, "PrimaryCapsules").

    One convolution makes `types`·`atoms` channels (channel = type·atoms + atom). As in the code of
    2017 this is a routing pass with a single input capsule, whose coefficient for each of the `types`
    outputs is the softmax of zeros: the sum is multiplied by 1/types (1/(types+1) when leaky), then the
    bias is added and the capsules are squashed. Capsules come out ordered (type, row, column).

    Args:
        types: number of capsule types (32 in the paper).
        atoms: length of each capsule vector (8).
        kernel_size: side of the square kernel (9).
        strides: step of the kernel (2).
        padding: "valid" or "same".
        leaky: whether the routing softmax has the extra, dropped output.

    Input: [batch, rows, columns, channels]. Output: [batch, types·rows'·columns', atoms].

    Raises:
        ValueError: the input is smaller than the kernel, or is not an image of known size.
    """

    def __init__(
        self,
        types: int = 32,
        atoms: int = 8,
        kernel_size: int = 9,
        strides: int = 2,
        padding: str = "valid",
        leaky: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.types, self.atoms = types, atoms
        self.kernel_size, self.strides, self.padding = kernel_size, strides, padding.lower()
        self.leaky = leaky

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects images [batch, rows, columns, channels] of known size. "
                f"Received: {tuple(input_shape)}"
            )
        self.grid = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, self.padding)
        shape = (self.kernel_size, self.kernel_size, input_shape[3], self.types * self.atoms)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=_truncated_normal())
        self.bias = self.add_weight(  # the shape of 2017, whose checkpoints so need no conversion
            name="bias", shape=(self.types, self.atoms, 1, 1), initializer=keras.initializers.Constant(0.1)
        )

    def call(self, inputs):
        coefficient = 1.0 / (self.types + bool(self.leaky))
        total = convolve(inputs, ops.cast(self.kernel, inputs.dtype), self.strides, self.padding)
        total = ops.reshape(total, (-1, *self.grid, self.types, self.atoms))
        bias = ops.reshape(ops.cast(self.bias, "float32"), (self.types, self.atoms))
        capsules = squash(ops.cast(total, "float32") * coefficient + bias)
        capsules = ops.transpose(capsules, (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        capsules = ops.reshape(capsules, (-1, self.types * self.grid[0] * self.grid[1], self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        rows, columns = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, self.padding)
        return (input_shape[0], self.types * rows * columns, self.atoms)

    def get_config(self):
        return super().get_config() | {
            "types": self.types,
            "atoms": self.atoms,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "leaky": self.leaky,
        }


@keras.saving.register_keras_serializable("capsules")
class Capsules(keras.layers.Layer):
    """Fully connected capsules, routed by agreement (paper, section 4, "DigitCaps"; procedure 1).

    Each input capsule u_i votes for each output capsule j with û_ij = u_i W_ij. The votes are never
    stored, see `capsules.votes`: memory holds one coefficient a pair and iteration in place of 16 atoms.

    Args:
        num_capsules: number of output capsules (the classes).
        atoms: length of each output capsule (16 in the paper).
        routing: number of routing iterations (3).
        leaky: see `coupling_coefficients`.
        gradient: "all" or "last" routing iterations, see `DynamicRouting`.

    Input: [batch, in, atoms_in]. Output: [batch, num_capsules, atoms].

    A derived layer that routes in another way overrides `make_routing`; one that makes its votes in another way
    overrides `compute_votes`.

    Raises:
        ValueError: an input that is not [batch, in, atoms_in] of known size, or wrong routing arguments.
    """

    def __init__(
        self,
        num_capsules: int,
        atoms: int = 16,
        routing: int = 3,
        leaky: bool = False,
        gradient: str = "all",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_capsules, self.atoms = num_capsules, atoms
        self.routing, self.leaky, self.gradient = routing, leaky, gradient
        self.make_routing()  # refuses wrong arguments

    def check_input(self, input_shape) -> None:
        """Raises ValueError where the input is not [batch, in, atoms_in] of known size."""
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects capsules [batch, in, atoms] of known size. Received: {tuple(input_shape)}"
            )

    def build(self, input_shape):
        self.check_input(input_shape)
        _, inputs, atoms_in = input_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs, atoms_in, self.num_capsules * self.atoms), initializer=_truncated_normal()
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_capsules, self.atoms), initializer=keras.initializers.Constant(0.1)
        )

    def call(self, inputs):
        return self.route(inputs)[0]

    def compute_votes(self, inputs) -> Votes | StoredVotes:
        """The votes of input capsules [batch, in, atoms_in] for the output capsules."""
        _, size, atoms_in = inputs.shape
        kernel = ops.cast(self.kernel, inputs.dtype)
        return Votes(inputs, ops.reshape(kernel, (size, atoms_in, self.num_capsules, self.atoms)))

    def make_routing(self) -> DynamicRouting:
        """The routing: a callable of votes and bias, see `capsules.routing`."""
        return DynamicRouting(self.routing, self.leaky, self.gradient)

    def route(self, inputs):
        """The capsules [batch, out, atoms] and the coupling coefficients [out, batch, in] of each iteration, a list."""
        capsules, coefficients = self.make_routing()(self.compute_votes(inputs), self.bias)
        return ops.cast(ops.transpose(capsules, (1, 0, 2)), self.compute_dtype), coefficients

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_capsules, self.atoms)

    def get_config(self):
        return super().get_config() | {
            "num_capsules": self.num_capsules,
            "atoms": self.atoms,
            "routing": self.routing,
            "leaky": self.leaky,
            "gradient": self.gradient,
        }


@keras.saving.register_keras_serializable("capsules")
class Decoder(keras.layers.Layer):
    """Draws an image from one capsule (paper, section 4.1): 512 ReLU, 1024 ReLU, one sigmoid a pixel.

    All capsules but the chosen one are set to zero, and the rest is decoded. The weights order the
    pixels [depth, row, column], as in 2017; the images come out with the depth last.

    Args:
        image_shape: (rows, columns, depth) of the images.
        units: widths of the two hidden layers.

    Call: `decoder(capsules, mask)` with capsules [batch, classes, atoms] and mask [batch, classes], 1 for the
    capsule to draw and 0 for the others. Output: images [batch, rows, columns, depth] in [0, 1], float32.
    """

    def __init__(self, image_shape: tuple[int, int, int], units: tuple[int, int] = (512, 1024), **kwargs):
        super().__init__(**kwargs)
        self.image_shape, self.units = tuple(image_shape), tuple(units)
        rows, columns, depth = self.image_shape
        self.stack = [
            keras.layers.Dense(
                width,
                activation=activation,
                kernel_initializer=_truncated_normal(),
                bias_initializer=keras.initializers.Constant(0.1),
                dtype=self.dtype_policy,
                name=f"recons_{index}",
            )
            for index, (width, activation) in enumerate(
                [(self.units[0], "relu"), (self.units[1], "relu"), (rows * columns * depth, None)], start=1
            )
        ]

    def build(self, input_shape):
        _, classes, atoms = input_shape
        width = classes * atoms
        for layer in self.stack:
            layer.build((None, width))
            width = layer.units

    def call(self, capsules, mask):
        _, classes, atoms = capsules.shape
        hidden = capsules * ops.cast(mask, capsules.dtype)[..., None]
        hidden = ops.reshape(hidden, (-1, classes * atoms))
        for layer in self.stack:
            hidden = layer(hidden)
        rows, columns, depth = self.image_shape
        pixels = ops.sigmoid(ops.cast(hidden, "float32"))
        pixels = ops.reshape(pixels, (-1, depth, rows, columns))
        return ops.transpose(pixels, (0, 2, 3, 1))  # [batch, rows, columns, depth]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.image_shape)

    def get_config(self):
        return super().get_config() | {"image_shape": self.image_shape, "units": self.units}
