"""Counting: what is right, for one label and for two, whatever the batches."""

import csv

import numpy as np
import tensorflow as tf

from runner.evaluation import evaluate, top_labels, write_predictions

LOGITS = np.array([[3, 2, 1], [1, 3, 2], [2, 1, 3], [3, 1, 2], [1, 2, 3]], np.float32)
LABELS = np.array([0, 1, 1, 0, 2])[:, None]


class Examples:
    """A split whose images are their numbers."""

    noise = 0

    def __init__(self, labels=LABELS):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def batch(self, indices, random=None):
        return {"images": indices, "labels": self.labels[indices]}


def network(logits, loss=1.0):
    """An evaluation step that knows its answers."""
    return lambda batch: (tf.constant(logits[batch["images"]]), tf.constant(loss * len(batch["labels"])))


def test_the_largest_logits_are_the_predictions():
    np.testing.assert_array_equal(top_labels(LOGITS, 2), [[0, 1], [1, 2], [2, 0], [0, 2], [2, 1]])
    np.testing.assert_array_equal(top_labels(np.zeros((1, 3), np.float32), 2), [[0, 1]])  # ties: the first class


def test_every_example_counts_once_whatever_the_batches():
    for size in (1, 2, 5, 9):
        result = evaluate(network(LOGITS, loss=0.5), Examples(), size)
        assert (result.size, result.wrong, result.almost_wrong, result.loss) == (5, 1, 1, 0.5)
        assert str(result) == "Total wrong predictions: 1, wrong percent: 20%"


def test_two_labels_are_right_together_and_almost_right_alone():
    labels = np.array([[1, 0], [0, 1], [1, 0], [1, 2], [2, 1]])
    result = evaluate(network(LOGITS), Examples(labels))
    assert (result.wrong, result.almost_wrong, result.percent) == (3, 0, 60)  # half a pair is no half credit


SCORES = np.array([[0.25, 0.5, 0.75], [1.0, 0.0, 0.5]], np.float32)
BEST = np.array([[2, 1], [0, 2]])
PAIRS = np.array([[2, 1], [0, 1]])


def test_a_table_names_classes(tmp_path):
    write_predictions(str(tmp_path / "new" / "out.CSV"), ("a", "b,", "c"), SCORES, BEST, PAIRS)
    rows = list(csv.reader((tmp_path / "new" / "out.CSV").open(newline="")))
    heads = ["example", "label", "label 2", "prediction", "prediction 2", "logit a", "logit b,", "logit c"]
    assert rows == [heads, ["0", "c", "b,", "c", "b,", "0.25", "0.5", "0.75"],
                    ["1", "a", "b,", "a", "c", "1.0", "0.0", "0.5"]]  # fmt: skip


def test_arrays_have_names(tmp_path):
    write_predictions(str(tmp_path / "out.npz"), ("a", "b", "c"), SCORES, BEST, names=["x.png", "y.png"])
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays) == {"logits", "predictions", "class_names", "names"}
        np.testing.assert_array_equal(arrays["logits"], SCORES)
        assert arrays["names"].tolist() == ["x.png", "y.png"] and arrays["class_names"].tolist() == ["a", "b", "c"]
