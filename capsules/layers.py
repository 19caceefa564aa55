"""Keras layers that make capsules: primary capsules and routed ones.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from capsules.base import CapsuleLayer, WindowLayer
from capsules.convolution import convolve
from capsules.ops import check_floats, choice, count, drawn_dtype, exponential_squash, number, precise, squash
from capsules.routing import Routed, Routing, as_routing
from capsules.votes import StoredVotes, Votes


class _ConvolutionalCapsules(WindowLayer):
    """What both layers of primary capsules share: the check of their input, and their output."""

    types: int
    atoms: int

    def build(self, input_shape: tuple) -> None:
        self.check_shape(input_shape, "images [batch, rows, columns, channels]")
        self.grid = self.grid_of(input_shape)

    def as_capsules(self, maps: Any, bias: Any, shrink: Callable) -> Any:
        """Maps [batch, rows', columns', types·atoms] and a bias as capsules [batch, types·rows'·columns', atoms]."""
        batch, (rows, columns) = ops.shape(maps)[0], self.grid  # -1 would mix examples of an input of another size
        maps = ops.reshape(maps, (batch, rows, columns, self.types, self.atoms))
        capsules = ops.transpose(shrink(maps + bias), (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        capsules = ops.reshape(capsules, (batch, self.types * rows * columns, self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        types = getattr(self, "types", None) or input_shape[3] // self.atoms
        return (input_shape[0], types * math.prod(self.grid_of(input_shape)), self.atoms)


@keras.saving.register_keras_serializable("capsules")
class PrimaryCapsules(_ConvolutionalCapsules):
    """Convolutional capsules made from a feature map (paper, section 4, "PrimaryCapsules").

    One convolution makes `types`·`atoms` channels (channel = type·atoms + atom). They are multiplied by `scale`, a bias
    is added, and the capsules are squashed. Capsules come out ordered (type, row, column).

    Args:
        types: number of capsule types (32 in the paper).
        atoms: length of each capsule vector (8).
        kernel_size, strides, padding, kernel_initializer, …: see `WindowLayer`.
        scale: factor before the bias. The code of 2017 has 1/types (1/(types + 1) when leaky), since the layer is a
            routing pass with one input capsule there.

    Input: floats [batch, rows, columns, channels], whatever Keras' image format is.
    Output: [batch, types·rows'·columns', atoms].

    Example:
        >>> tuple(PrimaryCapsules(types=32, atoms=8)(keras.random.normal((2, 20, 20, 256))).shape)
        (2, 1152, 8)
    """

    def __init__(
        self,
        types: int = 32,
        atoms: int = 8,
        kernel_size: int | tuple[int, ...] = 9,
        strides: int | tuple[int, ...] = 2,
        padding: str = "valid",
        scale: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(kernel_size, strides, padding, **kwargs)
        self.types = count("PrimaryCapsules: types", types)
        self.atoms = count("PrimaryCapsules: atoms", atoms)
        self.scale = number("PrimaryCapsules: scale", scale)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.kernel = self.add_named_weight("kernel", (*self.kernel_size, input_shape[3], self.types * self.atoms))
        self.bias = self.add_named_weight("bias", (self.types, self.atoms, 1, 1))  # the shape of 2017's checkpoints

    def call(self, inputs: Any) -> Any:
        maps = convolve(check_floats(self, inputs), ops.cast(self.kernel, inputs.dtype), self.strides, self.padding)
        return self.as_capsules(precise(maps) * self.scale, precise(self.bias)[:, :, 0, 0], squash)


@keras.saving.register_keras_serializable("capsules")
class DepthwiseCapsules(_ConvolutionalCapsules):
    """Primary capsules whose atoms each see one channel: a depthwise convolution, then `exponential_squash`.

    The channels of the input are the atoms, channel = type·atoms + atom. Capsules come out ordered (type, row, column).

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet", Scientific Reports 11:14634, 2021, section 3.2.

    Args:
        kernel_size, strides, padding, kernel_initializer, …: see `WindowLayer`. In the paper, the kernel covers the
            whole feature map and begins with he_normal, the bias with zeros.
        atoms: length of each capsule vector (8), which divides the number of channels.

    Input: floats [batch, rows, columns, channels]. Output: [batch, channels/atoms·rows'·columns', atoms].

    Example:
        >>> tuple(DepthwiseCapsules(kernel_size=9)(keras.random.normal((2, 9, 9, 128))).shape)
        (2, 16, 8)
    """

    default_kernel = keras.initializers.HeNormal()
    default_bias = keras.initializers.Zeros()

    def __init__(self, kernel_size: int | tuple, atoms: int = 8, strides: int | tuple = 1, **kwargs: Any):
        super().__init__(kernel_size, strides, **kwargs)
        self.atoms = count("DepthwiseCapsules: atoms", atoms)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.types, rest = divmod(input_shape[3], self.atoms)
        if rest:
            words = f"Layer '{self.name}' makes capsules of {self.atoms} atoms and needs channels for whole ones."
            raise ValueError(f"{words} Received: {input_shape[3]}")
        # In the shape of a grouped convolution's kernel, so that he_normal counts the inputs of one channel.
        self.kernel = self.add_named_weight("kernel", (*self.kernel_size, 1, input_shape[3]))
        self.bias = self.add_named_weight("bias", (input_shape[3],))

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(self.kernel, check_floats(self, inputs).dtype)
        kernel = ops.transpose(kernel, (0, 1, 3, 2))  # [rows, columns, channels, 1]
        maps = ops.depthwise_conv(inputs, kernel, self.strides, self.padding, data_format="channels_last")
        bias = ops.reshape(precise(self.bias), (self.types, self.atoms))
        return self.as_capsules(precise(maps), bias, exponential_squash)


@keras.saving.register_keras_serializable("capsules")
class Capsules(CapsuleLayer):
    """Fully connected capsules, routed from the capsules below (paper, section 4, "DigitCaps").

    Each input capsule u_i votes for each output capsule j with û_ij = u_i W_ij; the votes are never stored.

    Args:
        num_capsules: number of output capsules (the classes).
        atoms: length of each output capsule (16 in the paper).
        routing: a number of iterations of `DynamicRouting` (3), or a `Routing`, which the layer copies.
        transform: "vector", or "matrix": capsules are square matrices, row after row, and û_ij = M_i W_ij, which takes
            1/atoms of the weights (16 for a pair of 4x4 matrices).
        return_activations: whether the layer returns (capsules, activations), see `Routed`.
        kernel_initializer, …: see `CapsuleLayer`; those of the bias are for the routing's bias.

    Call: `layer(capsules)` or `layer(capsules, activations)` with capsules [batch, in, atoms_in] and activations
    [batch, in]. Output: [batch, num_capsules, atoms], and float32 activations [batch, num_capsules].

    Example:
        >>> tuple(Capsules(num_capsules=10, atoms=16, routing=3)(keras.random.normal((2, 1152, 8))).shape)
        (2, 10, 16)
    """

    def __init__(
        self,
        num_capsules: int,
        atoms: int = 16,
        routing: int | Routing = 3,
        transform: str = "vector",
        return_activations: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_capsules = count("Capsules: num_capsules", num_capsules)
        self.atoms = count("Capsules: atoms", atoms)
        self.routing = as_routing(routing)
        self.transform = choice("Capsules: transform", transform, ("vector", "matrix"))
        self.rows = 1 if self.transform == "vector" else math.isqrt(self.atoms)  # of a pose
        if self.transform == "matrix" and self.rows**2 != self.atoms:
            raise ValueError(f"Capsules: atoms of a matrix must be a square number, such as 16. Received: {atoms}")
        self.return_activations = bool(return_activations)

    def build(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> None:
        self.check_shape(capsules_shape, "capsules [batch, in, atoms]")
        self.build_weights(*capsules_shape[1:])

    def build_weights(self, inputs: int, atoms_in: int, shared: int = 1) -> None:
        """Creates the weights for input capsules, of which groups of `shared` ones have the same."""
        if atoms_in % self.rows:
            raise ValueError(
                f"Layer '{self.name}' transforms matrices of {self.rows} rows and needs a multiple of {self.rows} "
                f"atoms in each input capsule. Received: {atoms_in}"
            )
        columns = self.num_capsules * self.atoms // self.rows
        self.kernel = self.add_named_weight("kernel", (inputs // shared, atoms_in // self.rows, columns))

        def add_weight(name: str, shape: tuple[int, ...], initializer: Any) -> Any:
            if name == "bias":
                self.bias = self.add_named_weight("bias", shape, keras.initializers.get(initializer))
                return self.bias
            weight = self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)
            setattr(self, f"routing_{name}", weight)  # tf.train.Checkpoint finds weights among a layer's attributes
            return weight

        self.routing.build(add_weight, (inputs, self.num_capsules, self.atoms))

    def call(self, capsules: Any, activations: Any = None) -> Any:
        routed = self.route(capsules, activations)
        outputs = ops.cast(routed.capsules, self.compute_dtype)
        return (outputs, routed.activations) if self.return_activations else outputs

    def votes(self, capsules: Any) -> StoredVotes:
        """The votes of input capsules [batch, in, atoms_in] for the output capsules."""
        return Votes(capsules, self.kernel_by_capsule(capsules.dtype), self.rows)

    def kernel_by_capsule(self, dtype: Any) -> Any:
        """The kernel as [in, columns_in, out, columns]."""
        shape = (*self.kernel.shape[:2], self.num_capsules, self.atoms // self.rows)
        return ops.reshape(ops.cast(self.kernel, dtype), shape)

    def route(self, capsules: Any, activations: Any = None) -> Routed:
        """The output capsules with all iterations of the routing, see `capsules.routing.Routed`."""
        return self.routing(self.votes(capsules), activations)

    def compute_output_shape(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> tuple:
        shape = (capsules_shape[0], self.num_capsules, self.atoms)
        return (shape, shape[:-1]) if self.return_activations else shape

    def compute_output_spec(self, capsules: Any, activations: Any = None) -> Any:
        shape = self.compute_output_shape(capsules.shape)
        if not self.return_activations:
            return keras.KerasTensor(shape, self.compute_dtype)
        return keras.KerasTensor(shape[0], self.compute_dtype), keras.KerasTensor(shape[1], drawn_dtype(self))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"routing": keras.saving.serialize_keras_object(self.routing)}
