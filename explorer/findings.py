"""Computes what is inside a trained network, as arrays that `pictures` draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from capsules.ops import length
from explorer.diagnose import ways_to_route
from input_data import Split, evaluation_batches, evaluation_indices
from models.network import Classifier
from runner.evaluation import evaluate, hits, top_labels
from runner.loader import Trained
from runner.steps import make_evaluation_step

SWEEP = np.arange(-5, 6) / 20  # -0.25 to 0.25, added to one dimension of a capsule (paper, figure 4)
PAIR_COLOURS = np.array([[255, 136, 0], [0, 119, 255]]) / 255  # of two digits; they add up to white


@dataclass(frozen=True)
class Examined:
    """A network and its outputs on the n examples that an evaluation of so many takes of a test split."""

    trained: Trained
    split: Split
    logits: np.ndarray  # [n, classes]
    labels: np.ndarray  # int [n, num_targets]
    predictions: np.ndarray  # int [n, num_targets], largest logit first

    @property
    def right(self) -> np.ndarray:
        """Which examples have all their labels predicted, bool [n]."""
        return hits(self.labels, self.predictions).all(axis=1)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Test images [len(indices), rows, columns, depth]."""
        return self.split.batch(evaluation_indices(len(self.split), len(self.labels))[indices])["images"]

    def some(self, wanted: np.ndarray, count: int) -> np.ndarray:
        """The first `count` of the wanted examples, bool [n], taken in turn from each class of a first label.

        They are taken in turn because some splits are sorted. Their indices are ascending, int [at most count].
        """
        indices = np.flatnonzero(wanted)
        labels, turns = self.labels[indices, 0], np.zeros(len(indices), int)
        for label in np.unique(labels):
            turns[labels == label] = np.arange(np.count_nonzero(labels == label))
        return np.sort(indices[np.argsort(turns, kind="stable")[:count]])

    def example(self, label: int) -> int | None:
        """The first example with this label, preferably one that the network gets right; None if there is none."""
        with_label = (self.labels == label).any(axis=1)
        found = [*np.flatnonzero(with_label & self.right), *np.flatnonzero(with_label)]
        return int(found[0]) if found else None


def examine(trained: Trained, split: Split, limit: int | None = None) -> Examined:
    """Runs a network over `limit` examples (None: all) of a test split, spread over it."""
    result = evaluate(make_evaluation_step(trained.model), split, limit=limit)
    return Examined(trained, split, **result.predictions)


def reconstructions(model: Classifier, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What the decoder draws from the capsules of labels, int [n, targets]: [n, targets, rows, columns, depth]."""
    return np.stack(model.remake(model(images), labels), axis=1)


def dimensions(model: Classifier, image: np.ndarray, label: int) -> np.ndarray:
    """Reconstructions as each dimension of a class's capsule in turn is changed by `SWEEP` (paper, section 5.1).

    They are [atoms, len(SWEEP), rows, columns, depth], of an image [rows, columns, depth].
    """
    capsules = np.asarray(model(image[None])["capsules"])  # [1, classes, atoms]
    _, classes, atoms = capsules.shape
    changed = np.tile(capsules, (atoms, len(SWEEP), 1, 1))  # [atoms, sweep, classes, atoms]
    changed[np.arange(atoms), :, label, np.arange(atoms)] += SWEEP
    mask = np.tile(np.eye(classes, dtype=np.float32)[label], (atoms * len(SWEEP), 1))
    drawn = np.asarray(model.draw(changed.reshape(-1, classes, atoms), mask))
    return drawn.reshape(atoms, len(SWEEP), *drawn.shape[1:])


def coupling_maps(model: Classifier, images: Any) -> Any:
    """The coupling coefficients of each iteration on the grid of primary capsules, of a network that has `places()`.

    A place has the mean over the capsule types, weighted by the lengths of the primary capsules, because those of
    almost zero length have coefficients but no influence. The shares still sum to 1 over the classes (to less with
    leaky routing): [n, iterations, classes, grid rows, grid columns].
    """
    primary = model.primary_capsules(images)  # [n, in, atoms]
    grid = (model.primary.types, *model.primary.grid)
    weights = ops.reshape(length(primary), (-1, *grid))
    weights = weights / ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-9)  # [n, types, rows, columns]
    maps = []
    for step in model.classes.route(primary).steps:
        # [n, in, classes] to [n, types, rows, columns, classes]
        shares = ops.reshape(step.coefficients, (-1, *grid, step.coefficients.shape[2]))
        maps.append(ops.einsum("ntyxk,ntyx->nkyx", shares, weights))
    return ops.stack(maps, axis=1)


def without_routing(examined: Examined) -> np.ndarray:
    """The predictions int [n, num_targets] with uniform coefficients in place of the routing's."""
    model, logits = examined.trained.model, []
    uniform = ways_to_route(model.classes)["uniform"]
    answer = tf.function(lambda images: uniform(model.classes.votes(model.primary_capsules(images))).activations)
    for batch in evaluation_batches(examined.split, 100, len(examined.labels)):
        logits.append(answer(tf.constant(batch["images"])).numpy())
    return top_labels(np.concatenate(logits), examined.labels.shape[1])


def confusion(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each label (row) is taken for each class (column), float [classes, classes].

    If an image has several labels, each predicted label counts on the diagonal, and each missed label is shared evenly
    among the wrong predictions of its image. A row therefore always sums to its label's count.
    """
    eye = np.eye(num_classes)
    present, predicted = eye[labels].sum(axis=1), eye[predictions].sum(axis=1)  # [n, classes]
    missed, wrong = present * (1 - predicted), predicted * (1 - present)
    shares = wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1)
    return np.diag((present * predicted).sum(axis=0)) + missed.T @ shares


def aligned(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Predictions of one or two labels, those of two swapped where this puts one in the position of the same label."""
    swap = (labels[:, 0] == predictions[:, -1]) | (labels[:, -1] == predictions[:, 0])
    return np.where(swap[:, None], predictions[:, ::-1], predictions)


def overlay(images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Two reconstructions in orange and blue over the dimmed input, white where both draw (paper, figure 5).

    One man in twelve cannot tell the paper's red from its green. Of images [n, rows, columns, 1] and pairs
    [n, 2, rows, columns, 1], it is [n, rows, columns, 3].
    """
    coloured = np.einsum("npyxd,pc->nyxc", pairs, PAIR_COLOURS)
    return np.minimum(coloured + 0.35 * images, 1)
