"""Efficient-CapsNet: four convolutions, depthwise primary capsules, self-attention routing and a decoder."""

from dataclasses import dataclass

import keras
from keras import ops

from capsules import Decoder, DepthwiseCapsules, SelfAttentionCapsules
from capsules.layers import convolved_size

from .batch_normalisation import batch_normalised
from .capsule_network import CapsuleNetwork
from .classifier import replicas
from .upsampling_decoder import UpsamplingDecoder, leaky_relu

CHANNELS = (32, 64, 64, 128)
ATOMS = 8  # of a primary capsule
SMALLEST = 11  # smallest side of an image that the four convolutions can process
LARGEST_MAP = 9  # largest value for the smaller side of the last feature map in a derived network


@dataclass(frozen=True)
class Architecture:
    """Sizes of a network for one image shape.

    Attributes:
        kernels: sides of the four convolutions' kernels.
        strides: strides of the four convolutions.
        primary_kernel: (rows, columns) of the depthwise convolution's kernel.
        primary_stride: stride of the depthwise convolution.
        instance: whether LeakyReLU and instance normalisation replace ReLU and batch normalisation.
        upsampling: whether the decoder is `UpsamplingDecoder` instead of `capsules.Decoder`.
    """

    kernels: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    primary_kernel: tuple[int, int]
    primary_stride: int = 1
    instance: bool = False
    upsampling: bool = False


PAPER = {  # by image shape: MNIST, MultiMNIST and smallNORB
    (28, 28, 1): Architecture((5, 3, 3, 3), (1, 1, 1, 2), (9, 9)),
    (36, 36, 1): Architecture((5, 3, 3, 3), (1, 1, 2, 2), (5, 5), 2),
    (48, 48, 2): Architecture((7, 3, 3, 3), (2, 1, 1, 2), (8, 8), instance=True, upsampling=True),
}


def architecture(image_shape: tuple[int, int, int]) -> Architecture:
    """The paper's sizes for its three image shapes, and derived sizes for any other.

    A derived network has MNIST's kernels. The last convolution has stride 2. While both sides of the last feature map
    are larger than 9, the third, the second and the first convolution get stride 2 too, in this order. The primary
    capsules' kernel covers the last map, whatever its size is.

    Raises:
        ValueError: the images are smaller than 11x11.
    """
    if image_shape in PAPER:
        return PAPER[image_shape]
    if min(image_shape[:2]) < SMALLEST:
        received = "x".join(map(str, image_shape[:2]))
        raise ValueError(f"EfficientCapsNet takes images of {SMALLEST}x{SMALLEST} or larger. Received: {received}")
    kernels = (5, 3, 3, 3)
    for halved in (1, 2, 3, 4):
        first, second, third, fourth = (1,) * (4 - halved) + (2,) * halved
        strides = first, second, third, fourth
        size = image_shape[:2]
        for index, (kernel, stride) in enumerate(zip(kernels, strides, strict=True), start=1):
            size = convolved_size(f"conv{index}", size, (kernel, kernel), (stride, stride), "valid")
        if min(size) <= LARGEST_MAP:
            break
    return Architecture(kernels, strides, size)


@keras.saving.register_keras_serializable("capsules")
class EfficientCapsNet(CapsuleNetwork):
    """Efficient-CapsNet; 161,824 weights and a decoder of 1,411,344 for 28x28x1 images.

    `model(images)` gives "logits" (lengths of the class capsules, [batch, classes], float32) and "capsules"
    ([batch, classes, class_atoms]). Arguments as `Classifier`; among the hparams that describe a network, it uses only
    `class_atoms` and `remake`. For the sizes see `architecture`.

    Under a distribution strategy, batch normalisation averages over all replicas that share a batch.

    Source: Mazzia, Salvetti, Chiaberge, "Efficient-CapsNet: capsule network with self-attention routing",
    Scientific Reports 11:14634, 2021 (arXiv:2101.12491).

    Raises:
        ValueError: the images are smaller than 11x11; also as `Classifier`.

    Example:
        >>> model = EfficientCapsNet((28, 28, 1), 10)
        >>> model.compile("adam")
        >>> model.fit(images, labels, batch_size=16)
    """

    def __init__(self, image_shape, num_classes: int, hparams=None, name: str = "efficient", **kwargs):
        super().__init__(image_shape, num_classes, hparams, name=name, **kwargs)
        sizes = architecture(self.image_shape)
        self.instance = sizes.instance
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            keras.layers.Conv2D(
                channels,
                kernel,
                stride,
                kernel_initializer="he_normal",
                data_format="channels_last",
                dtype=self.dtype_policy,
                name=f"conv{index}",
            )
            for index, (channels, kernel, stride) in enumerate(
                zip(CHANNELS, sizes.kernels, sizes.strides, strict=True), start=1
            )
        )
        self.norm1, self.norm2, self.norm3, self.norm4 = (self._normalisation(f"norm{index}") for index in range(1, 5))
        self.primary = DepthwiseCapsules(
            sizes.primary_kernel, ATOMS, sizes.primary_stride, dtype=self.dtype_policy, name="primary"
        )
        self.classes = SelfAttentionCapsules(
            num_classes, self.hparams.class_atoms, dtype=self.dtype_policy, name="classes"
        )
        self.decoder = self._decoder(sizes.upsampling) if self.hparams.remake else None
        shape = (None, *self.image_shape)
        for layer in self._layers_in_order:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if self.decoder is not None:
            self.decoder.build(shape)
        self.built = True

    def _normalisation(self, name: str) -> keras.layers.Layer:
        if not self.instance:
            return keras.layers.BatchNormalization(
                momentum=0.99, epsilon=1e-3, synchronized=replicas() > 1, dtype=self.dtype_policy, name=name
            )
        return keras.layers.GroupNormalization(
            groups=-1,  # one group per channel
            epsilon=1e-3,
            gamma_initializer="random_uniform",
            beta_initializer="random_uniform",
            dtype=self.dtype_policy,
            name=name,
        )

    def _decoder(self, upsampling: bool) -> keras.layers.Layer:
        if upsampling:
            return UpsamplingDecoder(self.image_shape[2], dtype=self.dtype_policy, name="recons")
        return Decoder(
            self.image_shape,
            kernel_initializer="he_normal",
            bias_initializer="zeros",
            dtype=self.dtype_policy,
            name="recons",
        )

    @property
    def _layers_in_order(self) -> tuple[keras.layers.Layer, ...]:
        convolutions = (self.conv1, self.conv2, self.conv3, self.conv4)
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        pairs = zip(convolutions, norms, strict=True)
        return (*(layer for pair in pairs for layer in pair), self.primary, self.classes)

    def activations(self, images, training=False):
        hidden, results = images, {}
        for layer in self._layers_in_order:
            if isinstance(layer, keras.layers.Conv2D):
                hidden = layer(hidden)
                hidden = leaky_relu(hidden, 0.3) if self.instance else ops.relu(hidden)
            else:
                is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
                hidden = batch_normalised(layer, hidden, training) if is_batch_norm else layer(hidden)
                results[layer.name.replace("norm", "conv")] = hidden
        return results

    def call(self, images, training=False):
        capsules = self.activations(images, training)["classes"]
        squared = ops.sum(ops.square(ops.cast(capsules, "float32")), axis=-1)
        return {"logits": ops.sqrt(squared + 1e-7), "capsules": capsules}

    def named_variables(self):
        named = {}
        for layer in self._layers_in_order:
            for name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"):
                if getattr(layer, name, None) is not None:
                    named[f"{layer.name}/{_NAMES.get(name, name)}"] = getattr(layer, name)
        return named | self.named_decoder_variables()


_NAMES = {"kernel": "weights", "bias": "biases"}  # their names in 2017
