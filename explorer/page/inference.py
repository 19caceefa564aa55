"""Computes what the page shows of a network, as arrays: scores, capsules, routing, reconstructions."""

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from capsules.ops import length
from explorer.compare import check_comparable, network_names
from explorer.routing import routing_steps
from input_data import Split
from runner.evaluation import hits, top_labels
from runner.loader import Trained

BATCH = 100  # images at a time in the search for a wrong answer


def facts(trained: Trained, split: Split, compared: Trained | None = None) -> dict[str, Any]:
    """What the page must know about a network and its data, ready for JSON. Arguments and errors as `Inspector`."""
    model = trained.model
    if tuple(split.info.image_shape) != model.image_shape or split.info.num_targets != trained.num_targets:
        raise ValueError(
            f"The network takes images {model.image_shape} with {trained.num_targets} label(s). Received a "
            f"data set with images {tuple(split.info.image_shape)} and {split.info.num_targets} label(s)."
        )
    if compared is not None:
        check_comparable(trained, compared)
    rows, columns, depth = model.image_shape
    return {
        "network": type(model).__name__,
        "step": trained.step,
        "data": split.info.name,
        "examples": len(split),
        "classes": list(trained.class_names),
        "targets": trained.num_targets,
        "rows": rows,
        "columns": columns,
        "depth": depth,
        "drawing": depth == 1 and trained.dataset in ("mnist", "affnist"),
        "uploads": True,
        "score": model.score_name,
        "atoms": model.classes.atoms if model.has_capsules else 0,
        "decoder": model.decoder is not None,
        "routing": model.places(),
        "compared": network_names([trained, compared])[1] if compared else None,
    }


class Inspector:
    """A trained network whose calls are compiled once, for one image, and may come from many threads.

    Args:
        trained: the network and its facts.
        split: the examples to choose from.
        compared: another network of the same images and classes, whose scores are shown too; None: no other network.

    Attributes:
        facts: see the function of that name.
        places: see `Classifier.places`.
        atoms: length of a class capsule; 0 if the network has no capsules.

    Raises:
        ValueError: the examples are not of the network's size, or the networks are not comparable.
    """

    def __init__(self, trained: Trained, split: Split, compared: Trained | None = None):
        self.trained, self.split, self.compared, self.model = trained, split, compared, trained.model
        self.facts = facts(trained, split, compared)
        self.places, self.atoms = self.facts["routing"], self.facts["atoms"]
        self._lock = threading.Lock()
        self._look = tf.function(self._look_once, [tf.TensorSpec((1, *self.model.image_shape))])
        self.look(np.zeros(self.model.image_shape, np.float32))  # compiles before the first visitor waits
        if self.model.decoder is not None:
            self._draw = tf.function(self._draw_once, [tf.TensorSpec((), tf.int32), tf.TensorSpec((self.atoms,))])
            self.draw(0, np.zeros(self.atoms, np.float32))

    def _look_once(self, images):
        looked = {}
        if self.places:
            looked = routing_steps(self.model, images)
            outputs = {"logits": length(looked["capsules"]), "capsules": looked["capsules"]}
        else:
            outputs = self.model(images)
        scores = self.model.scores(outputs["logits"])[0]
        chosen = tf.math.top_k(scores, self.trained.num_targets).indices
        looked = {name: tf.cast(values[0], tf.float32) for name, values in looked.items()}
        looked |= {"scores": scores, "chosen": chosen}
        if self.model.has_capsules:
            looked["capsules"] = tf.cast(outputs["capsules"][0], tf.float32)
        if self.model.decoder is not None:
            looked["drawn"] = tf.concat(self.model.remake(outputs, chosen[None]), axis=0)
        if self.compared:
            looked["compared"] = self.compared.model.scores(self.compared.model(images)["logits"])[0]
        return looked

    def _draw_once(self, label, capsule):
        mask = tf.one_hot(label, self.model.num_classes)[None]
        return self.model.decoder(capsule[None, None] * mask[..., None], mask)[0]

    def look(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the network makes of an image, float32 [rows, columns, depth] in its input's range.

        Returns:
            A dict with "scores" [classes] in [0, 1] (see `Classifier.scores`) and "chosen" [num_targets], the classes
            with the highest scores, highest first. A network with capsules adds "capsules" [classes, atoms]; if they
            are routed from a grid, also "coupling", "agreement" and "lengths" (see `routing_steps`). A decoder adds
            "drawn" [num_targets, rows, columns, depth], its images of the chosen capsules. A network to compare with
            adds "compared" [classes], its scores.
        """
        with self._lock:
            return {name: value.numpy() for name, value in self._look(tf.constant(image[None], tf.float32)).items()}

    def draw(self, label: int, capsule: np.ndarray) -> np.ndarray:
        """What the decoder makes of a capsule [atoms] of class `label`: float32 [rows, columns, depth] in [0, 1]."""
        with self._lock:
            return self._draw(tf.constant(label, tf.int32), tf.constant(capsule, tf.float32)).numpy()

    def example(self, index: int, second: int | None = None) -> tuple[np.ndarray, list[int]]:
        """The image of an example and its labels.

        Args:
            index: which example; for pairs of digits, the pair whose first digit is taken.
            second: for pairs of digits, the pair whose second digit is added to it; None: the same pair.

        Raises:
            ValueError: no such example.
        """
        indices = np.array([index, index if second is None else second])
        if not ((indices >= 0) & (indices < len(self.split))).all():
            raise ValueError(f"Examples are numbered 0 to {len(self.split) - 1}. Received: {indices.max()}.")
        batch = self.split.batch(indices, np.zeros((2, self.split.noise)))
        if self.trained.num_targets == 1:
            return batch["images"][0], [int(batch["labels"][0, 0])]
        targets = batch["reconstruction_targets"]
        merged = np.minimum(targets[0, 0] + targets[1, 1], 1.0)
        return merged, [int(batch["labels"][0, 0]), int(batch["labels"][1, 1])]

    def next_wrong(self, after: int) -> int | None:
        """The next example after `after`, wrapping around, that the network gets wrong; None if it gets all right."""
        size = len(self.split)
        order = np.roll(np.arange(size), -(after + 1) % size)
        for start in range(0, size, BATCH):
            indices = order[start : start + BATCH]
            batch = self.split.batch(indices, np.zeros((len(indices), self.split.noise)))
            with self._lock:
                logits = self.model.predict_on_batch(batch["images"])["logits"]
            wrong = ~hits(batch["labels"], top_labels(logits, self.trained.num_targets)).all(axis=1)
            if wrong.any():
                return int(indices[wrong.argmax()])
        return None
