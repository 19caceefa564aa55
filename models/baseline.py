"""The two convolutional baselines: that of the code of 2017 and that of the paper's text (section 5)."""

from typing import Any

import keras
from keras import ops

from capsules.convolution import ShortDFTConv2D

from .building import arguments, initial, layers_with, named_weights
from .network import Classifier


class _ConvolutionalNetwork(Classifier):
    """Convolutions of 5x5, followed by fully connected layers on feature maps flattened as [channel, row, column].

    ReLU follows the pooling, where it has a quarter of the values: maximum and ReLU commute.
    """

    def __init__(
        self, config: dict[str, Any], channels: tuple[int, ...], pool: bool, units: tuple[int, ...], dropout: float
    ):
        padding = config.get("padding", "same")
        with layers_with(config["dtype"]):
            hidden = images = keras.Input(config["image_shape"], name="images")
            for index, width in enumerate(channels, start=1):
                hidden = ShortDFTConv2D(width, 5, padding=padding, name=f"conv{index}", **initial(0.05))(hidden)
                if pool:
                    hidden = keras.layers.MaxPooling2D(2, padding="same", name=f"pool{index}")(hidden)
                hidden = keras.layers.ReLU(name=f"relu{index}")(hidden)
            hidden = keras.layers.Permute((3, 1, 2), name="by_channel")(hidden)
            hidden = keras.layers.Flatten(name="flat")(hidden)
            for index, width in enumerate(units, start=1):
                hidden = keras.layers.Dense(width, "relu", name=f"fc{index}", **initial(0.1))(hidden)
            if dropout:
                hidden = keras.layers.Dropout(dropout, name="dropout")(hidden)
            logits = keras.layers.Dense(config["num_classes"], name="softmax_layer", **initial(0.1))(hidden)
        super().__init__(images, {"logits": ops.cast(logits, "float32")}, config)

    def named_variables(self) -> dict[str, Any]:
        return named_weights(self)


@keras.saving.register_keras_serializable("capsules")
class Baseline(_ConvolutionalNetwork):
    """The baseline of the code of 2017: two pooled convolutions and a hidden layer; 7,495,946 weights for 28x28x1.

    `model(images)` gives "logits" [batch, classes]. Arguments as `Classifier`, and `padding`, "valid" or "same".
    """

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, padding: str = "valid", **options: Any):
        config = arguments(locals(), smallest=13, name="baseline")
        super().__init__(config, channels=(512, 256), pool=True, units=(1024,), dropout=0.0)


@keras.saving.register_keras_serializable("capsules")
class PaperBaseline(_ConvolutionalNetwork):
    """The baseline of the paper's text: three convolutions, two hidden layers, dropout; 35,445,522 weights for 28x28x1.

    Its convolutions are always padded: only then are there 35.4M parameters as in the paper.
    `model(images)` gives "logits" [batch, classes]. Arguments as `Classifier`.
    """

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, **options: Any):
        config = arguments(locals(), name="baseline_paper")
        super().__init__(config, channels=(256, 256, 128), pool=False, units=(328, 192), dropout=0.5)
