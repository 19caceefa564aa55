"""CapsNet: a convolution, primary capsules, class capsules and a decoder (paper, section 4, figures 1 and 2)."""

from typing import Any

import keras

from capsules.decoder import Decoder, Length
from capsules.layers import Capsules, PrimaryCapsules
from capsules.routing import Routing, as_routing

from .building import arguments, initial, layers_with
from .network import CapsuleNetwork

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
        options: `loss`, `reconstruction_weight`, `name` and `dtype`, see `Classifier`.
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
        **options: Any,
    ):
        config = arguments(locals(), smallest=2 * KERNEL - 1, name="capsnet")
        padding, routing = config["padding"], as_routing(config["routing"])
        if primary_scale is None:
            primary_scale = 1.0 / (primary_types + getattr(routing, "leaky", 0))
        with layers_with(config["dtype"]):
            images = keras.Input(config["image_shape"], name="images")
            conv1 = keras.layers.Conv2D(
                filters, KERNEL, padding=padding, activation="relu", name="conv1", **initial(0.05)
            )
            primary = PrimaryCapsules(
                primary_types, primary_atoms, KERNEL, padding=padding, scale=primary_scale, name="conv_capsule1"
            )
            own = routing.own_activations
            classes = Capsules(num_classes, atoms, routing, return_activations=own, name="capsule2")
            capsules = classes(primary(conv1(images)))
            capsules, scores = capsules if own else (capsules, Length(name="lengths")(capsules))
            draws = Decoder(image_shape, name="recons") if decoder else None
        super().__init__(images, scores, capsules, config, classes, primary, draws)
        self.conv1 = conv1

    def places(self) -> dict[str, float] | None:
        layer = self.primary
        sees = KERNEL + layer.kernel_size[0] - 1
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = (layer.grid[0] - 1) * layer.strides[0] + layer.kernel_size[0]
            before = KERNEL // 2 + max(covered - self.image_shape[0], 0) // 2
        return {"first": sees // 2 - before, "step": layer.strides[0], "sees": sees}
