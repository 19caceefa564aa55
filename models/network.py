"""The base classes of all networks: Keras models from images to class logits with losses of their own."""

import math
from dataclasses import asdict
from importlib import import_module
from typing import Any

import keras
from keras import ops

from capsules.layers import Decoder, check_floats
from capsules.losses import ReconstructionLoss, label_rows, margin_loss, sigmoid_loss, softmax_loss
from capsules.metrics import AllTargetsAccuracy
from capsules.ops import choice, count, counts, number

from . import pretrained
from .hparams import HParams, describe_network


@keras.saving.register_keras_serializable("capsules")
def margin_loss_2017(y_true: Any, y_pred: Any) -> Any:
    """The margin loss as in the code of 2017: half of its mean over the classes, for each example."""
    return 0.5 * margin_loss(y_true, y_pred, over_classes="mean")


LOSSES = {"margin": margin_loss_2017, "margin_sum": margin_loss, "softmax": softmax_loss, "sigmoid": sigmoid_loss}


def checked_sizes(kind: str, image_shape: Any, num_classes: Any) -> tuple[tuple[int, ...], int]:
    """(image_shape, num_classes) as Python's numbers; ValueError if one is no whole number of 1 or more."""
    shape = counts(f"{kind}: image_shape", image_shape, "(rows, columns, depth)")
    return shape, count(f"{kind}: num_classes", num_classes)


def arguments(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a network's constructor from its `locals()`; with the dtype policy, they are its config."""
    policy = keras.dtype_policies.get(values["dtype"] or keras.config.dtype_policy()).name
    return {name: value for name, value in values.items() if name not in ("self", "__class__")} | {"dtype": policy}


class Classifier(keras.Model):
    """A functional Keras model from images to class logits that has its own losses.

    `model(images)` takes float images [batch, rows, columns, depth] in [0, 1] and returns a dict with at least
    "logits" [batch, classes]. It never sees a label.

    `compile("adam")` trains with the network's own loss. A `loss` in `compile` replaces the classification loss; it
    gets the labels and the logits, as `metrics` do. The reconstruction loss stays.

    `fit` takes `x=images` and `y=labels` in any form of `capsules.losses.label_rows`. If the images to reconstruct are
    not the input, use `y={"labels": …, "reconstruction_targets": …}` with images
    [batch, num_targets, rows, columns, depth].

    Args:
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        loss: "margin" (as in 2017), "margin_sum" (as in the paper), "softmax" or "sigmoid".
        reconstruction_weight: factor of the sum of squared pixel differences in the loss.
        name, dtype: see `keras.Model`; dtype is a policy for every layer.

    Attributes:
        decoder: the layer that draws an image from a class capsule, or None.

    Raises:
        ValueError: a size is not a whole number of 1 or more, or images have another shape than `image_shape`.
    """

    has_capsules = False  # whether the outputs have "capsules" [batch, classes, atoms], made by the layer `classes`
    score_name = "score"  # the name of what `scores` returns, for users

    def __init__(self, inputs: Any, outputs: dict[str, Any], config: dict[str, Any], decoder: Any = None):
        """A derived class calls this with its graph and with its own arguments, by name."""
        vars(self)["decoder"] = decoder  # Keras' constructor asks for `layers`, whose weights it trains, in this order
        super().__init__(inputs=inputs, outputs=outputs, name=config["name"])
        self.decoder = vars(self).pop("decoder")  # as a new attribute, which tf.train.Checkpoint follows
        self.config = config
        self.image_shape, self.num_classes = checked_sizes("", config["image_shape"], config["num_classes"])
        self.loss_type = choice("loss", config["loss"], tuple(LOSSES))
        self.reconstruction_loss = ReconstructionLoss(number("reconstruction_weight", config["reconstruction_weight"]))
        self.reconstruction_mean: Any = None  # a metric of `fit`
        self.given_hparams: HParams | None = None

    @property
    def layers(self) -> list:
        """The layers of the graph, and the decoder, which lies outside it."""
        return [*super().layers, *([self.decoder] if self.decoder is not None else [])]

    @property
    def hparams(self) -> HParams:
        """The hparams that `make_model` made the network with, or those that describe it."""
        return self.given_hparams or describe_network(self.config)

    def named_variables(self) -> dict[str, Any]:
        """The variables in a checkpoint, by name and in order; the networks of 2017 keep the names of 2017."""
        raise NotImplementedError

    def count_weights(self) -> int:
        """Number of trainable weights."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    def activations(self, images: Any) -> dict[str, Any]:
        """The output of each layer with weights for the images, by the layer's name, for summaries and pictures."""
        layers = [layer for layer in self.layers if layer.weights and layer is not self.decoder]
        return keras.Model(self.inputs[0], {layer.name: layer.output for layer in layers})(images)

    def scores(self, logits: Any) -> Any:
        """Scores in [0, 1] for users, from logits [batch, classes].

        They are the softmax or the sigmoid if the network was trained with it. With the margin loss, the logits are
        probabilities already and are clipped to [0, 1].
        """
        if self.loss_type == "softmax":
            return ops.softmax(logits)
        return ops.sigmoid(logits) if self.loss_type == "sigmoid" else ops.clip(logits, 0.0, 1.0)

    def places(self) -> dict[str, float] | None:
        """The position over the image of the grid of primary capsules that are routed to the classes; None: no grid.

        "first" is the centre of the first capsule's receptive field, in pixels from the centre of the first pixel,
        "step" the distance to the next one, and "sees" the side of the field.
        """
        return None

    def remake(self, outputs: dict, labels: Any) -> list:
        """One reconstruction of the images for each label [batch, num_targets]; empty if there is no decoder."""
        if self.decoder is None:
            return []
        masks = ops.one_hot(labels, self.num_classes)  # [batch, num_targets, classes]
        return [self.draw(outputs["capsules"], masks[:, index]) for index in range(labels.shape[1])]

    def draw(self, capsules: Any, shown: Any) -> Any:
        """Images [batch, rows, columns, depth] of capsules [batch, classes, atoms], weighted by [batch, classes]."""
        return self.decoder(capsules * ops.cast(shown, capsules.dtype)[..., None])

    def costs(self, outputs: dict, images: Any, labels: Any, reconstruction_targets: Any = None) -> dict[str, Any]:
        """The losses of a batch as float32 scalars: "classification", "reconstruction" and their sum, "total".

        Args:
            outputs: the outputs of `model(images)`.
            images: the batch [batch, rows, columns, depth].
            labels: int [batch, num_targets].
            reconstruction_targets: images to reconstruct for each label [batch, num_targets, rows, columns, depth];
                None: `images`.
        """
        rows = ops.sum(ops.one_hot(labels, self.num_classes, dtype="float32"), axis=1)
        classification = ops.mean(LOSSES[self.loss_type](rows, outputs["logits"]))
        reconstruction = ops.zeros((), "float32")
        for index, drawn in enumerate(self.remake(outputs, labels)):
            expected = images if reconstruction_targets is None else reconstruction_targets[:, index]
            reconstruction += ops.mean(self.reconstruction_loss.call(expected, drawn))
        total = classification + reconstruction
        return {"classification": classification, "reconstruction": reconstruction, "total": total}

    # Keras' hooks, with which compile() and fit() work on every backend.

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if tuple(inputs.shape)[1:] != self.image_shape:  # Keras would add or drop a last axis
            expected = ", ".join(map(str, self.image_shape))
            raise ValueError(f"{self.name} expects images [batch, {expected}]. Received: {tuple(inputs.shape)}")
        return super().call(check_floats(self, inputs), training=training, mask=mask)

    def compile(self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any) -> None:
        """As `keras.Model.compile`; without a loss, the network's own; without metrics, the accuracy."""
        if self.decoder is not None:
            self.reconstruction_mean = keras.metrics.Mean(name="reconstruction")
        metrics = [AllTargetsAccuracy()] if metrics is None else metrics
        super().compile(optimizer, loss or LOSSES[self.loss_type], metrics=metrics, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        labels, targets = (y["labels"], y.get("reconstruction_targets")) if isinstance(y, dict) else (y, None)
        loss = super().compute_loss(x, self._for_keras(labels), y_pred["logits"], sample_weight, training)
        if self.decoder is None:
            return loss
        drawn = ops.zeros((), "float32")
        for index, shown in enumerate(self._shown(labels)):
            image = self.draw(y_pred["capsules"], shown)
            drawn += self.reconstruction_loss(x if targets is None else targets[:, index], image, sample_weight)
        if self.reconstruction_mean is not None:
            self.reconstruction_mean.update_state(drawn * replicas(), sample_weight=ops.shape(x)[0])
        return loss + drawn

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels = y["labels"] if isinstance(y, dict) else y
        # As dicts of one output, whose name Keras leaves out of the names of metrics.
        labels, logits = {"logits": self._for_keras(labels)}, {"logits": y_pred["logits"]}
        return super().compute_metrics(x, labels, logits, sample_weight)

    def _several(self, labels: Any) -> bool:
        """Whether labels are several classes of each image, [batch, k]; refuses the form that could be both."""
        shape, kind = labels.shape, keras.backend.standardize_dtype(labels.dtype)
        if len(shape) == 2 and shape[1] == self.num_classes == 2 and "int" in kind:
            raise ValueError(
                "Whole numbers [batch, 2] as labels of 2 classes could be one-hot rows or two labels of an image. "
                "Give rows as floats, labels.astype('float32'), or one label for each image."
            )
        return len(shape) == 2 and shape[1] not in (1, self.num_classes)

    def _for_keras(self, labels: Any) -> Any:
        """Labels for a loss or a metric of `compile`: unchanged, or rows if an image has several."""
        labels = ops.convert_to_tensor(labels)
        return label_rows(labels, self.num_classes) if self._several(labels) else labels

    def _shown(self, labels: Any) -> list:
        """Which capsules each drawing shows, [batch, classes]: one label each, or all that a row has."""
        labels = ops.convert_to_tensor(labels)
        if not self._several(labels):
            return [label_rows(labels, self.num_classes)]
        return [label_rows(labels[:, index], self.num_classes) for index in range(labels.shape[1])]

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(f"{type(self).__name__} cannot be quantised. Export it as .tflite and quantise that file.")

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        if input_signature is None:
            shape = (None, *self.image_shape)
            input_signature = [keras.layers.InputSpec(shape=shape, dtype="float32", name="images")]
        super().export(filepath, format, verbose, input_signature, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = dict(self.config)
        if "routing" in config and not isinstance(config["routing"], int):
            config["routing"] = keras.saving.serialize_keras_object(config["routing"])
        return config

    @classmethod
    def from_preset(cls, name: str, num_classes: int | None = None) -> "Classifier":
        """A trained network; one of this class if it is called on a derived class.

        Args:
            name: a name of `presets()`, a folder that `save_to_preset` wrote, or a run's folder.
            num_classes: None: the network's own. Another number gives the weights that depend on it new values, for
                training on other classes.

        Raises:
            ValueError: there is no such network, its files are damaged, or it is of another class.

        Example:
            >>> model = CapsNet.from_preset("capsnet_mnist_small")
            >>> lengths = model(images)["lengths"]  # of images [batch, 28, 28, 1] in [0, 1]: [batch, 10]
        """
        from . import make_model

        config, weights = pretrained.read(name)
        classes = num_classes or len(config["class_names"])
        model = make_model(config["flags"]["model"], tuple(config["image_shape"]), classes, config["hparams"])
        if not isinstance(model, cls):
            raise ValueError(f"{name} is a network of {type(model).__name__}. Use {type(model).__name__}.from_preset.")
        for own, variable in model.named_variables().items():
            if own not in weights or (weights[own].shape != tuple(variable.shape) and num_classes is None):
                raise ValueError(f"{name} is damaged: it has no {own} of the shape {tuple(variable.shape)}.")
            if weights[own].shape == tuple(variable.shape):
                variable.assign(weights[own])
        return model

    def save_to_preset(self, folder: str, class_names: Any = None, dataset: str = "mnist", step: int = 0) -> None:
        """Writes the network as `pretrained/` holds it: config.json, weights.npz and their checksums.

        Args:
            folder: a folder that is created, or an earlier preset.
            class_names: one name for each class; None: the numbers from 0.
            dataset: the data set that it was trained on, a name that `--dataset` takes.
            step: number of training steps.

        Raises:
            ValueError: the folder holds something else, or the network's routing has no hparams.
        """
        from . import MODELS

        kind = next((name for name, path in MODELS.items() if path.endswith(f".{type(self).__name__}")), None)
        if kind is None:
            raise ValueError(f"{type(self).__name__} is no network of MODELS. Keep it with model.save(….keras).")
        config = {
            "flags": {"model": kind, "dataset": dataset, "num_targets": 1},
            "hparams": asdict(self.hparams),
            "image_shape": list(self.image_shape),
            "class_names": [str(name) for name in class_names or range(self.num_classes)],
        }
        weights = {name: ops.convert_to_numpy(variable) for name, variable in self.named_variables().items()}
        pretrained.write(folder, config, weights, step)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Classifier":
        if isinstance(config.get("routing"), dict):
            config = config | {"routing": keras.saving.deserialize_keras_object(config["routing"], custom_objects)}
        return cls(**config)


class CapsuleNetwork(Classifier):
    """A network whose outputs have "capsules" [batch, classes, atoms] and "lengths" [batch, classes], the logits.

    Attributes:
        primary: the layer of primary capsules.
        classes: the layer that routes them to the class capsules.
    """

    has_capsules = True
    score_name = "length"

    def __init__(self, inputs: Any, lengths: Any, capsules: Any, config: dict[str, Any], decoder: Any):
        if isinstance(decoder, Decoder):
            decoder.build(tuple(capsules.shape))
        outputs = {"logits": lengths, "lengths": lengths, "capsules": capsules}
        super().__init__(inputs, outputs, config, decoder)

    def scores(self, logits: Any) -> Any:
        return logits  # a capsule's length is its probability (paper, section 2), whatever the loss

    def primary_capsules(self, images: Any) -> Any:
        """The primary capsules of images, [batch, in, atoms]."""
        return keras.Model(self.inputs[0], self.primary.output)(images)

    def named_decoder_variables(self) -> dict[str, Any]:
        """The decoder's weights by their names in a checkpoint, in order."""
        named: dict[str, Any] = {}
        stack = self.decoder.stack if isinstance(self.decoder, Decoder) else getattr(self.decoder, "layers", ())
        for layer in (each for each in stack if each.weights):
            named[f"recons/{layer.name}/weights"] = layer.kernel
            named[f"recons/{layer.name}/biases"] = layer.bias
        return named


def replicas() -> int:
    """Number of devices that share a batch, by which Keras divides a loss."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


# The classes of networks are registered as soon as this module is loaded, so that a saved one is found by its name.
for _module in ("capsnet", "efficient", "baseline"):
    import_module(f".{_module}", __package__)
