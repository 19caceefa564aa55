"""Losses and metrics in Keras' hands: forms of labels, refusals, weights, devices, saving, callbacks, docstrings."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import capsules
from capsules import AllTargetsAccuracy, Length, MarginLoss, margin_loss
from capsules.losses import label_rows, reconstruction_loss, sigmoid_loss, softmax_loss

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
def test_every_form_of_labels_gives_the_same_loss_of_each_example(loss):
    for form in (LABELS, LABELS[:, None], LABELS.astype(np.uint8), LABELS.astype(float), ONE_HOT > 0):
        values = np.asarray(loss(form, LENGTHS))
        assert values.shape == (6,)
        np.testing.assert_allclose(values, loss(ONE_HOT, LENGTHS), rtol=1e-6)


def test_a_mask_takes_a_label_for_each_example():
    with pytest.raises(ValueError, match="a label for each of the 6 examples"):
        capsules.Mask()(keras.ops.ones((6, 4, 2)), keras.ops.convert_to_tensor([1]))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, r"from 0 to 3.*Received 4 as the label of example 0"),
        (LABELS - 1, r"from 0 to 3.*Received -1 as the label of example 1"),
        (LABELS + 0.5, r"whole numbers from 0 to 3.*Received 3\.5"),
        (LABELS.astype(np.uint64) + 2**63, r"whole numbers from 0 to 3"),
        (np.where(LABELS == 1, np.nan, LABELS), r"Received nan as the label of example 2"),
        (ONE_HOT * 2, "one-hot, multi-hot or soft rows"),
        (ONE_HOT - 0.1, "one-hot, multi-hot or soft rows"),
        (np.stack([LABELS, LABELS], axis=1), r"different within an image\. Received \[3 3\]"),
        (np.zeros((6, 5)), r"Received the shape: \(6, 5\)"),
        (LABELS[:1], r"each of the 6 examples\. Received: 1"),
        (LABELS[:5], r"each of the 6 examples\. Received: 5"),
        (ONE_HOT[:1], r"each of the 6 examples\. Received: 1"),
        (ONE_HOT[None], r"Received the shape: \(1, 6, 4\)"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(labels, words):
    for function in (margin_loss, capsules.metrics.all_targets_right):
        with pytest.raises(ValueError, match=words):
            function(labels, LENGTHS)


def test_whole_numbers_in_rows_of_two_are_refused_for_two_classes():
    for function in (margin_loss, capsules.metrics.all_targets_right):
        with pytest.raises(ValueError, match="could be one-hot rows or two labels"):
            function(np.array([[0, 1], [1, 0]]), LENGTHS[:2, :2])


SOFT = (0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]).astype(np.float32)  # as MixUp and CutMix make them


def test_the_margin_loss_of_soft_labels_is_the_mixture_of_the_losses():
    mixed = 0.7 * np.asarray(margin_loss(ONE_HOT, LENGTHS)) + 0.3 * np.asarray(margin_loss(ONE_HOT[::-1], LENGTHS))
    np.testing.assert_allclose(margin_loss(SOFT, LENGTHS), mixed, rtol=1e-5)
    model = network(MarginLoss(), metrics=[AllTargetsAccuracy()], run_eagerly=True)
    model.fit(RNG.uniform(size=(6, 6, 5)), SOFT, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("labels", [SOFT, 0.9 * ONE_HOT + 0.025], ids=["mixed", "smoothed"])
def test_the_target_of_a_soft_row_is_its_largest_number(labels):
    right = capsules.metrics.all_targets_right
    np.testing.assert_array_equal(right(labels, LENGTHS), right(LABELS, LENGTHS))


def test_several_labels_of_an_image_are_a_multi_hot_row():
    pairs = np.stack([LABELS, (LABELS + 1) % 4], axis=1)
    rows = np.maximum(ONE_HOT, np.roll(ONE_HOT, 1, axis=1))
    np.testing.assert_array_equal(label_rows(pairs, 4), rows)
    np.testing.assert_array_equal(label_rows(pairs.astype(float), 4), rows)


def test_the_constants_of_the_margin_loss_are_arguments():
    expected = ONE_HOT * np.maximum(0, 0.8 - LENGTHS) ** 2 + 0.3 * (1 - ONE_HOT) * np.maximum(0, LENGTHS - 0.2) ** 2
    loss = MarginLoss(0.8, 0.2, 0.3, reduction=None)
    np.testing.assert_allclose(loss(LABELS, LENGTHS), expected.sum(axis=1), rtol=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    np.testing.assert_allclose(again(LABELS, LENGTHS), expected.sum(axis=1), rtol=1e-5)


def test_a_compiled_function_says_which_labels_it_takes_before_a_weight_changes():
    model = network(margin_loss)
    before = model.get_weights()
    with pytest.raises(tf.errors.InvalidArgumentError, match="Labels.* must be .*from 0 to "):
        model.fit(RNG.uniform(size=(6, 6, 5)), LABELS + 1, verbose=0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_function_that_xla_compiles_cannot_raise_and_gives_nan():
    model = network(margin_loss, metrics=[AllTargetsAccuracy()], jit_compile=True)
    logs = model.evaluate(RNG.uniform(size=(6, 6, 5)), LABELS + 1, verbose=0, return_dict=True)
    assert np.isnan(logs["loss"]) and np.isnan(logs["accuracy"])


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"predictions \[batch, classes\].*Received the shape: \(6, 4, 1\)"):
        margin_loss(LABELS, LENGTHS[..., None])
    with pytest.raises(ValueError, match="'sum', 'mean'.*Received: 'max'"):
        MarginLoss(over_classes="max")
    with pytest.raises(ValueError, match=r"Received: \(2, 3, 3, 1\) and \(2, 4, 3, 1\)"):
        reconstruction_loss(np.zeros((2, 4, 3, 1)), np.zeros((2, 3, 3, 1)))


@pytest.mark.parametrize("loss", [MarginLoss(over_classes="mean"), sigmoid_loss])
def test_a_compiled_model_loads_with_its_loss_and_metrics(loss, tmp_path):
    model = network(loss, metrics=[AllTargetsAccuracy(), capsules.metrics.all_targets_right], run_eagerly=True)
    images = RNG.uniform(size=(6, 6, 5))
    expected = model.evaluate(images, ONE_HOT, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(images, ONE_HOT, verbose=0, return_dict=True) == pytest.approx(expected)


def test_all_targets_count_and_ties_go_to_the_first_as_in_argmax():
    targets = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    scores = np.array([[3, 2, 1, 0], [3, 2, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 1, 1]], np.float32)
    assert np.asarray(capsules.metrics.all_targets_right(targets, scores)).tolist() == [1, 0, 0, 0, 1]


def test_every_public_layer_loss_and_metric_has_an_example_that_is_right():
    kinds = keras.layers.Layer, keras.losses.Loss, keras.metrics.Metric
    public = {name: getattr(capsules, name) for name in capsules.__all__}
    for name, thing in public.items():
        if isinstance(thing, type) and issubclass(thing, kinds):
            assert ">>> " in (thing.__doc__ or ""), name
    for _, name, _ in pkgutil.iter_modules(capsules.__path__):
        if not name.endswith("_test"):
            module = importlib.import_module(f"capsules.{name}")
            assert doctest.testmod(module, extraglobs={"keras": keras} | public).failed == 0


def test_lambdas_of_public_functions_load_again(tmp_path):
    functions = (capsules.squash, capsules.exponential_squash, capsules.length)
    model = keras.Sequential([keras.Input((5, 4)), *map(keras.layers.Lambda, functions)])
    model.save(tmp_path / "model.keras")
    vectors = RNG.uniform(size=(2, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(vectors), model(vectors))


def test_float64_is_computed_in_float64_or_refused(on_backend):
    code = "import capsules\ntry: capsules.Capsules(4, dtype='float64')\nexcept ValueError as error: print(error)"
    assert "unless jax_enable_x64 is set" in on_backend("jax", code)
    images = RNG.uniform(size=(3, 6, 5))
    single, double = (capsules.Capsules(4, 3, dtype=dtype) for dtype in ("float32", "float64"))
    single(images.astype(np.float32)), double(images)
    single.set_weights(double.get_weights())
    difference = np.abs(np.asarray(double(images)) - np.asarray(single(images.astype(np.float32))))
    assert double(images).dtype == "float64" and 1e-10 < difference.max() < 1e-5
    assert margin_loss(LABELS, LENGTHS.astype(np.float64)).dtype == "float64"


def test_numbers_of_numpy_are_numbers():
    number = np.int64
    layer = capsules.Capsules(number(4), number(3), routing=number(2))
    assert layer(RNG.uniform(size=(2, 6, 5)).astype(np.float32)).shape == (2, 4, 3)
    assert capsules.PrimaryCapsules(number(2), number(4), number(3)).types == 2
    assert type(layer.get_config()["num_capsules"]) is int
