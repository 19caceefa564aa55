"""Efficient-CapsNet: four convolutions, depthwise primary capsules, self-attention routing and a decoder."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from capsules.layers import Capsules, Decoder
from capsules.primary import DepthwiseCapsules
from capsules.routing import SelfAttentionRouting

from .network import CapsuleNetwork, arguments, layers_of, replicas

CHANNELS = (32, 64, 64, 128)
ATOMS = 8  # of a primary capsule
LARGEST_MAP = 9  # largest value for the smaller side of the last feature map in a derived network


@dataclass(frozen=True)
class Architecture:
    """Sizes of a network for one image shape."""

    kernels: tuple[int, ...]  # sides of the four convolutions' kernels
    strides: tuple[int, ...]  # of the four convolutions
    primary_kernel: tuple[int, ...]  # (rows, columns) of the depthwise convolution's kernel
    primary_stride: int = 1  # of the depthwise convolution
    norb: bool = False  # LeakyReLU, instance normalisation and `upsampling_decoder` instead of MNIST's


PAPER = {  # by image shape, for MultiMNIST and smallNORB; MNIST's is what a derived one is
    (36, 36, 1): Architecture((5, 3, 3, 3), (1, 1, 2, 2), (5, 5), 2),
    (48, 48, 2): Architecture((7, 3, 3, 3), (2, 1, 1, 2), (8, 8), norb=True),
}


def architecture(image_shape: tuple[int, ...]) -> Architecture:
    """The paper's sizes for MultiMNIST and smallNORB, and derived ones for others; those for MNIST are the paper's too.

    A derived network has MNIST's kernels. The last convolution has stride 2. While both sides of the last feature map
    are larger than 9, the third, the second and the first convolution get stride 2 too, in this order. The primary
    capsules' kernel covers the last map.
    """
    if image_shape in PAPER:
        return PAPER[image_shape]
    kernels = (5, 3, 3, 3)
    for halved in (1, 2, 3, 4):
        strides, size = (1,) * (4 - halved) + (2,) * halved, image_shape[:2]
        for kernel, stride in zip(kernels, strides, strict=True):
            size = tuple((side - kernel) // stride + 1 for side in size)
        if min(size) <= LARGEST_MAP:
            break
    return Architecture(kernels, strides, size)


@keras.saving.register_keras_serializable("capsules")
class EfficientCapsNet(CapsuleNetwork):
    """Efficient-CapsNet; 161,824 weights and a decoder of 1,411,344 for 28x28x1 images.

    `model(images)` gives "lengths" of the class capsules [batch, classes], float32 (also as "logits"), and "capsules"
    [batch, classes, atoms]. For the sizes see `architecture`. Under a distribution strategy, batch normalisation
    averages over all replicas that share a batch.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet: capsule network with self-attention routing",
    Scientific Reports 11:14634, 2021 (arXiv:2101.12491).

    Args:
        image_shape: (rows, columns, depth), of 11x11 or more.
        atoms: length of a class capsule.
        decoder: whether there is a decoder, whose reconstruction joins the loss.
        num_classes, options: see `Classifier`.
    """

    def __init__(
        self, image_shape: tuple[int, ...], num_classes: int, atoms: int = 16, decoder: bool = True, **options: Any
    ):
        config = arguments(locals(), smallest=11, name="efficient")
        image_shape, num_classes = config["image_shape"], config["num_classes"]
        sizes, draws = architecture(image_shape), None
        normalisation, normalised = keras.layers.BatchNormalization, dict[str, Any](synchronized=replicas() > 1)
        if sizes.norb:  # one group per channel
            normalisation, normalised = keras.layers.GroupNormalization, {"groups": -1}
            normalised |= {"gamma_initializer": "random_uniform", "beta_initializer": "random_uniform"}
        with layers_of(config) as images:
            hidden = images
            for index, each in enumerate(zip(CHANNELS, sizes.kernels, sizes.strides, strict=True), 1):
                hidden = keras.layers.Conv2D(*each, kernel_initializer="he_normal", name=f"conv{index}")(hidden)
                # TensorFlow's graph optimizer would merge `ops.leaky_relu` with the convolution, and print an error.
                hidden = ops.maximum(hidden, 0.3 * hidden) if sizes.norb else ops.relu(hidden)
                hidden = normalisation(**normalised, name=f"norm{index}")(hidden)
            primary = DepthwiseCapsules(sizes.primary_kernel, ATOMS, sizes.primary_stride, name="primary")
            # The paper's he_normal of a kernel [out, in, atoms_in, atoms], whose fan-in is out·in·atoms_in.
            initial = keras.initializers.VarianceScaling(2.0 / num_classes, "fan_in", "truncated_normal")
            classes = Capsules(num_classes, atoms, SelfAttentionRouting(), kernel_initializer=initial, name="classes")
            capsules = classes(primary(hidden))
            lengths = ops.sqrt(ops.sum(ops.square(ops.cast(capsules, "float32")), axis=-1) + 1e-7)
            if decoder and sizes.norb:
                draws = upsampling_decoder((num_classes, atoms), image_shape[2])
            elif decoder:
                draws = Decoder(image_shape, kernel_initializer="he_normal", bias_initializer="zeros", name="recons")
        super().__init__(images, lengths, capsules, config, draws, primary=primary, classes=classes)


def upsampling_decoder(capsules_shape: tuple[int, int], depth: int) -> keras.Model:
    """The decoder for smallNORB, from masked capsules [batch, classes, atoms] to images [batch, 48, 48, depth].

    A fully connected layer makes an image of 8x8 with one channel. Three times, the image is doubled (bilinear) and
    convolved (3x3, no padding, 64, 128 and 128 channels, LeakyReLU 0.2). A last 3x3 convolution and a sigmoid follow.

    Source: the authors' code.
    """
    capsules = keras.Input(capsules_shape, dtype=keras.config.dtype_policy().compute_dtype)
    hidden = keras.layers.Dense(64, name="dense")(keras.layers.Flatten()(capsules))
    hidden = keras.layers.Reshape((8, 8, 1))(hidden)
    for index, channels in enumerate((64, 128, 128), start=1):
        hidden = keras.layers.UpSampling2D(2, interpolation="bilinear")(hidden)
        hidden = keras.layers.Conv2D(channels, 3, name=f"conv{index}")(hidden)
        hidden = ops.maximum(hidden, 0.2 * hidden)
    pixels = ops.sigmoid(ops.cast(keras.layers.Conv2D(depth, 3, name="conv4")(hidden), "float32"))
    return keras.Model(capsules, pixels, name="recons")
