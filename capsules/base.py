"""The base classes of the layers: options of weights, checks of shapes, and windows over a grid.

The layers run on any backend, take any image size, depth and class count, follow the dtype policy (with the sensitive
parts in float32) and save to `.keras` files that load again without custom objects.
"""

import inspect
from typing import Any

import keras

from capsules.ops import choice, sides

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
        config = {name: getattr(self, name) for name in arguments if hasattr(self, name)}
        options = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _OPTIONS}
        return config | super().get_config() | options


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
