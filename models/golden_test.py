"""Parity with 2017: everything the original graph computed for weights and images given by formula."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from capsules.metrics import score
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer

CASES = sorted(Path(__file__).with_name("testdata").glob("*.json"))


def _images(seed, count, case):
    shape = (count, case["height"], case["height"], case["depth"])
    return (np.random.RandomState(seed).uniform(size=shape) ** 3).astype(np.float32)


def load(path):
    """(case, model, images, labels, targets) of a golden file, with the weights set."""
    case = json.loads(path.read_text())
    hparams = HParams().override(case["hparams_override"])
    shape = (case["height"], case["height"], case["depth"])
    model = make_model(case["model"], shape, case["num_classes"], hparams)
    named = model.named_variables()
    assert list(named) == list(case["variables"])
    for name, rule in case["variables"].items():
        value = rule["mean"] + rule["stddev"] * np.random.RandomState(rule["seed"]).standard_normal(rule["shape"])
        named[name].assign(value.astype(np.float32).reshape(named[name].shape))
    labels = [case["labels"]] + ([case["spare_labels"]] if case["spare_labels"] else [])
    labels = np.array(labels, np.int32).T  # [batch, num_targets]
    images = _images(1000, len(labels), case)
    targets = None
    if case["spare_labels"]:
        targets = np.stack([images, _images(1001, len(labels), case)], axis=1)
    return case, model, images, labels, targets


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_figure_of_2017(path):
    case, model, images, labels, targets = load(path)
    outputs = model(images)
    np.testing.assert_allclose(outputs["logits"], case["logits"], atol=1e-5)
    if case["capsule_0"]:
        np.testing.assert_allclose(outputs["capsules"][0], case["capsule_0"], atol=1e-5)
    np.testing.assert_allclose(model.costs(outputs, images, labels, targets)["total"], case["total_loss"], rtol=1e-5)
    correct, almost = score(labels, outputs["logits"])
    assert (np.sum(correct), np.sum(almost)) == (case["correct"], case["almost"])
    if case["remake_pixel_sums"]:
        sums = [ops.sum(remake, axis=(1, 2, 3)) for remake in model.remake(outputs, labels)]
        np.testing.assert_allclose(sums, case["remake_pixel_sums"], rtol=1e-5)

    optimizer = make_optimizer(model.hparams)
    losses = []
    expected = case["losses_before_each_step_and_after_the_last"]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.costs(model(images, training=True), images, labels, targets)["total"]
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    losses = [float(step()) for _ in expected[1:]]
    outputs = model(images)
    losses.append(float(model.costs(outputs, images, labels, targets)["total"]))
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(outputs["logits"], case["logits_after_training"], rtol=1e-3, atol=1e-3)
