"""Keras layers that route capsules to class capsules, and those that read these: `Length`, `Mask` and `Decoder`."""

import math
from typing import Any

import keras
from keras import ops

from capsules.losses import label_rows
from capsules.ops import choice, count, counts, drawn_dtype, length, precise
from capsules.primary import CapsuleLayer
from capsules.routing import Routed, Routing, as_routing
from capsules.votes import StoredVotes, Votes


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
        self.check_activations(capsules, activations)
        return self.routing(self.votes(capsules), activations)

    def check_activations(self, capsules: Any, activations: Any) -> None:
        """Refuses activations that are not one number for each input capsule."""
        if activations is not None and tuple(activations.shape[1:]) != tuple(capsules.shape[1:-1]):
            wanted = f"expects an activation for each capsule of {tuple(capsules.shape)}"
            raise ValueError(f"Layer '{self.name}' {wanted}. Received: {tuple(activations.shape)}")

    def compute_output_shape(self, capsules_shape: tuple, activations_shape: tuple | None = None) -> tuple:
        shape = (capsules_shape[0], self.num_capsules, self.atoms)
        return (shape, shape[:-1]) if self.return_activations else shape

    def compute_output_spec(self, capsules: Any, activations: Any = None) -> Any:
        self.check_activations(capsules, activations)
        shape = self.compute_output_shape(capsules.shape)
        if not self.return_activations:
            return keras.KerasTensor(shape, self.compute_dtype)
        return keras.KerasTensor(shape[0], self.compute_dtype), keras.KerasTensor(shape[1], drawn_dtype(self))


@keras.saving.register_keras_serializable("capsules")
class Length(keras.layers.Layer):
    """Length of each capsule: the probability that its entity is present (paper, section 2).

    Input: [batch, …, atoms]. Output: [batch, …], float32 under every dtype policy but float64.

    Example:
        >>> tuple(Length()(keras.ops.convert_to_tensor([[[3.0, 4.0], [0.0, 0.0]]])).shape)
        (1, 2)
    """

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

    def call(self, capsules: Any, labels: Any = None) -> Any:
        classes = capsules.shape[-2]
        if labels is None:
            rows = ops.one_hot(ops.top_k(length(capsules), k=1)[1][..., 0], classes)  # argmax does not export to LiteRT
        else:
            rows = label_rows(labels, classes, capsules.shape[0])
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
