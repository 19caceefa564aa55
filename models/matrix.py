"""The network of matrix capsules with EM routing (Hinton, Sabour, Frosst 2018), in a small size."""

from typing import Any

import keras
from keras import ops

from capsules.conv_capsules import ConvCapsules
from capsules.em_routing import EMRouting
from capsules.ops import counts

from .building import arguments, layers_with
from .network import CapsuleNetwork

ATOMS = 16  # of a pose, a 4x4 matrix
KERNEL = 5  # of the first convolution
TEMPERATURE = 0.1  # the inverse temperature λ: costs of tens then give activations between 0 and 1


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
        num_classes: number of classes.
        sizes: (A, B, C, D).
        iterations: number of EM iterations.
        options: `loss`, `name` and `dtype`, see `Classifier`.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        num_classes: int,
        sizes: tuple[int, ...] = (32, 8, 16, 16),
        iterations: int = 3,
        **options: Any,
    ):
        config = arguments(locals(), smallest=17, name="matrix", loss="spread")
        filters, primary_types, *types = counts("MatrixCapsNet: sizes", sizes, "(A, B, C, D)")
        with layers_with(config["dtype"]):
            images = keras.Input(config["image_shape"], name="images")
            named: list = [_convolution("conv1", filters, KERNEL, 2, "relu")]
            named.append(_convolution("primary_poses", primary_types * ATOMS))
            named.append(_convolution("primary_activations", primary_types, activation="sigmoid"))
            features = named[0](images)
            poses, activations = named[1](features), named[2](features)
            poses = keras.layers.Reshape((*poses.shape[1:3], primary_types, ATOMS), name="poses")(poses)
            layers = [("conv_capsules1", types[0], 3, 2), ("conv_capsules2", types[1], 3, 1)]
            for name, out, kernel, strides in (*layers, ("class_capsules", num_classes, None, 1)):
                layer = ConvCapsules(
                    out,
                    ATOMS,
                    kernel or poses.shape[1:3],
                    strides,
                    routing=EMRouting(iterations, TEMPERATURE),
                    coordinates=kernel is None,
                    return_activations=True,
                    kernel_initializer=keras.initializers.RandomNormal(stddev=1.0),  # keeps the size of poses
                    name=name,
                )
                named.append(layer)
                poses, activations = layer(poses, activations)
        capsules = ops.reshape(poses, (-1, num_classes, ATOMS))
        super().__init__(images, ops.reshape(activations, (-1, num_classes)), capsules, config, named[-1])
        self.named_layers = named

    def named_variables(self) -> dict[str, Any]:
        return {f"{layer.name}/{weight.name}": weight for layer in self.named_layers for weight in layer.weights}


def _convolution(name: str, channels: int, size: int = 1, strides: int = 1, activation: str | None = None) -> Any:
    start = keras.initializers.HeNormal()
    return keras.layers.Conv2D(channels, size, strides, activation=activation, kernel_initializer=start, name=name)
