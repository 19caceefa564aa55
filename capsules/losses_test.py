"""Losses and metrics in Keras' hands: forms of labels, refusals, weights, devices, saving, callbacks, docstrings."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import capsules
from capsules import AllTargetsAccuracy, AnyTargetAccuracy, Length, MarginLoss, margin_loss
from capsules.losses import reconstruction_loss, sigmoid_loss, softmax_loss

RNG = np.random.RandomState(5)
LENGTHS = RNG.uniform(size=(6, 4)).astype(np.float32)
LABELS = np.array([3, 0, 1, 1, 2, 0])
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]


def network(loss, seed: int = 0, **options) -> keras.Model:
    keras.utils.set_random_seed(seed)
    images = keras.Input((6, 5))
    model = keras.Model(images, Length()(capsules.Capsules(4, 3)(images)))
    model.compile(keras.optimizers.SGD(1.0), loss, **options)
    return model


@pytest.mark.parametrize("loss", [margin_loss, MarginLoss(reduction=None), softmax_loss, sigmoid_loss])
@pytest.mark.parametrize("form", [LABELS, LABELS[:, None], LABELS.astype(np.uint8), LABELS.astype(float), ONE_HOT > 0])
def test_every_form_of_labels_gives_the_same_loss_of_each_example(loss, form):
    values = np.asarray(loss(form, LENGTHS))
    assert values.shape == (6,)
    np.testing.assert_allclose(values, loss(ONE_HOT, LENGTHS), rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, r"from 0 to 3\. Received 4 as the label of example 0"),
        (LABELS - 1, r"from 0 to 3\. Received -1 as the label of example 1"),
        (LABELS + 0.5, r"whole numbers from 0 to 3\. Received 3\.5"),
        (LENGTHS, r"one-hot or multi-hot, with 0 and 1 only\. Received \[0\.222"),
        (ONE_HOT * 2, "one-hot or multi-hot"),
        (ONE_HOT[:, :3], r"Received the shape: \(6, 3\)"),
        (ONE_HOT[None], r"Received the shape: \(1, 6, 4\)"),
    ],
)
@pytest.mark.parametrize("function", [margin_loss, capsules.all_targets_right])
def test_labels_that_are_none_are_refused_by_name(function, labels, words):
    with pytest.raises(ValueError, match=words):
        function(labels, LENGTHS)


@pytest.mark.parametrize("labels", [LABELS + 1, LABELS - 1, LENGTHS])
def test_a_compiled_function_cannot_raise_and_gives_nan(labels):
    model = network(margin_loss, metrics=[AllTargetsAccuracy()])
    logs = model.evaluate(RNG.uniform(size=(6, 6, 5)), labels, verbose=0, return_dict=True)
    assert np.isnan(logs["loss"]) and np.isnan(logs["accuracy"])


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"predictions \[batch, classes\].*Received the shape: \(6, 4, 1\)"):
        margin_loss(LABELS, LENGTHS[..., None])
    with pytest.raises(ValueError, match="'mean', 'sum'.*Received: 'max'"):
        MarginLoss(over_classes="max")
    with pytest.raises(ValueError, match=r"Received: \(2, 3, 3, 1\) and \(2, 4, 3, 1\)"):
        reconstruction_loss(np.zeros((2, 4, 3, 1)), np.zeros((2, 3, 3, 1)))


@pytest.mark.parametrize("loss", [margin_loss, MarginLoss(), MarginLoss("sum")])
def test_examples_of_weight_zero_do_not_teach(loss):
    images, weights = RNG.uniform(size=(6, 6, 5)), (LABELS != 1).astype(float)
    ends = []
    for labels in (LABELS, np.where(LABELS == 1, 3, LABELS)):
        model = network(loss)
        model.fit(images, labels, sample_weight=weights, batch_size=6, epochs=2, verbose=0)
        ends.append(model.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_devices_take_the_step_of_one():
    code = "from capsules.losses_test import two_devices; two_devices()"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def two_devices() -> None:
    """Run in a process of its own, since the number of devices is fixed when TensorFlow starts."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    images, steps = RNG.uniform(size=(6, 6, 5)), []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            model = network(margin_loss)
        before = model.get_weights()
        model.fit(images, LABELS, batch_size=6, shuffle=False, verbose=0)
        steps.append([new - old for new, old in zip(model.get_weights(), before, strict=True)])
    for one, two in zip(*steps, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.parametrize("loss", [margin_loss, MarginLoss("sum"), softmax_loss, sigmoid_loss])
def test_a_compiled_model_loads_with_its_loss_and_metrics(loss, tmp_path):
    model = network(loss, metrics=[AllTargetsAccuracy(), AnyTargetAccuracy(), capsules.any_target_right])
    images = RNG.uniform(size=(6, 6, 5))
    expected = model.evaluate(images, ONE_HOT, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(images, ONE_HOT, verbose=0, return_dict=True) == pytest.approx(expected)


def test_a_new_process_needs_only_import_capsules_to_load_a_compiled_model(tmp_path):
    network(margin_loss).save(tmp_path / "model.keras")
    code = "import sys, capsules, keras; print(keras.models.load_model(sys.argv[1]).compiled)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras")],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True"], done.stderr


def test_all_targets_count_and_ties_go_to_the_first_as_in_argmax():
    targets = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    scores = np.array([[3, 2, 1, 0], [3, 2, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 1, 1]], np.float32)
    assert np.asarray(capsules.all_targets_right(targets, scores)).tolist() == [1, 0, 0, 0, 1]
    assert np.asarray(capsules.any_target_right(targets, scores)).tolist() == [1, 1, 0, 0, 1]


def test_callbacks_see_which_way_a_metric_is_better(tmp_path):
    model = network(margin_loss, metrics=[AllTargetsAccuracy(), AnyTargetAccuracy()])
    for name in ("accuracy", "almost"):
        best = keras.callbacks.ModelCheckpoint(tmp_path / "m.keras", f"val_{name}", save_best_only=True)
        stop = keras.callbacks.EarlyStopping(f"val_{name}", patience=1)
        data = RNG.uniform(size=(6, 6, 5)), LABELS
        model.fit(*data, validation_data=data, epochs=1, callbacks=[best, stop], verbose=0)
        assert best.monitor_op(2.0, 1.0) and stop.monitor_op(2.0, 1.0)


MODULES = [name for _, name, _ in pkgutil.iter_modules(capsules.__path__) if not name.endswith("_test")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_right(name):
    module = importlib.import_module(f"capsules.{name}")
    names = {"keras": keras} | {public: getattr(capsules, public) for public in capsules.__all__}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def test_every_public_layer_loss_and_metric_has_an_example():
    for name in capsules.__all__:
        thing = getattr(capsules, name)
        if callable(thing) and name not in ("Conv2D", "squash", "exponential_squash", "length"):
            assert ">>> " in (thing.__doc__ or ""), name
