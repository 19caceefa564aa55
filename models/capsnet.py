"""CapsNet: a convolution, primary capsules, class capsules and a decoder (paper, section 4, figures 1 and 2)."""

from typing import Any

import keras

from capsules.decoder import Decoder, Length
from capsules.layers import Capsules, PrimaryCapsules
from capsules.ops import convolved_size, count
from capsules.routing import Routing, as_routing

from .network import CapsuleNetwork, arguments

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
        config = arguments(locals())
        image_shape, num_classes, padding = config["image_shape"], config["num_classes"], config["padding"]
        convolved_size("conv1", image_shape[:2], (KERNEL, KERNEL), (1, 1), padding)
        own = as_routing(config["routing"]).own_activations
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
        routing = config["routing"]
        classes = Capsules(num_classes, atoms, routing, return_activations=own, dtype=dtype, name="capsule2")
        types = count("CapsNet: primary_types", primary_types)
        scale = 1.0 / (types + getattr(classes.routing, "leaky", 0)) if primary_scale is None else primary_scale
        options = {"padding": padding, "scale": scale, "dtype": dtype, "name": "conv_capsule1"}
        primary = PrimaryCapsules(types, primary_atoms, KERNEL, **options)
        images = keras.Input(image_shape, name="images")
        capsules = classes(primary(conv1(images)))
        capsules, scores = capsules if own else (capsules, Length(dtype=dtype, name="lengths")(capsules))
        draws = Decoder(image_shape, dtype=dtype, name="recons") if decoder else None
        score = "activation" if own else "length"
        super().__init__(images, scores, capsules, config, draws, (primary, classes), score)
        self.conv1 = conv1

    def places(self) -> dict[str, float] | None:
        layer = self.primary
        sees = KERNEL + layer.kernel_size[0] - 1
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = (layer.grid[0] - 1) * layer.strides[0] + layer.kernel_size[0]
            before = KERNEL // 2 + max(covered - self.image_shape[0], 0) // 2
        return {"first": sees // 2 - before, "step": layer.strides[0], "sees": sees}
