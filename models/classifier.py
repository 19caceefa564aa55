"""What all networks share: their losses, hooks for `compile` and `fit`, and their config."""

import math
from dataclasses import asdict
from typing import Any

import keras
from keras import ops

from capsules.losses import CLASSIFICATION_LOSSES, multi_hot, reconstruction_loss, score
from models.hparams import HParams


def _replicas() -> int:
    """Number of devices that share a batch: a loss of our own must be divided by it, Keras does not."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


class Classifier(keras.Model):
    """A network from images to class logits that knows its own losses.

    `model(images)` takes float images [batch, rows, columns, depth] in [0, 1] and gives a dict with at least
    "logits" [batch, classes]. It never sees a label. `fit` takes `x=images` and `y=labels` ([batch] or
    [batch, num_targets]), or `y={"labels": …, "targets": …}` where the images to reconstruct are others than
    the input: [batch, num_targets, rows, columns, depth].

    Args:
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: an HParams, or a dict of its fields.
    """

    has_capsules = False  # whether the outputs have "capsules" [batch, classes, atoms], made by the layer `classes`
    decoder = None  # the layer that draws an image from them, where there is one
    score_name = "score"  # what to call what `scores` gives

    def __init__(self, image_shape, num_classes: int, hparams: HParams | dict | None = None, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.hparams = hparams if isinstance(hparams, HParams) else HParams(**(hparams or {}))
        self._metrics_by_name = {
            name: keras.metrics.Mean(name=name)
            for name in ("loss", "classification", "reconstruction", "accuracy", "almost")
        }

    def variables_2017(self) -> dict[str, Any]:
        """The weights by the names that the checkpoints of 2017 give them, in their order."""
        raise NotImplementedError

    def count_weights(self) -> int:
        """Number of trainable weights."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    def activations(self, images) -> dict[str, Any]:
        """What each layer makes of the images, by the layer's name, for summaries and pictures."""
        raise NotImplementedError

    def scores(self, logits):
        """Logits [batch, classes] as people read them, in [0, 1].

        The softmax or the sigmoid where a network was trained with these; what learns with the margin loss is a
        probability as it is, but for what lies outside.
        """
        if self.hparams.loss_type == "softmax":
            return ops.softmax(logits)
        return ops.sigmoid(logits) if self.hparams.loss_type == "sigmoid" else ops.clip(logits, 0.0, 1.0)

    def places(self) -> dict[str, float] | None:
        """Where the grid of primary capsules, which are routed to the classes, lies over the image; None: no such grid.

        "first" is the middle of the first capsule's field of view, in pixels from the middle of the first pixel;
        "step" the distance to the next; "sees" the side of the field.
        """
        return None

    def remake(self, outputs: dict, labels) -> list:
        """One reconstruction of the images for each label [batch, num_targets]; none where there is no decoder."""
        return []

    def costs(self, outputs: dict, images, labels, targets=None) -> dict[str, Any]:
        """The losses of a batch, each a float32 scalar: classification, reconstruction and their sum, total.

        Args:
            outputs: what `model(images)` gave.
            images: the batch [batch, rows, columns, depth].
            labels: int [batch, num_targets].
            targets: images to reconstruct for each label [batch, num_targets, rows, columns, depth]; None: `images`.
        """
        loss = CLASSIFICATION_LOSSES[self.hparams.loss_type]
        classification = loss(outputs["logits"], multi_hot(labels, self.num_classes))
        reconstruction = ops.zeros((), "float32")
        for index, remake in enumerate(self.remake(outputs, labels)):
            reconstruction += reconstruction_loss(remake, images if targets is None else targets[:, index])
        return {
            "classification": classification,
            "reconstruction": reconstruction,
            "total": classification + reconstruction,
        }

    # Hooks of Keras: with these, compile() and fit() work on every backend.

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        labels, targets = _labels_and_targets(y)
        costs = self.costs(y_pred, x, labels, targets)
        correct, almost = score(y_pred["logits"], labels)
        values = {
            "loss": costs["total"],
            "classification": costs["classification"],
            "reconstruction": costs["reconstruction"],
            "accuracy": ops.mean(ops.cast(correct, "float32")),
            "almost": ops.mean(ops.cast(almost, "float32")),
        }
        for name, value in values.items():
            self._metrics_by_name[name].update_state(value, sample_weight=ops.shape(labels)[0])
        return costs["total"] / _replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {name: metric.result() for name, metric in self._metrics_by_name.items()}

    @property
    def metrics(self):
        return list(self._metrics_by_name.values())

    def get_config(self):
        return {
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "hparams": asdict(self.hparams),
            "name": self.name,
        }


def _labels_and_targets(y):
    labels, targets = (y["labels"], y.get("targets")) if isinstance(y, dict) else (y, None)
    if len(labels.shape) == 1:
        labels = ops.expand_dims(labels, axis=1)  # [batch, 1]
    return labels, targets
