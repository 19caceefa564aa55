"""The two convolutional baselines: that of the code of 2017 and that of the paper's text (section 5)."""

import itertools

import keras
from keras import ops

from capsules.layers import Conv2D, convolved_size

from .classifier import Classifier


def _stddev(value: float):
    return keras.initializers.TruncatedNormal(stddev=value)


class _ConvolutionalNetwork(Classifier):
    """Convolutions, followed by fully connected layers on feature maps flattened as [channel, row, column].

    ReLU follows the pooling, where it has a quarter of the values: maximum and ReLU commute.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.convolutions: list = []  # blocks of a convolution and perhaps a pooling; ReLU follows each block
        self.head: list = []

    def _conv(self, name: str, channels: int, padding: str):
        return Conv2D(
            channels,
            5,
            padding=padding,
            kernel_initializer=_stddev(0.05),
            bias_initializer=keras.initializers.Constant(0.1),
            data_format="channels_last",  # whatever the user's Keras is set to
            dtype=self.dtype_policy,
            name=name,
        )

    def _dense(self, name: str, units: int, activation: str | None = "relu"):
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=_stddev(0.1),
            bias_initializer=keras.initializers.Constant(0.1),
            dtype=self.dtype_policy,
            name=name,
        )

    def _build(self):
        for layer in (*itertools.chain(*self.convolutions), *self.head):
            setattr(self, layer.name, layer)  # tf.train.Checkpoint follows attributes of a Keras layer, but not lists
        shape = self.input_shape
        for layer in itertools.chain(*self.convolutions):
            if isinstance(layer, keras.layers.Conv2D):
                convolved_size(layer.name, shape[1:3], layer.kernel_size, layer.strides, layer.padding)
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        width = shape[1] * shape[2] * shape[3]
        for layer in self.head:
            layer.build((None, width))
            width = getattr(layer, "units", width)
        self.built = True

    def activations(self, images, training=False):
        hidden, results = images, {}
        for block in self.convolutions:
            for layer in block:
                hidden = layer(hidden)
            results[block[0].name] = hidden = ops.relu(hidden)
        _, rows, columns, channels = hidden.shape
        hidden = ops.transpose(hidden, (0, 3, 1, 2))  # [batch, channels, rows, columns]
        hidden = ops.reshape(hidden, (-1, channels * rows * columns))  # explicit sizes, so that the batch cannot change
        for layer in self.head:
            options = {"training": training} if isinstance(layer, keras.layers.Dropout) else {}
            results[layer.name] = hidden = layer(hidden, **options)
        return results

    def call(self, images, training=False):
        return {"logits": ops.cast(self.activations(images, training)["softmax_layer"], "float32")}

    def named_variables(self):
        named = {}
        for layer in (*itertools.chain(*self.convolutions), *self.head):
            if layer.weights:
                named[f"{layer.name}/weights"], named[f"{layer.name}/biases"] = layer.kernel, layer.bias
        return named


@keras.saving.register_keras_serializable("capsules")
class Baseline(_ConvolutionalNetwork):
    """The baseline of the code of 2017: two pooled convolutions and a hidden layer; 7,495,946 weights for 28x28x1.

    `model(images)` gives "logits" [batch, classes]. Arguments as `Classifier`.
    """

    def __init__(self, image_shape, num_classes: int, hparams=None, name: str = "baseline", **kwargs):
        super().__init__(image_shape, num_classes, hparams, name=name, **kwargs)
        padding = self.hparams.padding.lower()
        for index, channels in enumerate((512, 256), start=1):
            pool = keras.layers.MaxPooling2D(
                2, padding="same", data_format="channels_last", dtype=self.dtype_policy, name=f"pool{index}"
            )
            self.convolutions.append((self._conv(f"conv{index}", channels, padding), pool))
        self.head += [self._dense("fc1", 1024), self._dense("softmax_layer", num_classes, None)]
        self._build()


@keras.saving.register_keras_serializable("capsules")
class PaperBaseline(_ConvolutionalNetwork):
    """The baseline of the paper's text: three convolutions, two hidden layers, dropout; 35,445,522 weights for 28x28x1.

    Its convolutions are always padded, whatever the hparam is: only then are there 35.4M parameters as in the paper.
    `model(images)` gives "logits" [batch, classes]. Arguments as `Classifier`.
    """

    def __init__(self, image_shape, num_classes: int, hparams=None, name: str = "baseline_paper", **kwargs):
        super().__init__(image_shape, num_classes, hparams, name=name, **kwargs)
        self.convolutions += [(self._conv(f"conv{i}", width, "same"),) for i, width in enumerate((256, 256, 128), 1)]
        self.head += [
            self._dense("fc1", 328),
            self._dense("fc2", 192),
            keras.layers.Dropout(0.5, dtype=self.dtype_policy, name="dropout"),
            self._dense("softmax_layer", num_classes, None),
        ]
        self._build()
