"""What the page shows of a network, as arrays: scores, capsules, routing, reconstructions."""

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from capsules.ops import length
from input_data import Split
from models.capsnet import KERNEL, CapsNet
from runner.loader import Trained

SCORES = {"margin": lambda logits: tf.clip_by_value(logits, 0.0, 1.0), "softmax": tf.nn.softmax, "sigmoid": tf.sigmoid}


class Inspector:
    """A trained network whose calls are compiled once, for one image, and may come from many threads.

    Args:
        trained: the network and its facts.
        split: the examples to choose from.

    Raises:
        ValueError: the examples are not of the network's size.
    """

    def __init__(self, trained: Trained, split: Split):
        self.trained, self.split, self.model = trained, split, trained.model
        if tuple(split.info.image_shape) != self.model.image_shape or split.info.num_targets != trained.num_targets:
            raise ValueError(
                f"The network takes images {self.model.image_shape} with {trained.num_targets} label(s). Received a "
                f"data set with images {tuple(split.info.image_shape)} and {split.info.num_targets} label(s)."
            )
        self.has_capsules = isinstance(self.model, CapsNet)
        self.has_decoder = self.has_capsules and self.model.decoder is not None
        self._lock = threading.Lock()
        self._look = tf.function(self._look_once, [tf.TensorSpec((1, *self.model.image_shape))])
        self.look(np.zeros(self.model.image_shape, np.float32))  # compiles before the first visitor waits
        if self.has_decoder:
            atoms = self.model.classes.atoms
            self._draw = tf.function(self._draw_once, [tf.TensorSpec((), tf.int32), tf.TensorSpec((atoms,))])
            self.draw(0, np.zeros(atoms, np.float32))

    def facts(self) -> dict[str, Any]:
        """What the page has to know of the network and its data, ready for JSON."""
        rows, columns, depth = self.model.image_shape
        return {
            "network": type(self.model).__name__,
            "step": self.trained.step,
            "data": self.split.info.name,
            "examples": len(self.split),
            "classes": list(self.trained.class_names),
            "targets": self.trained.num_targets,
            "rows": rows,
            "columns": columns,
            "drawing": depth == 1 and self.trained.dataset in ("mnist", "affnist"),
            "atoms": self.model.classes.atoms if self.has_capsules else 0,
            "decoder": self.has_decoder,
            "routing": self._places() if self.has_capsules else None,
        }

    def _places(self) -> dict[str, float]:
        """Where the grid of primary capsules lies over the image, and how much of it each capsule sees, in pixels."""
        layer = self.model.primary
        before = 0
        if layer.padding == "same":  # conv1 then keeps the size
            covered = [(cells - 1) * layer.strides + layer.kernel_size for cells in layer.grid]
            before = KERNEL // 2 + max(covered[0] - self.model.image_shape[0], 0) // 2
        sees = KERNEL + layer.kernel_size - 1
        return {"first": sees // 2 - before, "step": layer.strides, "sees": sees}

    def _look_once(self, images):
        if not self.has_capsules:
            scores = SCORES[self.model.hparams.loss_type](self.model(images)["logits"])[0]
            return {"scores": scores, "chosen": self._best(scores)}
        primary = self.model.primary(self.model.conv1(images))
        capsules, coefficients = self.model.classes.route(primary)
        scores = tf.cast(length(capsules)[0], tf.float32)
        chosen = self._best(scores)
        coupling = tf.stack([tf.cast(each[:, 0], tf.float32) for each in coefficients])  # [iterations, classes, in]
        layer = self.model.primary
        by_type = tf.reshape(coupling, (len(coefficients), len(scores), layer.types, *layer.grid))
        found = {
            "scores": scores,
            "chosen": chosen,
            "capsules": tf.cast(capsules[0], tf.float32),
            "coupling": tf.reduce_mean(by_type, axis=2),
        }
        if self.has_decoder:
            masks = tf.one_hot(chosen, self.model.num_classes)
            found["drawn"] = self.model.decoder(tf.repeat(capsules, self.trained.num_targets, axis=0), masks)
        return found

    def _best(self, scores):
        return tf.math.top_k(scores, self.trained.num_targets).indices

    def _draw_once(self, label, capsule):
        mask = tf.one_hot(label, self.model.num_classes)[None]
        return self.model.decoder(capsule[None, None] * mask[..., None], mask)[0]

    def look(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the network makes of an image, float32 [rows, columns, depth] in its input's range.

        Returns:
            "scores" [classes] in [0, 1] (lengths of capsules; shares of a baseline) and "chosen" [num_targets], the
            classes with the highest, highest first. Of capsules also "capsules" [classes, atoms] and "coupling"
            [iterations, classes, grid rows, grid columns], a mean over the types of primary capsules; with a decoder
            "drawn" [num_targets, rows, columns, depth], what it makes of the chosen capsules.
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
            index: which example; of pairs of digits, the one whose first digit is taken.
            second: of pairs, the one whose second digit is added to it; None: the same pair.

        Raises:
            ValueError: no such example.
        """
        chosen = np.array([index, index if second is None else second])
        if not ((chosen >= 0) & (chosen < len(self.split))).all():
            raise ValueError(f"Examples are numbered 0 to {len(self.split) - 1}. Received: {chosen.max()}.")
        batch = self.split.batch(chosen, np.zeros((2, self.split.noise)))
        if self.trained.num_targets == 1:
            return batch["images"][0], [int(batch["labels"][0, 0])]
        merged = np.minimum(batch["reconstruction_targets"][0, 0] + batch["reconstruction_targets"][1, 1], 1.0)
        return merged, [int(batch["labels"][0, 0]), int(batch["labels"][1, 1])]
