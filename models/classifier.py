"""The base class of all networks, with their losses, hooks for `compile` and `fit`, and config."""

import math
import warnings
from dataclasses import asdict
from typing import Any

import keras
from keras import ops
from keras.src.trainers.compile_utils import MetricsList

from capsules.arguments import count, counts
from capsules.labels import multi_hot_targets, refuse, values, whole_numbers
from capsules.losses import margin_terms, sigmoid_terms, softmax_terms, squared_error
from capsules.metrics import AllTargetsAccuracy, AnyTargetAccuracy

from .hparams import HParams


def replicas() -> int:
    """Number of devices that share a batch; a custom loss must be divided by it, because Keras does not do so."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


class _OwnMetrics(MetricsList):
    """A network's own metrics, in the kind of list in which Keras' callbacks look up the direction of a metric."""

    def result(self) -> dict[str, Any]:
        return {metric.name: metric.result() for metric in self.metrics}


class Classifier(keras.Model):
    """A network from images to class logits that has its own losses.

    `model(images)` takes float images [batch, rows, columns, depth] in [0, 1] and returns a dict with at least
    "logits" [batch, classes]. It never sees a label.

    `compile("adam")` trains with the network's own loss. A `loss` in `compile` replaces the classification loss; it
    gets the labels and the logits, as `metrics` do. The reconstruction loss stays.

    `fit` takes `x=images` and `y=labels`: integers [batch], [batch, 1] or, for several digits per image,
    [batch, num_targets]; or one-hot [batch, classes]. If the images to reconstruct are not the input, use
    `y={"labels": …, "reconstruction_targets": …}` with images [batch, num_targets, rows, columns, depth].

    Args:
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: an HParams, or a dict of its fields.
        name, dtype, trainable: see `keras.Model`; dtype is a policy for every layer.

    Raises:
        ValueError: a size is not a whole number of 1 or more, or images have another shape than `image_shape`.
    """

    has_capsules = False  # whether the outputs have "capsules" [batch, classes, atoms], made by the layer `classes`
    score_name = "score"  # the name of what `scores` returns, for users

    def __init__(self, image_shape, num_classes: int, hparams: HParams | dict | None = None, **kwargs):
        super().__init__(**kwargs)
        # The layer that draws an image from capsules, or None. On PyTorch an attribute of the class would hide it.
        self.decoder: Any = None
        kind = type(self).__name__
        rows, columns, depth = counts(f"{kind}: image_shape", image_shape, "(rows, columns, depth)")
        self.image_shape = rows, columns, depth
        self.num_classes = count(f"{kind}: num_classes", num_classes)
        self.hparams = hparams if isinstance(hparams, HParams) else HParams(**(hparams or {}))
        self.input_spec = keras.layers.InputSpec(shape=self.input_shape)
        costs = [keras.metrics.Mean(name=name) for name in ("classification", "reconstruction")]
        for metric in costs:
            metric._direction = "down"
        self._own_metrics = _OwnMetrics([*costs, AllTargetsAccuracy("accuracy"), AnyTargetAccuracy("almost")])

    @property
    def input_shape(self) -> tuple:
        """(None, rows, columns, depth)."""
        return (None, *self.image_shape)

    def named_variables(self) -> dict[str, Any]:
        """The variables in a checkpoint, by name and in order; the networks of 2017 keep the names of 2017."""
        raise NotImplementedError

    def count_weights(self) -> int:
        """Number of trainable weights."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    def activations(self, images) -> dict[str, Any]:
        """The output of each layer for the images, by the layer's name, for summaries and pictures."""
        raise NotImplementedError

    def scores(self, logits):
        """Scores in [0, 1] for users, from logits [batch, classes].

        They are the softmax or the sigmoid if the network was trained with it. With the margin loss, the logits are
        probabilities already and are clipped to [0, 1].
        """
        if self.hparams.loss_type == "softmax":
            return ops.softmax(logits)
        return ops.sigmoid(logits) if self.hparams.loss_type == "sigmoid" else ops.clip(logits, 0.0, 1.0)

    def places(self) -> dict[str, float] | None:
        """The position over the image of the grid of primary capsules that are routed to the classes; None: no grid.

        "first" is the centre of the first capsule's receptive field, in pixels from the centre of the first pixel,
        "step" the distance to the next one, and "sees" the side of the field.
        """
        return None

    def remake(self, outputs: dict, labels) -> list:
        """One reconstruction of the images for each label [batch, num_targets]; empty if there is no decoder."""
        return []

    def costs(self, outputs: dict, images, labels, reconstruction_targets=None, sample_weight=None) -> dict[str, Any]:
        """The losses of a batch as float32 scalars: "classification", "reconstruction" and their sum, "total".

        Args:
            outputs: the outputs of `model(images)`.
            images: the batch [batch, rows, columns, depth].
            labels: int [batch, num_targets].
            reconstruction_targets: images to reconstruct for each label [batch, num_targets, rows, columns, depth];
                None: `images`.
            sample_weight: None, or [batch], a factor for each example's losses.
        """
        terms = TERMS[self.hparams.loss_type](multi_hot_targets(labels, self.num_classes), outputs["logits"])
        classification = _mean(terms, sample_weight)
        if self.hparams.loss_type == "margin":
            classification = 0.5 * classification
        elif self.hparams.loss_type == "margin_sum":
            classification = self.num_classes * classification
        reconstruction = ops.zeros((), "float32")
        for index, remake in enumerate(self.remake(outputs, labels)):
            expected = images if reconstruction_targets is None else reconstruction_targets[:, index]
            reconstruction += self.hparams.reconstruction_weight * _mean(squared_error(expected, remake), sample_weight)
        return {
            "classification": classification,
            "reconstruction": reconstruction,
            "total": classification + reconstruction,
        }

    # Keras' hooks, with which compile() and fit() work on every backend.

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        given, reconstruction_targets = _labels_and_reconstruction_targets(y)
        labels, valid = self._targets(given)
        costs = self.costs(y_pred, x, labels, reconstruction_targets, sample_weight)
        loss = costs["total"]
        if self._compile_loss is not None:  # the user's, which Keras has divided among the devices
            given = self._for_keras(given)
            own = super().compute_loss(x, given, y_pred["logits"], sample_weight, training) * replicas()
            costs["classification"], loss = own, own + costs["reconstruction"]
        elif self.losses:
            loss = loss + super().compute_loss(x, given, y_pred["logits"], sample_weight, training) * replicas()
        *means, accuracy, almost = self._own_metrics.metrics
        for metric in means:
            metric.update_state(costs[metric.name], sample_weight=ops.shape(labels)[0])
        targets = multi_hot_targets(labels, self.num_classes)
        for metric in (accuracy, almost):
            metric.update_state(targets, y_pred["logits"])
        # A label outside the classes makes the loss NaN where no error can be raised.
        return ops.where(ops.all(valid), loss, float("nan")) / replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels, _ = _labels_and_reconstruction_targets(y)
        return super().compute_metrics(x, self._for_keras(labels), y_pred["logits"], sample_weight)

    def fit(self, x=None, y=None, *args, **kwargs):
        self._check_data(x, y, kwargs.get("class_weight"))
        validation = kwargs.get("validation_data")
        if isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
            self._check_data(*validation[:2])
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        self._check_data(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        self._check_data(x, y, kwargs.get("class_weight"))
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        self._check_data(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        if input_signature is None:
            input_signature = [keras.layers.InputSpec(shape=self.input_shape, dtype="float32", name="images")]
        super().export(filepath, format, verbose, input_signature, **kwargs)

    def get_config(self):
        return super().get_config() | {
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "hparams": asdict(self.hparams),
        }

    def _for_keras(self, labels):
        """Labels for a loss or a metric given to `compile`: unchanged, or multi-hot if an image has several."""
        if len(labels.shape) == 2 and labels.shape[1] not in (1, self.num_classes):
            return multi_hot_targets(ops.cast(labels, "int32"), self.num_classes)
        return labels

    def _check_data(self, x, y, class_weight=None) -> None:
        """Refuses labels outside the classes and warns of images outside [0, 1], while values are available."""
        if y is None:  # a data set brings its own labels
            return
        labels, _ = self._targets(_labels_and_reconstruction_targets(y)[0])
        if class_weight and labels.shape[1] > 1:
            raise ValueError(
                f"class_weight needs one label per image, but these have {labels.shape[1]}. Use sample_weight."
            )
        pixels = values(x)
        if pixels is not None and pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
            warnings.warn(
                f"{type(self).__name__} expects images in [0, 1]. Received values from {pixels.min():g} to "
                f"{pixels.max():g}. Divide images of bytes by 255.",
                stacklevel=3,
            )

    def _targets(self, labels) -> tuple[Any, Any]:
        """Labels in any form that `fit` takes as int32 [batch, num_targets], and whether each example's are valid.

        Raises:
            ValueError: the labels have another shape or, where values are available, one is outside the classes.
        """
        labels, classes = ops.convert_to_tensor(labels), self.num_classes
        if len(labels.shape) == 1:
            labels = ops.expand_dims(labels, axis=1)  # [batch, 1]
        if len(labels.shape) != 2 or labels.shape[1] is None or labels.shape[1] > classes:
            raise ValueError(
                f"Labels of {type(self).__name__} with {classes} classes must be integers [batch] or "
                f"[batch, num_targets], or one-hot [batch, {classes}]. Received the shape: {tuple(labels.shape)}"
            )
        if labels.shape[1] == classes > 1:
            rows = ops.cast(labels, "float32")
            valid = ops.logical_and(ops.equal(ops.sum(rows, axis=1), 1.0), ops.equal(ops.max(rows, axis=1), 1.0))
            valid = ops.logical_and(valid, ops.equal(ops.min(rows, axis=1), 0.0))
            rule = f"Labels [batch, {classes}] must be one-hot. Give several digits as integers [batch, num_targets]"
            refuse(labels, valid, rule)
            return ops.cast(ops.argmax(rows, axis=1), "int32")[:, None], valid
        targets, valid = whole_numbers(labels, classes)
        valid = ops.all(valid, axis=1)
        refuse(labels, valid, f"Labels must be whole numbers from 0 to {classes - 1}")
        once = ops.all(multi_hot_targets(targets, classes) <= 1.0, axis=1)
        refuse(labels, once, "The labels of an image must differ")
        return targets, ops.logical_and(valid, once)


TERMS = {"margin": margin_terms, "margin_sum": margin_terms, "softmax": softmax_terms, "sigmoid": sigmoid_terms}


def _mean(terms, sample_weight=None):
    """Mean of terms [batch] or [batch, classes], after each example is multiplied by its weight."""
    if sample_weight is None:
        return ops.mean(terms)
    shape = (ops.shape(terms)[0], *[1] * (len(terms.shape) - 1))  # [batch] or [batch, 1]
    weight = ops.reshape(ops.cast(sample_weight, "float32"), shape)
    return ops.mean(terms * weight)


def _labels_and_reconstruction_targets(y) -> tuple[Any, Any]:
    if isinstance(y, dict):
        return y["labels"], y.get("reconstruction_targets")
    return y, None
