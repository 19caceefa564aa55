"""The base classes of all networks: Keras models from images to class logits with losses of their own."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

import keras
from keras import ops

from capsules.losses import ReconstructionLoss, label_rows, margin_loss, sigmoid_loss, softmax_loss, spread_loss
from capsules.metrics import AllTargetsAccuracy
from capsules.ops import check_floats, choice, count, counts, number

from . import MODELS, make_model, pretrained
from .hparams import HParams, describe_network


@keras.saving.register_keras_serializable("capsules")
def margin_loss_2017(y_true: Any, y_pred: Any) -> Any:
    """The margin loss as in the code of 2017: half of its mean over the classes, for each example."""
    return 0.5 * margin_loss(y_true, y_pred, over_classes="mean")


NAMES_2017 = {"kernel": "weights", "bias": "biases"}
LOSSES = {
    "margin": margin_loss_2017,
    "margin_sum": margin_loss,
    "spread": spread_loss,
    "softmax": softmax_loss,
    "sigmoid": sigmoid_loss,
}


def arguments(values: dict[str, Any], smallest: int = 1, **defaults: Any) -> dict[str, Any]:
    """The config of a network: the arguments of its constructor, from its `locals()`, and its `**options`, checked.

    The options are the arguments of `Classifier` that all networks take, and `defaults` what they are if not given.
    `smallest` is the smallest side of images that unpadded convolutions can process.
    """
    kind, options = type(values["self"]).__name__, values["options"]
    config = {name: value for name, value in values.items() if name not in ("self", "__class__", "options")}
    config |= {"loss": "margin", "reconstruction_weight": 0.0005, "dtype": None} | defaults
    if unknown := options.keys() - config.keys():
        raise TypeError(f"{kind} has no argument {', '.join(sorted(unknown))}.")
    config |= options
    config["image_shape"] = counts(f"{kind}: image_shape", config["image_shape"], "(rows, columns, depth)")
    config["num_classes"] = count(f"{kind}: num_classes", config["num_classes"])
    if "padding" in config:
        config["padding"] = choice(f"{kind}: padding", config["padding"], ("valid", "same"))
    rows, columns, _ = config["image_shape"]
    if min(rows, columns) < smallest and config.get("padding") != "same":
        padded = ", or of any size with the padding 'same'" if "padding" in config else ""
        raise ValueError(f"{kind} takes images of {smallest}x{smallest} or larger{padded}. Received: {rows}x{columns}.")
    config["dtype"] = keras.dtype_policies.get(config["dtype"] or keras.config.dtype_policy()).name
    return config


@contextmanager
def layers_of(config: dict[str, Any]) -> Iterator[Any]:
    """The input of a network, whose layers, made in the block, have the config's dtype and the channels last."""
    policy, image_format = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy(config["dtype"])
    keras.config.set_image_data_format("channels_last")
    try:
        yield keras.Input(config["image_shape"], name="images")
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(image_format)


def replicas() -> int:
    """Number of devices that share a batch, by which Keras divides a loss."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


class Classifier(keras.Model):
    """A functional Keras model from images to class logits that has its own losses.

    `model(images)` takes float images [batch, rows, columns, depth] in [0, 1] and returns a dict with at least
    "logits" [batch, classes]. `compile("adam")` trains with the network's own loss. A `loss` in `compile` replaces the
    classification loss; it gets the labels and the logits, as `metrics` do. The reconstruction loss stays. `fit` takes
    labels in any form of `capsules.losses.label_rows`. The attribute `decoder` is the layer that draws an image from a
    class capsule, or None.

    Args:
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        loss: "margin" (as in 2017), "margin_sum" (as in the paper), "softmax", "sigmoid" or "spread", see `LOSSES`.
        reconstruction_weight: factor of the sum of squared pixel differences in the loss.
        name, dtype: see `keras.Model`; dtype is a policy for every layer.
    """

    has_capsules = False  # whether the outputs have "capsules" [batch, classes, atoms], made by the layer `classes`
    score_name = "score"  # the name of what `scores` returns, for users
    # Names of weights in a checkpoint, by Keras' names; None: those of a network of the user's own.
    weight_names: ClassVar[dict[str, str] | None] = None
    reconstruction_mean: Any = None  # a metric of `fit`
    given_hparams: HParams | None = None

    def __init__(self, inputs: Any, outputs: dict[str, Any], config: dict[str, Any], decoder: Any = None):
        """A derived class calls this with its graph and with its own arguments, by name."""
        # Keras' constructor asks for `layers`, whose weights it trains, in this order.
        self.__dict__["decoder"] = decoder
        super().__init__(inputs=inputs, outputs=outputs, name=config["name"])
        self.decoder = self.__dict__.pop("decoder")  # as a new attribute, which tf.train.Checkpoint follows
        self.config = config
        self.image_shape, self.num_classes = tuple(config["image_shape"]), config["num_classes"]
        self.input_spec = keras.layers.InputSpec(shape=(None, *self.image_shape))  # Keras would add or drop a last axis
        self.loss_type = choice("loss", config["loss"], tuple(LOSSES))
        self.reconstruction_loss = ReconstructionLoss(number("reconstruction_weight", config["reconstruction_weight"]))

    @property
    def layers(self) -> list:
        """The layers of the graph, and the decoder, which lies outside it."""
        return [*super().layers, *([self.decoder] if self.decoder is not None else [])]

    @property
    def hparams(self) -> HParams:
        """The hparams that the network was made with, or those that describe it."""
        return self.given_hparams or describe_network(type(self), self.config)

    def named_variables(self) -> dict[str, Any]:
        """The variables in a checkpoint, by name and in order: names of 2017, or a new network's places and names."""
        if (names := self.weight_names) is None:
            return {f"{place}/{weight.name.rstrip('_0123456789')}": weight for place, weight in enumerate(self.weights)}
        decoder: Any = getattr(self.decoder, "stack", None) or getattr(self.decoder, "layers", ())
        layers = [(layer.name, layer) for layer in self.layers if layer is not self.decoder]
        layers += [(f"recons/{layer.name}", layer) for layer in decoder]
        return {f"{name}/{names.get(each.name, each.name)}": each for name, layer in layers for each in layer.weights}

    def count_weights(self) -> int:
        """Number of trainable weights."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    def activations(self, images: Any) -> dict[str, Any]:
        """The output of each layer with weights for the images, by the layer's name, for summaries and pictures."""
        layers = [layer for layer in self.layers if layer.weights and layer is not self.decoder]
        outputs = {layer.name: keras.tree.flatten(layer.output)[0] for layer in layers}
        return keras.Model(self.inputs[0], outputs)(images)

    def scores(self, logits: Any) -> Any:
        """Scores in [0, 1] for users, from logits [batch, classes]; with a margin loss, logits are probabilities."""
        of_loss = {"softmax": ops.softmax, "sigmoid": ops.sigmoid}
        return of_loss.get(self.loss_type, lambda lengths: ops.clip(lengths, 0.0, 1.0))(logits)

    def places(self) -> dict[str, float] | None:
        """Where the grid of primary capsules lies over the image, see `CapsNet.places`; None: no grid."""
        return None

    def remake(self, outputs: dict, labels: Any) -> list:
        """One reconstruction of the images for each label [batch, num_targets]; empty if there is no decoder."""
        drawn = range(labels.shape[1]) if self.decoder is not None else ()
        return [self.draw(outputs["capsules"], ops.one_hot(labels[:, i], self.num_classes)) for i in drawn]

    def draw(self, capsules: Any, shown: Any) -> Any:
        """Images [batch, rows, columns, depth] of capsules [batch, classes, atoms], weighted by [batch, classes]."""
        return self.decoder(capsules * ops.cast(shown, capsules.dtype)[..., None])

    def costs(self, outputs: dict, images: Any, labels: Any, reconstruction_targets: Any = None) -> dict[str, Any]:
        """The losses of a batch as float32 scalars: "classification", "reconstruction" and their sum, "total".

        `outputs` are those of `model(images)`, `labels` int [batch, num_targets], and `reconstruction_targets` None or
        what to reconstruct instead of `images`, [batch, num_targets, rows, columns, depth].
        """
        rows = ops.sum(ops.one_hot(labels, self.num_classes, dtype="float32"), axis=1)
        classification = ops.mean(LOSSES[self.loss_type](rows, outputs["logits"]))
        reconstruction = ops.zeros((), "float32")
        for index, drawn in enumerate(self.remake(outputs, labels)):
            expected = images if reconstruction_targets is None else reconstruction_targets[:, index]
            reconstruction += ops.mean(self.reconstruction_loss.call(expected, drawn))
        both = {"classification": classification, "reconstruction": reconstruction}
        return both | {"total": classification + reconstruction}

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
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
        labels, of_drawings = self._labels(y)
        loss = super().compute_loss(x, labels, y_pred["logits"], sample_weight, training)
        if self.decoder is None:
            return loss
        drawn = (self.draw(y_pred["capsules"], label_rows(each, self.num_classes)) for each in of_drawings)
        reconstruction = sum(self.reconstruction_loss(x, each, sample_weight) for each in drawn)
        self.reconstruction_mean.update_state(reconstruction * replicas(), sample_weight=ops.shape(x)[0])
        return loss + reconstruction

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        # As dicts of one output, whose name Keras leaves out of the names of metrics.
        labels, logits = {"logits": self._labels(y)[0]}, {"logits": y_pred["logits"]}
        return super().compute_metrics(x, labels, logits, sample_weight)

    def _labels(self, y: Any) -> tuple[Any, list]:
        """Labels for a loss or a metric of `compile`, as rows if an image has several, and those of each drawing."""
        labels = ops.convert_to_tensor(y)
        shape, kind = labels.shape, keras.backend.standardize_dtype(labels.dtype)
        if len(shape) == 2 and shape[1] == self.num_classes == 2 and "int" in kind:
            label_rows(labels, 2)  # refuses them: here, since a loss of Keras gets floats
        if len(shape) != 2 or shape[1] in (1, self.num_classes):
            return labels, [labels]
        return label_rows(labels, self.num_classes), [labels[:, index] for index in range(shape[1])]

    def get_config(self) -> dict[str, Any]:
        routing = {name: self.config[name] for name in ("routing",) if name in self.config}
        return self.config | keras.saving.serialize_keras_object(routing)

    @classmethod
    def from_preset(cls, name: str, num_classes: int | None = None) -> "Classifier":
        """A trained network, of any class if it is called on `Classifier`.

        Args:
            name: a name of `presets()`, a folder that `save_to_preset` wrote, or a run's folder.
            num_classes: None, or another number of classes, for which the weights that depend on it get new values.

        ValueError: there is no such network, its files are damaged, or it is of another class.
        """
        config, weights = pretrained.read(name)
        classes = num_classes or len(config["class_names"])
        model = make_model(config["flags"]["model"], tuple(config["image_shape"]), classes, config["hparams"])
        if not isinstance(model, cls):
            raise ValueError(f"{name} is a network of {type(model).__name__}. Use {type(model).__name__}.from_preset.")
        for weight, variable in model.named_variables().items():
            if weight in weights and weights[weight].shape == tuple(variable.shape):
                variable.assign(weights[weight])
            elif weight not in weights or num_classes is None:
                raise ValueError(f"{name} is damaged: it has no {weight} of the shape {tuple(variable.shape)}.")
        return model

    def save_to_preset(
        self, folder: str, class_names: Any = None, dataset: str = "mnist", step: int = 0, num_targets: int = 1
    ) -> None:
        """Writes the network as `pretrained/` holds it: config.json, weights.npz and their checksums.

        Args:
            folder: a new folder, or an earlier preset; one that holds something else is a ValueError.
            class_names: one name for each class; None: the numbers from 0.
            dataset: the data set that it was trained on, a name that `--dataset` takes.
            step: number of training steps.
            num_targets: labels of an image, 1 or 2.
        """
        kind = {path.rpartition(".")[2]: name for name, path in MODELS.items()}.get(type(self).__name__)
        if kind is None:
            raise ValueError(f"{type(self).__name__} is no network of MODELS. Keep it with model.save(….keras).")
        names = [str(name) for name in class_names or range(self.num_classes)]
        if len(names) != self.num_classes:
            raise ValueError(f"There must be a name for each of the {self.num_classes} classes. Received: {names}")
        config = {
            "flags": {"model": kind, "dataset": dataset, "num_targets": num_targets},
            "hparams": asdict(self.hparams),
            "image_shape": list(self.image_shape),
            "class_names": names,
        }
        weights = {name: ops.convert_to_numpy(variable) for name, variable in self.named_variables().items()}
        pretrained.write(folder, config, weights, step)


class CapsuleNetwork(Classifier):
    """A network whose outputs have "capsules" [batch, classes, atoms] and "lengths" [batch, classes], the logits.

    Where the routing has its own activations, the logits are these, and the output is called "activations". The layer
    `primary` makes the primary capsules, where there is one, and `classes` routes them to the class capsules.
    """

    has_capsules = True
    weight_names = NAMES_2017

    def __init__(self, images: Any, scores: Any, capsules: Any, config: dict, decoder: Any = None, **layers: Any):
        """As `Classifier`, with the layers of the graph that become attributes by their names."""
        if decoder is not None and not decoder.built:
            decoder.build(tuple(capsules.shape))
        score_name = "activation" if layers["classes"].routing.own_activations else "length"
        outputs = {"logits": scores, f"{score_name}s": scores, "capsules": capsules}
        super().__init__(images, outputs, config, decoder)
        for name, value in {"score_name": score_name, **layers}.items():
            setattr(self, name, value)

    def scores(self, logits: Any) -> Any:
        return logits  # a capsule's length or activation is its probability (paper, section 2), whatever the loss

    def primary_capsules(self, images: Any) -> Any:
        """The primary capsules of images, [batch, in, atoms]."""
        return keras.Model(self.inputs[0], self.primary.output)(images)


# The classes of networks are registered as soon as this module is loaded, so that a saved one is found by its name.
from . import capsnet, efficient  # noqa: E402, F401
