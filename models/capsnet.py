"""The networks of Sabour, Frosst, Hinton: CapsNet (2017, section 4), its two baselines, and matrix capsules (2018)."""

from typing import Any, ClassVar

import keras
from keras import ops

from capsules.convolution import ShortDFTConv2D
from capsules.layers import Capsules, Decoder, Length
from capsules.matrix import ConvCapsules, EMRouting
from capsules.ops import counts
from capsules.primary import PrimaryCapsules
from capsules.routing import Routing, as_routing

from .network import NAMES_2017, CapsuleNetwork, Classifier, arguments, layers_of

KERNEL = 9  # of CapsNet
POSE = 16  # atoms of a pose of `MatrixCapsNet`, a 4x4 matrix
TEMPERATURE = 0.1  # its inverse temperature λ: costs of tens then give activations between 0 and 1


def initial(deviation: float) -> dict[str, Any]:
    """The initial values of 2017, as arguments of a layer: truncated normal kernels, and biases of 0.1."""
    return {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=deviation),
        "bias_initializer": keras.initializers.Constant(0.1),
    }


@keras.saving.register_keras_serializable("capsules")
class CapsNet(CapsuleNetwork):
    """The capsule network of the paper, with the numerics of the code of 2017: a convolution and two capsule layers.

    `model(images)` gives "lengths" of the class capsules [batch, classes], float32 (also as "logits"), and "capsules"
    [batch, classes, atoms]. With a routing that has its own activations, such as `EMRouting`, "activations"
    takes the place of "lengths". 8,215,728 weights for 28x28x1 images.

    Args:
        image_shape, num_classes, options: see `Classifier`.
        filters: channels of the first convolution.
        primary_types, primary_atoms: number of types and length of the primary capsules.
        atoms: length of a class capsule.
        routing: number of iterations, or a `capsules.Routing`.
        decoder: whether there is a decoder, whose reconstruction joins the loss.
        padding: "valid" or "same", of both convolutions.
        primary_scale: see `PrimaryCapsules`; None: 1/primary_types, or 1/(primary_types + 1) with leaky routing.
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
        routing, convolution = as_routing(config["routing"]), {"padding": config["padding"], "kernel_size": KERNEL}
        if primary_scale is None:
            primary_scale = 1.0 / (primary_types + getattr(routing, "leaky", 0))
        with layers_of(config) as images:
            conv1 = keras.layers.Conv2D(filters, activation="relu", name="conv1", **convolution, **initial(0.05))
            primary = PrimaryCapsules(
                primary_types, primary_atoms, scale=primary_scale, name="conv_capsule1", **convolution
            )
            own = routing.own_activations
            classes = Capsules(num_classes, atoms, routing, return_activations=own, name="capsule2")
            capsules = classes(primary(conv1(images)))
            capsules, scores = capsules if own else (capsules, Length(name="lengths")(capsules))
            draws = Decoder(image_shape, name="recons") if decoder else None
        layers = {"conv1": conv1, "primary": primary, "classes": classes}
        super().__init__(images, scores, capsules, config, draws, **layers)

    def places(self) -> dict[str, float]:
        """Where the grid of primary capsules lies over the image, in pixels.

        "first" is the centre of the first capsule's field, counted from that of the first pixel, "step" the distance
        to the next one, and "sees" the side of the field.
        """
        layer = self.primary
        sees = KERNEL + layer.kernel_size[0] - 1
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = (layer.grid[0] - 1) * layer.strides[0] + layer.kernel_size[0]
            before = KERNEL // 2 + max(covered - self.image_shape[0], 0) // 2
        return {"first": sees // 2 - before, "step": layer.strides[0], "sees": sees}


@keras.saving.register_keras_serializable("capsules")
class Baseline(Classifier):
    """The baseline of the code of 2017: two pooled convolutions and a hidden layer; 7,495,946 weights for 28x28x1.

    Feature maps are flattened as [channel, row, column]. ReLU follows the pooling, where it has a quarter of the
    values: maximum and ReLU commute. `model(images)` gives "logits" [batch, classes].

    Args:
        image_shape, num_classes, options: see `Classifier`.
        padding: "valid" or "same", of the convolutions.
    """

    channels: tuple[int, ...] = (512, 256)
    units: tuple[int, ...] = (1024,)
    pool, dropout, smallest = True, 0.0, 13
    weight_names = NAMES_2017

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, padding: str = "valid", **options: Any):
        config = arguments(locals(), smallest=self.smallest, name="baseline")
        with layers_of(config) as images:
            hidden = images
            for index, width in enumerate(self.channels, start=1):
                conv = ShortDFTConv2D(width, 5, padding=config["padding"], name=f"conv{index}", **initial(0.05))
                hidden = conv(hidden)
                if self.pool:
                    hidden = keras.layers.MaxPooling2D(2, padding="same", name=f"pool{index}")(hidden)
                hidden = keras.layers.ReLU(name=f"relu{index}")(hidden)
            hidden = keras.layers.Permute((3, 1, 2), name="by_channel")(hidden)
            hidden = keras.layers.Flatten(name="flat")(hidden)
            for index, width in enumerate(self.units, start=1):
                hidden = keras.layers.Dense(width, "relu", name=f"fc{index}", **initial(0.1))(hidden)
            if self.dropout:
                hidden = keras.layers.Dropout(self.dropout, name="dropout")(hidden)
            logits = keras.layers.Dense(config["num_classes"], name="softmax_layer", **initial(0.1))(hidden)
        super().__init__(images, {"logits": ops.cast(logits, "float32")}, config)


@keras.saving.register_keras_serializable("capsules")
class PaperBaseline(Baseline):
    """The baseline of the paper's text: three convolutions, two hidden layers, dropout; 35,445,522 weights for 28x28x1.

    Its convolutions are always padded: only then are there 35.4M parameters as in the paper. Otherwise as `Baseline`.
    """

    channels, units = (256, 256, 128), (328, 192)
    pool, dropout, smallest = False, 0.5, 1

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, **options: Any):
        super().__init__(image_shape, num_classes, "same", **{"name": "baseline_paper"} | options)
        del self.config["padding"]  # which is no argument


@keras.saving.register_keras_serializable("capsules")
class MatrixCapsNet(CapsuleNetwork):
    """Matrix capsules with EM routing: two layers of convolutional capsules and the class capsules.

    A 5x5 convolution with stride 2 and ReLU makes A channels. At each place, 1x1 convolutions make B poses and
    activations from them. Two layers of `ConvCapsules` with 3x3 windows follow, with C types and stride 2, and with D
    types and stride 1. The class capsules see the whole grid, with coordinate addition.

    `model(images)` gives "activations" of the class capsules [batch, classes], float32 (also as "logits"), and
    "capsules" [batch, classes, 16]. There is no decoder.

    Source: Hinton, Sabour, Frosst, "Matrix capsules with EM routing", ICLR 2018, figure 1.

    Args:
        image_shape: (rows, columns, depth), of 17x17 or more.
        sizes: (A, B, C, D).
        iterations: number of EM iterations.
        num_classes, options: see `Classifier`.
    """

    weight_names: ClassVar[dict[str, str]] = {}  # by Keras' names

    def __init__(
        self,
        image_shape: tuple[int, ...],
        num_classes: int,
        sizes: tuple[int, ...] = (32, 8, 16, 16),
        iterations: int = 3,
        **options: Any,
    ):
        config = arguments(locals(), smallest=17, name="matrix", loss="spread")
        config["sizes"] = filters, primary, *types = counts("MatrixCapsNet: sizes", sizes, "(A, B, C, D)")
        shared: dict[str, Any] = {"routing": EMRouting(iterations, TEMPERATURE), "return_activations": True}
        shared["kernel_initializer"] = keras.initializers.RandomNormal(stddev=1.0)  # keeps the size of poses
        start: dict[str, Any] = {"kernel_initializer": "he_normal"}
        with layers_of(config) as images:
            features = keras.layers.Conv2D(filters, 5, 2, activation="relu", name="conv1", **start)(images)
            poses = keras.layers.Conv2D(primary * POSE, 1, name="primary_poses", **start)(features)
            sure = keras.layers.Conv2D(primary, 1, activation="sigmoid", name="primary_activations", **start)
            activations = sure(features)
            poses = keras.layers.Reshape((*poses.shape[1:3], primary, POSE), name="poses")(poses)
            layers = [("conv_capsules1", types[0], 3, 2), ("conv_capsules2", types[1], 3, 1)]
            for name, out, kernel, strides in (*layers, ("class_capsules", num_classes, None, 1)):
                sees = kernel or poses.shape[1:3]
                classes = ConvCapsules(out, POSE, sees, strides, coordinates=not kernel, name=name, **shared)
                poses, activations = classes(poses, activations)
        capsules = ops.reshape(poses, (-1, num_classes, POSE))
        activations = ops.reshape(activations, (-1, num_classes))
        super().__init__(images, activations, capsules, config, classes=classes)
