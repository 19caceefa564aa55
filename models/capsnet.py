"""CapsNet: a convolution, primary capsules, class capsules and a decoder (paper, section 4, figures 1 and 2)."""

from typing import Any

import keras

from capsules.layers import Capsules, Decoder, Length, PrimaryCapsules, convolved_size
from capsules.ops import choice, count
from capsules.routing import Routing, as_routing

from .network import CapsuleNetwork, arguments, checked_sizes

KERNEL = 9


@keras.saving.register_keras_serializable("capsules")
class CapsNet(CapsuleNetwork):
    """The capsule network of the paper, with the numerics of the code of 2017.

    `model(images)` gives "lengths" of the class capsules [batch, classes], float32 (also as "logits"), and "capsules"
    [batch, classes, atoms]. With a routing that has its own activations, such as `EMRouting`, "activations"
    takes the place of "lengths". 8,215,728 weights for 28x28x1 images.

    Args:
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        filters: channels of the first convolution.
        primary_types, primary_atoms: number of types and length of the primary capsules.
        atoms: length of a class capsule.
        routing: number of iterations, or a `capsules.Routing`.
        decoder: whether there is a decoder, whose reconstruction joins the loss.
        padding: "valid" or "same", of both convolutions.
        primary_scale: see `PrimaryCapsules`; None: 1/primary_types, or 1/(primary_types + 1) with leaky routing.
        loss, reconstruction_weight, name, dtype: see `Classifier`.

    Raises:
        ValueError: the images are too small for the kernels, or an argument is out of range.

    Example:
        >>> model = CapsNet((28, 28, 1), 10)
        >>> model.compile("adam")
        >>> model.fit(images, labels, batch_size=128)
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        num_classes: int,
        filters: int = 256,
        primary_types: int = 32,
        primary_atoms: int = 8,
        atoms: int = 16,
        routing: int | Routing = 3,
        decoder: bool = True,
        padding: str = "valid",
        primary_scale: float | None = None,
        loss: str = "margin",
        reconstruction_weight: float = 0.0005,
        name: str = "capsnet",
        dtype: Any = None,
    ):
        image_shape, num_classes = checked_sizes("CapsNet", image_shape, num_classes)
        padding = choice("CapsNet: padding", padding, ("valid", "same"))
        config = arguments(locals())
        convolved_size("conv1", image_shape[:2], (KERNEL, KERNEL), (1, 1), padding)
        own = as_routing(routing).own_activations
        classes = Capsules(num_classes, atoms, routing, return_activations=own, dtype=dtype, name="capsule2")
        if primary_scale is None:
            primary_scale = 1.0 / (
                count("CapsNet: primary_types", primary_types) + getattr(classes.routing, "leaky", 0)
            )
        conv1 = keras.layers.Conv2D(
            count("CapsNet: filters", filters),
            KERNEL,
            padding=padding,
            activation="relu",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.05),
            bias_initializer=keras.initializers.Constant(0.1),
            data_format="channels_last",  # whatever the user's Keras is set to
            dtype=dtype,
            name="conv1",
        )
        primary = PrimaryCapsules(
            primary_types,
            primary_atoms,
            KERNEL,
            padding=padding,
            scale=primary_scale,
            dtype=dtype,
            name="conv_capsule1",
        )
        images = keras.Input(image_shape, name="images")
        capsules = classes(primary(conv1(images)))
        capsules, scores = capsules if own else (capsules, Length(dtype=dtype, name="lengths")(capsules))
        draws = Decoder(image_shape, dtype=dtype, name="recons") if decoder else None
        super().__init__(images, scores, capsules, config, draws, "activation" if own else "length")
        self.conv1, self.primary, self.classes = conv1, primary, classes

    def places(self) -> dict[str, float] | None:
        layer = self.primary
        sees = KERNEL + layer.kernel_size[0] - 1
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = (layer.grid[0] - 1) * layer.strides[0] + layer.kernel_size[0]
            before = KERNEL // 2 + max(covered - self.image_shape[0], 0) // 2
        return {"first": sees // 2 - before, "step": layer.strides[0], "sees": sees}

    def named_variables(self) -> dict[str, Any]:
        named = {
            "conv1/weights": self.conv1.kernel,
            "conv1/biases": self.conv1.bias,
            "conv_capsule1/weights": self.primary.kernel,
            "conv_capsule1/biases": self.primary.bias,
            "capsule2/weights": self.classes.kernel,
        }
        for weight in self.classes.weights[1:]:  # the routing's: the bias, and others of other routings
            named[f"capsule2/{'biases' if weight.name == 'bias' else weight.name}"] = weight
        return named | self.named_decoder_variables()
