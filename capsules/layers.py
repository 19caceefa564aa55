"""Keras layers for capsule networks: primary capsules, routed capsules, and `Length`, `Mask` and `Decoder`.

The layers run on any backend, take any image size, depth and class count, follow the dtype policy (with the sensitive
parts in float32) and save to `.keras` files that load again without custom objects.

Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017 (arXiv:1710.09829).
"""

import math
from typing import Any

import keras
from keras import ops

from capsules.convolution import convolve
from capsules.losses import label_rows
from capsules.matrix_votes import make_votes
from capsules.ops import choice, count, counts, exponential_squash, length, number, precise, sides, squash
from capsules.routing import Routed, Routing, as_routing
from capsules.votes import StoredVotes


class CapsuleLayer(keras.layers.Layer):
    """A layer with a kernel and a bias, each with an initializer, a regularizer and a constraint of Keras.

    Args:
        kernel_initializer, bias_initializer: initializers; None: those of 2017, or of the layer's paper.
        kernel_regularizer, bias_regularizer: penalties on the weights that are added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each step.
    """

    default_kernel: Any = keras.initializers.TruncatedNormal(stddev=0.1)
    default_bias: Any = keras.initializers.Constant(0.1)

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

    def weight_options(self, kind: str, default: Any = None) -> dict[str, Any]:
        """The options of one weight, "kernel" or "bias"; an initializer is cloned, so that several weights differ."""
        given = getattr(self, f"{kind}_initializer") or default or getattr(self, f"default_{kind}")
        return {
            f"{kind}_initializer": given.clone() if isinstance(given, keras.initializers.Initializer) else given,
            f"{kind}_regularizer": getattr(self, f"{kind}_regularizer"),
            f"{kind}_constraint": getattr(self, f"{kind}_constraint"),
        }

    def add_named_weight(self, kind: str, shape: tuple[int, ...], default: Any = None) -> Any:
        """Creates the weight "kernel" or "bias". A bias is added to float32 sums, whatever the votes' dtype is."""
        options = {name.removeprefix(f"{kind}_"): value for name, value in self.weight_options(kind, default).items()}
        return self.add_weight(name=kind, shape=shape, autocast=kind == "kernel", **options)

    def get_config(self) -> dict[str, Any]:
        kinds = ("initializer", "regularizer", "constraint")
        names = [f"{weight}_{kind}" for weight in ("kernel", "bias") for kind in kinds]
        return super().get_config() | {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}


class _ConvolutionalCapsules(CapsuleLayer):
    """What both layers of primary capsules share: `kernel_size`, `strides`, `padding`, `types`, `atoms` and `grid`."""

    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str = "valid"
    types: int
    atoms: int

    def check_images(self, shape: tuple) -> None:
        """Refuses what is no image of known size, or is smaller than the kernel; later inputs must match."""
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' expects images [batch, rows, columns, channels] of known size. "
                f"Received: {tuple(shape)}"
            )
        self.grid = convolved_size(self.name, shape[1:3], self.kernel_size, self.strides, self.padding)
        self.input_spec = keras.layers.InputSpec(shape=(None, *shape[1:]))

    def as_capsules(self, maps: Any) -> Any:
        """Squashed maps [batch, rows', columns', types, atoms] as capsules [batch, types·rows'·columns', atoms]."""
        capsules = ops.transpose(maps, (0, 3, 1, 2, 4))  # [batch, types, rows', columns', atoms]
        # The batch is named in each reshape: -1 would mix the examples of an input of another size.
        capsules = ops.reshape(capsules, (ops.shape(maps)[0], self.types * self.grid[0] * self.grid[1], self.atoms))
        return ops.cast(capsules, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        rows, columns = convolved_size(self.name, input_shape[1:3], self.kernel_size, self.strides, self.padding)
        types = getattr(self, "types", None) or input_shape[3] // self.atoms
        return (input_shape[0], types * rows * columns, self.atoms)


@keras.saving.register_keras_serializable("capsules")
class PrimaryCapsules(_ConvolutionalCapsules):
    """Convolutional capsules made from a feature map (paper, section 4, "PrimaryCapsules").

    One convolution makes `types`·`atoms` channels (channel = type·atoms + atom). They are multiplied by `scale`, a bias
    is added, and the capsules are squashed. Capsules come out ordered (type, row, column).

    Args:
        types: number of capsule types (32 in the paper).
        atoms: length of each capsule vector (8).
        kernel_size: side of the square kernel (9), or (rows, columns).
        strides: step of the kernel (2), or (down, across).
        padding: "valid" or "same".
        scale: factor before the bias. The code of 2017 has 1/types, since it treats the layer as a routing pass with
            one input capsule (1/(types + 1) when leaky); `models.CapsNet` sets it.
        kernel_initializer, …: see `CapsuleLayer`.

    Input: floats [batch, rows, columns, channels], whatever Keras' image format is.
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
        kernel_size: int | tuple[int, ...] = 9,
        strides: int | tuple[int, ...] = 2,
        padding: str = "valid",
        scale: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.types = count("PrimaryCapsules: types", types)
        self.atoms = count("PrimaryCapsules: atoms", atoms)
        self.kernel_size = sides("PrimaryCapsules: kernel_size", kernel_size)
        self.strides = sides("PrimaryCapsules: strides", strides)
        self.padding = choice("PrimaryCapsules: padding", padding, ("valid", "same"))
        self.scale = number("PrimaryCapsules: scale", scale)

    def build(self, input_shape: tuple) -> None:
        self.check_images(input_shape)
        self.kernel = self.add_named_weight("kernel", (*self.kernel_size, input_shape[3], self.types * self.atoms))
        self.bias = self.add_named_weight("bias", (self.types, self.atoms, 1, 1))  # the shape of 2017's checkpoints

    def call(self, inputs: Any) -> Any:
        maps = convolve(check_floats(self, inputs), ops.cast(self.kernel, inputs.dtype), self.strides, self.padding)
        maps = ops.reshape(maps, (ops.shape(maps)[0], *self.grid, self.types, self.atoms))
        return self.as_capsules(squash(precise(maps) * self.scale + precise(self.bias)[:, :, 0, 0]))

    def get_config(self) -> dict[str, Any]:
        names = ("types", "atoms", "kernel_size", "strides", "padding", "scale")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("capsules")
class DepthwiseCapsules(_ConvolutionalCapsules):
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

    Input: floats [batch, rows, columns, channels]. Output: [batch, channels/atoms·rows'·columns', atoms].

    Raises:
        ValueError: an argument is out of range, or the input is smaller than the kernel, is not an image of the size
            that the layer was built for, or has a number of channels that is not a multiple of `atoms`.

    Example:
        >>> tuple(DepthwiseCapsules(kernel_size=9)(keras.random.normal((2, 9, 9, 128))).shape)
        (2, 16, 8)
    """

    default_kernel = keras.initializers.HeNormal()
    default_bias = keras.initializers.Zeros()

    def __init__(
        self, kernel_size: int | tuple[int, ...], atoms: int = 8, strides: int | tuple[int, ...] = 1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.kernel_size = sides("DepthwiseCapsules: kernel_size", kernel_size)
        self.atoms = count("DepthwiseCapsules: atoms", atoms)
        self.strides = sides("DepthwiseCapsules: strides", strides)

    def build(self, input_shape: tuple) -> None:
        self.check_images(input_shape)
        channels = input_shape[3]
        if channels % self.atoms:
            raise ValueError(
                f"Layer '{self.name}' makes capsules of {self.atoms} atoms and needs a number of channels that is a "
                f"multiple of {self.atoms}. Received: {channels}"
            )
        self.types = channels // self.atoms
        # In the shape of a grouped convolution's kernel, so that he_normal counts the inputs of one channel.
        self.kernel = self.add_named_weight("kernel", (*self.kernel_size, 1, channels))
        self.bias = self.add_named_weight("bias", (channels,))

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(self.kernel, check_floats(self, inputs).dtype)
        kernel = ops.transpose(kernel, (0, 1, 3, 2))  # [rows, columns, channels, 1]
        maps = ops.depthwise_conv(inputs, kernel, self.strides, "valid", data_format="channels_last")
        maps = precise(maps) + precise(self.bias)
        maps = ops.reshape(maps, (ops.shape(maps)[0], *self.grid, self.types, self.atoms))
        return self.as_capsules(exponential_squash(maps))

    def get_config(self) -> dict[str, Any]:
        names = ("kernel_size", "atoms", "strides")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("capsules")
class Capsules(CapsuleLayer):
    """Fully connected capsules, routed from the capsules below (paper, section 4, "DigitCaps").

    Each input capsule u_i votes for each output capsule j with û_ij = u_i W_ij. The votes are never stored, see
    `capsules.votes`.

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
        _check_capsules(self, capsules_shape, "[batch, in, atoms]")
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
        kernel = ops.cast(self.kernel, capsules.dtype)  # [in, columns_in, out·columns]
        shape = (*kernel.shape[:2], self.num_capsules, self.atoms // self.rows)
        return make_votes(capsules, ops.reshape(kernel, shape), self.rows)

    def route(self, capsules: Any, activations: Any = None) -> Routed:
        """The output capsules with all iterations of the routing, see `capsules.routing.Routed`."""
        return self.routing(self.votes(capsules), activations)

    def compute_output_shape(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> tuple:
        shape = (capsules_shape[0], self.num_capsules, self.atoms)
        return (shape, shape[:-1]) if self.return_activations else shape

    def compute_output_spec(self, capsules: Any, activations: Any = None) -> Any:
        shape = self.compute_output_shape(capsules.shape)
        if not self.return_activations:
            return keras.KerasTensor(shape, dtype=self.compute_dtype)
        return keras.KerasTensor(shape[0], dtype=self.compute_dtype), keras.KerasTensor(shape[1], _drawn_dtype(self))

    def get_config(self) -> dict[str, Any]:
        routing = keras.saving.serialize_keras_object(self.routing)
        names = ("num_capsules", "atoms", "transform", "return_activations")
        return super().get_config() | {name: getattr(self, name) for name in names} | {"routing": routing}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Capsules":
        return cls(**config | {"routing": keras.saving.deserialize_keras_object(config["routing"])})


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
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=_drawn_dtype(self))


@keras.saving.register_keras_serializable("capsules")
class Mask(keras.layers.Layer):
    """Sets all capsules to zero except those of the labels or, without labels, the longest one (paper, section 4.1).

    Call: `mask(capsules, labels)` in training, `mask(capsules)` for a prediction. Capsules are [batch, classes, atoms],
    or have more axes between; labels have one of the forms of `capsules.losses.label_rows`.
    Output: as the capsules.

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
    """Draws an image from one capsule (paper, section 4.1): 512 ReLU, 1024 ReLU, one sigmoid a pixel.

    The weights order the pixels [depth, row, column], as in 2017; the images come out with the depth last.

    Args:
        image_shape: (rows, columns, depth) of the images.
        units: widths of the two hidden layers.
        dense_dtypes: None, or a dtype policy for each of the three layers, as a saved file has after `quantize`.
        kernel_initializer, …: see `CapsuleLayer`; they apply to each of the three layers.

    Call: `decoder(capsules, shown)` with capsules [batch, classes, atoms] and shown [batch, classes], 1 for the
    capsule to draw and 0 for the others; or `decoder(capsules)` with capsules from `Mask`.
    Output: images [batch, rows, columns, depth] in [0, 1], float32 under every dtype policy but float64.

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
        image_shape: tuple[int, ...],
        units: tuple[int, int] = (512, 1024),
        dense_dtypes: list | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.image_shape = counts("Decoder: image_shape", image_shape, "(rows, columns, depth)")
        self.units = counts("Decoder: units", units, "(first, second)")
        rows, columns, depth = self.image_shape
        dtypes = [keras.dtype_policies.get(each) for each in dense_dtypes or [self.dtype_policy] * 3]
        # Attributes and not a list: tf.train.Checkpoint does not follow a Python list in a Keras layer.
        self.recons_1, self.recons_2, self.recons_3 = (
            keras.layers.Dense(
                width,
                **self.weight_options("kernel"),
                **self.weight_options("bias"),
                dtype=dtype,
                name=f"recons_{index}",
            )
            for index, (width, dtype) in enumerate(zip((*self.units, rows * columns * depth), dtypes, strict=True), 1)
        )

    @property
    def stack(self) -> tuple[keras.layers.Dense, ...]:
        """The three fully connected layers, in order. Their activations are applied in `call`."""
        return self.recons_1, self.recons_2, self.recons_3

    def build(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> None:
        _check_capsules(self, capsules_shape, "[batch, classes, atoms]")
        width = capsules_shape[1] * capsules_shape[2]
        for layer in self.stack:
            layer.build((None, width))
            width = layer.units

    def call(self, capsules: Any, shown: Any = None) -> Any:
        batch, (classes, atoms) = ops.shape(capsules)[0], capsules.shape[1:]
        if shown is not None:
            if len(shown.shape) != 2 or shown.shape[1] != classes:
                raise ValueError(
                    f"Layer '{self.name}' expects {classes} numbers for each example that say which capsules to draw, "
                    f"[batch, {classes}]. Received: {tuple(shown.shape)}"
                )
            capsules = capsules * ops.cast(shown, capsules.dtype)[..., None]
        hidden = ops.reshape(capsules, (batch, classes * atoms))
        hidden = self.recons_3(ops.relu(self.recons_2(ops.relu(self.recons_1(hidden)))))
        rows, columns, depth = self.image_shape
        pixels = ops.reshape(ops.sigmoid(precise(hidden)), (batch, depth, rows, columns))
        return ops.transpose(pixels, (0, 2, 3, 1))  # [batch, rows, columns, depth]

    def compute_output_shape(self, capsules_shape: tuple, shown_shape: tuple | None = None) -> tuple:
        return (capsules_shape[0], *self.image_shape)

    def compute_output_spec(self, capsules: Any, shown: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(capsules.shape), dtype=_drawn_dtype(self))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"image_shape": self.image_shape, "units": self.units}
        dtypes = [layer.dtype_policy for layer in self.stack]
        same = all(dtype == self.dtype_policy for dtype in dtypes)
        return config | {"dense_dtypes": None if same else [keras.dtype_policies.serialize(each) for each in dtypes]}


def _check_capsules(layer: keras.layers.Layer, shape: tuple, meaning: str) -> None:
    """Refuses capsules of unknown number or length; later inputs of the layer must match them."""
    if len(shape) != 3 or None in shape[1:]:
        raise ValueError(f"Layer '{layer.name}' expects capsules {meaning} of known size. Received: {tuple(shape)}")
    layer.input_spec = keras.layers.InputSpec(shape=(None, *shape[1:]))


def _drawn_dtype(layer: keras.layers.Layer) -> str:
    return "float64" if layer.compute_dtype == "float64" else "float32"


def check_floats(layer: Any, images: Any) -> Any:
    """Images of floats unchanged; a ValueError for whole numbers, which backends would refuse in words of their own."""
    dtype = keras.backend.standardize_dtype(images.dtype)
    if "float" not in dtype:
        raise ValueError(
            f"'{layer.name}' expects images of floats in [0, 1]. Received: {dtype}. Divide by 255: images / 255.0"
        )
    return images


def convolved_size(
    layer: str, size: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], padding: str
) -> tuple[int, int]:
    """Rows and columns of a convolution's output.

    `layer` is the layer's name for the message of a ValueError, where the input is smaller than the kernel and there is
    no padding. `size`, `kernel` and `strides` are (rows, columns); `padding` is "valid" or "same".
    """
    if padding.lower() == "same":
        return -(-size[0] // strides[0]), -(-size[1] // strides[1])
    if size[0] < kernel[0] or size[1] < kernel[1]:
        raise ValueError(
            f"Layer '{layer}' applies a {kernel[0]}x{kernel[1]} kernel without padding and needs an input of at least "
            f"that size. Received: {size[0]}x{size[1]}. Use larger images or the padding 'same'."
        )
    return (size[0] - kernel[0]) // strides[0] + 1, (size[1] - kernel[1]) // strides[1] + 1
