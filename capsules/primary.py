"""The base classes of the layers, and the layers of primary capsules.

The layers run on any backend, take any image size, depth and class count, follow the dtype policy (with the sensitive
parts in float32) and save to `.keras` files that load again without custom objects.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from capsules.convolution import convolve
from capsules.ops import check_floats, choice, count, exponential_squash, number, precise, sides, squash

_KINDS = ("initializer", "regularizer", "constraint")
_OPTIONS = {f"{each}_{kind}": getattr(keras, f"{kind}s").get for each in ("kernel", "bias") for kind in _KINDS}


class CapsuleLayer(keras.layers.Layer):
    """A layer with a kernel and a bias, each with an initializer, a regularizer and a constraint of Keras.

    An argument out of range is a ValueError, and so is an input of another shape than the layer was built for.

    Args:
        kernel_initializer, bias_initializer: initializers; None: those of 2017, or of the layer's paper.
        kernel_regularizer, bias_regularizer: penalties on the weights that are added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each step.
    """

    default_kernel: Any = keras.initializers.TruncatedNormal(stddev=0.1)
    default_bias: Any = keras.initializers.Constant(0.1)

    def __init__(self, **kwargs: Any):
        super().__init__(**{name: value for name, value in kwargs.items() if name not in _OPTIONS})
        for name, get in _OPTIONS.items():
            setattr(self, name, get(kwargs.get(name)))
        if self.compute_dtype == "float64" and "64" not in str(ops.zeros((), "float64").dtype):
            raise ValueError(f"Layer '{self.name}': JAX makes float32 of float64 unless jax_enable_x64 is set.")

    def weight_options(self, weight: str, default: Any = None) -> dict[str, Any]:
        """The options of "kernel" or "bias"; an initializer is cloned, so that several weights differ."""
        options = {name: getattr(self, name) for name in _OPTIONS if name.startswith(weight)}
        given = options[f"{weight}_initializer"] or default or getattr(self, f"default_{weight}")
        cloned = given.clone() if isinstance(given, keras.initializers.Initializer) else given
        return options | {f"{weight}_initializer": cloned}

    def add_named_weight(self, weight: str, shape: tuple[int, ...], default: Any = None) -> Any:
        """Creates "kernel" or "bias". A bias is added to float32 sums, whatever the votes' dtype is."""
        options = {name.partition("_")[2]: value for name, value in self.weight_options(weight, default).items()}
        return self.add_weight(name=weight, shape=shape, autocast=weight == "kernel", **options)

    def check_shape(self, shape: tuple, meaning: str) -> None:
        """Refuses an input of another rank or of unknown sizes; later inputs of the layer must match this one.

        `shape` has as many sizes as there are names in `meaning`, such as "capsules [batch, in, atoms]".
        """
        if len(shape) != meaning.count(",") + 1 or None in shape[1:]:
            raise ValueError(f"Layer '{self.name}' expects {meaning} of known size. Received: {tuple(shape)}")
        self.input_spec = keras.layers.InputSpec(shape=(None, *shape[1:]))

    def get_config(self) -> dict[str, Any]:
        # The arguments of every class between, since a derived class may pass some on as **kwargs.
        kinds = [kind for kind in type(self).__mro__ if issubclass(kind, CapsuleLayer)]
        arguments = [name for kind in kinds for name in inspect.signature(kind.__init__).parameters]
        config = {name: getattr(self, name) for name in (*arguments, *_OPTIONS) if hasattr(self, name)}
        return keras.saving.serialize_keras_object(config) | super().get_config()


class WindowLayer(CapsuleLayer):
    """A layer with a window that moves over a grid [batch, rows, columns, …].

    Args:
        kernel_size: side of the window, or (rows, columns).
        strides: step of the window, or (down, across).
        padding: "valid" or "same".
        kernel_initializer, …: see `CapsuleLayer`.
    """

    grid: tuple[int, int]  # (rows, columns) of the output

    def __init__(self, kernel_size: Any, strides: Any = 1, padding: str = "valid", **kwargs: Any):
        super().__init__(**kwargs)
        kind = type(self).__name__
        self.kernel_size = sides(f"{kind}: kernel_size", kernel_size)
        self.strides = sides(f"{kind}: strides", strides)
        self.padding = choice(f"{kind}: padding", padding, ("valid", "same"))

    def grid_of(self, input_shape: tuple) -> tuple[int, int]:
        """`grid` for an input of this shape; a ValueError if the window is larger than the input."""
        (rows, columns), (down, across), size = self.kernel_size, self.strides, input_shape[1:3]
        if self.padding == "same":
            return -(-size[0] // down), -(-size[1] // across)
        if size[0] < rows or size[1] < columns:
            raise ValueError(
                f"Layer '{self.name}' applies a {rows}x{columns} kernel without padding and needs an input of at least "
                f"that size. Received: {size[0]}x{size[1]}. Use larger images or the padding 'same'."
            )
        return (size[0] - rows) // down + 1, (size[1] - columns) // across + 1


class _ConvolutionalCapsules(WindowLayer):
    """What both layers of primary capsules share: the check of their input, and their output."""

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
