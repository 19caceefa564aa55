"""Keras layers for capsule networks: primary capsules, routed capsules, and `Length`, `Mask` and `Decoder`.

The layers run on any backend, take any image size, depth and class count, follow the dtype policy (with the sensitive
parts in float32) and save to `.keras` files that load again without custom objects. The functions in `capsules.ops` and
`capsules.routing` that they use can be imported from here too.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

from typing import Any

import keras
from keras import ops

from capsules.arguments import choice, count, sides
from capsules.base import CapsuleLayer, convolved_size
from capsules.convolution import convolve, convolve_after
from capsules.ops import length, squash
from capsules.readout import Decoder, Length, Mask
from capsules.routing import DynamicRouting, Routing, coupling_coefficients, dynamic_routing
from capsules.votes import StoredVotes, Votes

__all__ = [
    "CapsuleLayer",
    "Capsules",
    "Decoder",
    "Length",
    "Mask",
    "PrimaryCapsules",
    "convolved_size",
    "coupling_coefficients",
    "dynamic_routing",
    "length",
    "squash",
]


@keras.saving.register_keras_serializable("capsules")
class Conv2D(keras.layers.Conv2D):
    """Keras' 2-D convolution, computed by short DFTs where those are faster.

    Arguments, weights and results are those of `keras.layers.Conv2D`; see `capsules.convolution`.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self.data_format != "channels_last" or self.groups != 1 or self.dilation_rate != (1, 1):
            return super().convolution_op(inputs, kernel)
        return convolve(inputs, kernel, self.strides, self.padding)


@keras.saving.register_keras_serializable("capsules")
class PrimaryCapsules(CapsuleLayer):
    """Convolutional capsules made from a feature map (paper, section 4, "PrimaryCapsules").

    One convolution makes `types`·`atoms` channels (channel = type·atoms + atom). As in the code of
    2017 this is a routing pass with a single input capsule, whose coefficient for each of the `types`
    outputs is the softmax of zeros: the sum is multiplied by 1/types (1/(types+1) when leaky), then the
    bias is added and the capsules are squashed. Capsules come out ordered (type, row, column).

    Args:
        types: number of capsule types (32 in the paper).
        atoms: length of each capsule vector (8).
        kernel_size: side of the square kernel (9), or (rows, columns).
        strides: step of the kernel (2), or (down, across).
        padding: "valid" or "same".
        leaky: whether the routing softmax has the extra, dropped output.
        kernel_initializer, …: see `CapsuleLayer`.

    Input: [batch, rows, columns, channels], whatever Keras' image format is.
    Output: [batch, types·rows'·columns', atoms].

    Raises:
        ValueError: an argument is out of range, or the input is smaller than the kernel or not an image of the size
            that the layer was built for.

    Example:
        >>> tuple(PrimaryCapsules(types=32, atoms=8)(keras.random.normal((2, 20, 20, 256))).shape)
        (2, 1152, 8)
    """

    def __init__(
        self,
        types: int = 32,
        atoms: int = 8,
        kernel_size: int | tuple[int, int] = 9,
        strides: int | tuple[int, int] = 2,
        padding: str = "valid",
        leaky: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.types = count("PrimaryCapsules: types", types)
        self.atoms = count("PrimaryCapsules: atoms", atoms)
        self.kernel_size = sides("PrimaryCapsules: kernel_size", kernel_size)
        self.strides = sides("PrimaryCapsules: strides", strides)
        self.padding = choice("PrimaryCapsules: padding", padding, ("valid", "same"))
        self.leaky = bool(leaky)

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects images [batch, rows, columns, channels] of known size. "
                f"Received: {tuple(input_shape)}"
            )
        self.grid = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, self.padding)
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.add_kernel_and_bias(
            (*self.kernel_size, input_shape[3], self.types * self.atoms),
            (self.types, self.atoms, 1, 1),  # same shape as in 2017, so that old checkpoints load unchanged
        )

    def call(self, inputs: Any) -> Any:
        return self._capsules(convolve(inputs, ops.cast(self.kernel, inputs.dtype), self.strides, self.padding))

    def after_convolution(self, first: keras.layers.Conv2D, images: Any) -> Any:
        """The capsules of `first(images)`, with both convolutions in one go where that is faster.

        Args:
            first: a convolution whose outputs are this layer's inputs. Both layers must be built.
            images: [batch, rows, columns, channels].
        """
        if isinstance(images, keras.KerasTensor):
            return self(first(images))  # a functional model consists of layers
        kernel = ops.cast(self.kernel, self.compute_dtype)
        return self._capsules(convolve_after(first, images, kernel, self.strides, self.padding))

    def _capsules(self, total: Any) -> Any:
        """The capsules of the convolution's result."""
        coefficient = 1.0 / (self.types + self.leaky)
        batch = ops.shape(total)[0]  # named in each reshape: -1 would mix the examples of an input of another size
        total = ops.reshape(total, (batch, *self.grid, self.types, self.atoms))
        bias = ops.reshape(ops.cast(self.bias, "float32"), (self.types, self.atoms))
        capsules = squash(ops.cast(total, "float32") * coefficient + bias)
        capsules = ops.transpose(capsules, (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        capsules = ops.reshape(capsules, (batch, self.types * self.grid[0] * self.grid[1], self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        rows, columns = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, self.padding)
        return (input_shape[0], self.types * rows * columns, self.atoms)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "types": self.types,
            "atoms": self.atoms,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "leaky": self.leaky,
        }


@keras.saving.register_keras_serializable("capsules")
class Capsules(CapsuleLayer):
    """Fully connected capsules, routed by agreement (paper, section 4, "DigitCaps"; procedure 1).

    Each input capsule u_i votes for each output capsule j with û_ij = u_i W_ij. The votes are never
    stored (see `capsules.votes`): for each pair and iteration, memory holds one coefficient in place of 16 atoms.

    Args:
        num_capsules: number of output capsules (the classes).
        atoms: length of each output capsule (16 in the paper).
        routing: number of routing iterations (3).
        leaky: see `coupling_coefficients`.
        gradient: "all" or "last" routing iterations, see `DynamicRouting`.
        kernel_initializer, …: see `CapsuleLayer`.

    Input: [batch, in, atoms_in]. Output: [batch, num_capsules, atoms].

    A derived layer with another routing overrides `make_routing`; one with other votes overrides `compute_votes`.

    Raises:
        ValueError: an argument is out of range, or the input is not [batch, in, atoms_in] of the size that the layer
            was built for.

    Example:
        >>> tuple(Capsules(num_capsules=10, atoms=16, routing=3)(keras.random.normal((2, 1152, 8))).shape)
        (2, 10, 16)
    """

    def __init__(
        self,
        num_capsules: int,
        atoms: int = 16,
        routing: int = 3,
        leaky: bool = False,
        gradient: str = "all",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_capsules = count("Capsules: num_capsules", num_capsules)
        self.atoms = count("Capsules: atoms", atoms)
        self.routing, self.leaky, self.gradient = routing, bool(leaky), gradient
        self.make_routing()  # refuses wrong arguments

    def check_input(self, input_shape: tuple) -> None:
        """Raises ValueError if the input is not [batch, in, atoms_in] of known size; later inputs must match it."""
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects capsules [batch, in, atoms] of known size. Received: {tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))

    def build(self, input_shape: tuple) -> None:
        self.check_input(input_shape)
        _, inputs, atoms_in = input_shape
        self.add_kernel_and_bias((inputs, atoms_in, self.num_capsules * self.atoms), (self.num_capsules, self.atoms))

    def call(self, inputs: Any) -> Any:
        return self.route(inputs)[0]

    def compute_votes(self, inputs: Any) -> Votes | StoredVotes:
        """The votes of input capsules [batch, in, atoms_in] for the output capsules."""
        _, size, atoms_in = inputs.shape
        kernel = ops.cast(self.kernel, inputs.dtype)
        return Votes(inputs, ops.reshape(kernel, (size, atoms_in, self.num_capsules, self.atoms)))

    def make_routing(self) -> Routing:
        """The routing: a callable of votes and bias, see `capsules.routing`."""
        return DynamicRouting(self.routing, self.leaky, self.gradient)

    def route(self, inputs: Any) -> tuple[Any, list]:
        """The capsules [batch, out, atoms], and a list of the coefficients [out, batch, in] of each iteration."""
        capsules, coefficients = self.make_routing()(self.compute_votes(inputs), self.bias)
        return ops.cast(ops.transpose(capsules, (1, 0, 2)), self.compute_dtype), coefficients

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.num_capsules, self.atoms)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "num_capsules": self.num_capsules,
            "atoms": self.atoms,
            "routing": self.routing,
            "leaky": self.leaky,
            "gradient": self.gradient,
        }
