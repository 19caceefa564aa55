"""CapsNet: a convolution, primary capsules, class capsules and a decoder (paper, section 4, figures 1 and 2)."""

import keras

from capsules.layers import Capsules, Decoder, PrimaryCapsules, convolved_size, length

from .capsule_network import CapsuleNetwork

KERNEL = 9


@keras.saving.register_keras_serializable("capsules")
class CapsNet(CapsuleNetwork):
    """The capsule network of the paper, with the numerics of the code of 2017.

    `model(images)` gives "logits" (lengths of the class capsules, [batch, classes], float32) and "capsules"
    ([batch, classes, class_atoms]). Arguments as `Classifier`; 8,215,728 weights for 28x28x1 images.

    Attributes:
        capsule_layer: class of the layer of class capsules, which takes the arguments of `Capsules`; a derived network
            may set another one.

    Raises:
        ValueError: the images are too small for the kernels; also as `Classifier`.

    Example:
        >>> model = CapsNet((28, 28, 1), 10)
        >>> model.compile("adam")
        >>> model.fit(images, labels, batch_size=128)
    """

    capsule_layer: type[Capsules] = Capsules

    def __init__(self, image_shape, num_classes: int, hparams=None, name: str = "capsnet", **kwargs):
        super().__init__(image_shape, num_classes, hparams, name=name, **kwargs)
        options = self.hparams
        convolved_size("conv1", self.image_shape[:2], (KERNEL, KERNEL), (1, 1), options.padding)
        self.conv1 = keras.layers.Conv2D(
            options.conv_channels,
            KERNEL,
            padding=options.padding.lower(),
            activation="relu",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.05),
            bias_initializer=keras.initializers.Constant(0.1),
            data_format="channels_last",  # whatever the user's Keras is set to
            dtype=self.dtype_policy,
            name="conv1",
        )
        self.primary = PrimaryCapsules(
            options.num_prime_capsules,
            options.primary_atoms,
            KERNEL,
            padding=options.padding,
            leaky=options.leaky,
            dtype=self.dtype_policy,
            name="conv_capsule1",
        )
        self.classes = self.capsule_layer(
            num_classes,
            options.class_atoms,
            options.routing,
            options.leaky,
            options.routing_gradient,
            dtype=self.dtype_policy,
            name="capsule2",
        )
        self.decoder = Decoder(self.image_shape, dtype=self.dtype_policy, name="recons") if options.remake else None
        shape = (None, *self.image_shape)
        for layer in (self.conv1, self.primary, self.classes, self.decoder):
            if layer is not None:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        self.built = True

    def activations(self, images):
        conv1 = self.conv1(images)
        primary = self.primary(conv1)
        return {"conv1": conv1, "conv_capsule1": primary, "capsule2": self.classes(primary)}

    def call(self, images, training=False):
        # Unlike in `activations`, nobody asks for conv1's outputs here, so both convolutions may be computed in one go.
        with keras.name_scope(self.primary.name):
            primary = self.primary.after_convolution(self.conv1, images)
        capsules = self.classes(primary)
        return {"logits": length(capsules), "capsules": capsules}

    def places(self):
        layer = self.primary
        sees = KERNEL + layer.kernel_size[0] - 1
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = (layer.grid[0] - 1) * layer.strides[0] + layer.kernel_size[0]
            before = KERNEL // 2 + max(covered - self.image_shape[0], 0) // 2
        return {"first": sees // 2 - before, "step": layer.strides[0], "sees": sees}

    def named_variables(self):
        return {
            "conv1/weights": self.conv1.kernel,
            "conv1/biases": self.conv1.bias,
            "conv_capsule1/weights": self.primary.kernel,
            "conv_capsule1/biases": self.primary.bias,
            "capsule2/weights": self.classes.kernel,
            "capsule2/biases": self.classes.bias,
        } | self.named_decoder_variables()
