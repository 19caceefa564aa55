"""The networks in Keras' hands: compile, fit, evaluate, save, export, and what they refuse."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from capsules import AllTargetsAccuracy, MarginLoss
from models import MODELS, make_model

SMALL = {"num_prime_capsules": 2, "conv_channels": 8}
SHAPES = {"baseline": (16, 16, 1), "baseline_paper": (8, 8, 1)}
RNG = np.random.RandomState(9)
IMAGES = RNG.uniform(size=(8, 20, 20, 1)).astype(np.float32)
LABELS = np.array([3, 0, 9, 1, 2, 2, 5, 9])
ONE_HOT = np.eye(10, dtype=np.float32)[LABELS]


def make(name: str = "capsule", **options) -> keras.Model:
    keras.utils.set_random_seed(2)
    return make_model(name, SHAPES.get(name, (20, 20, 1)), 10, SMALL | options)


def fitted(labels, images=IMAGES, fit=None, **options) -> tuple[dict, list]:
    """The logs of one step of SGD and the weights after it."""
    model = make()
    model.compile(keras.optimizers.SGD(0.1), **options)
    logs = model.fit(images, labels, batch_size=8, shuffle=False, verbose=0, **(fit or {})).history
    return {name: values[0] for name, values in logs.items()}, model.get_weights()


@pytest.fixture(scope="module")
def compiled():
    """A network that no test trains."""
    model = make()
    model.compile("sgd")
    return model


def test_one_hot_labels_teach_what_integers_teach():
    (logs, weights), (expected_logs, expected) = fitted(ONE_HOT), fitted(LABELS)
    assert logs == pytest.approx(expected_logs)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, r"from 0 to 9\. Received \[10\] as the label of example 2"),
        (np.where(LABELS == 5, -1, LABELS), r"Received \[-1\] as the label of example 6"),
        (LABELS + 0.5, r"whole numbers from 0 to 9\. Received \[3\.5\]"),
        (
            np.maximum(ONE_HOT, ONE_HOT[::-1]),
            r"must be one-hot\. Give several digits as integers \[batch, num_targets\]",
        ),
        (ONE_HOT * 0.9, "must be one-hot"),
        (np.stack([LABELS, LABELS], axis=1), r"must differ\. Received \[3 3\]"),
        (np.zeros((8, 11)), r"one-hot \[batch, 10\]\. Received the shape: \(8, 11\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_labels_that_are_no_class_are_refused_by_name(compiled, method, labels, words):
    with pytest.raises(ValueError, match=words):
        getattr(compiled, method)(IMAGES, labels)


def test_labels_of_a_data_set_cannot_be_seen_and_give_nan():
    model = make()
    model.compile("sgd")
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS + 1)).batch(8)
    assert np.isnan(model.evaluate(data, verbose=0, return_dict=True)["loss"])


def test_validation_data_are_checked_too():
    with pytest.raises(ValueError, match="Received \\[10\\]"):
        fitted(LABELS, fit={"validation_data": (IMAGES, LABELS + 1)})


def test_images_of_bytes_bring_a_warning_and_good_ones_none():
    with pytest.warns(UserWarning, match=r"CapsNet expects images in \[0, 1\]. Received values from .* to 2\d\d"):
        fitted(LABELS, IMAGES * 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fitted(LABELS)


def test_loss_and_metrics_of_compile_are_honoured():
    own, _ = fitted(LABELS)
    logs, _ = fitted(
        LABELS, loss=MarginLoss("sum"), metrics=["sparse_categorical_accuracy", AllTargetsAccuracy(name="all_right")]
    )
    assert logs["classification"] == pytest.approx(20 * own["classification"], rel=1e-5)
    assert logs["loss"] == pytest.approx(logs["classification"] + own["reconstruction"], rel=1e-5)
    assert logs["sparse_categorical_accuracy"] == logs["all_right"] == logs["accuracy"]


def test_examples_of_weight_zero_do_not_teach():
    weights = (LABELS != 9).astype(np.float32)
    others = np.where(LABELS == 9, 4, LABELS)
    for options in ({}, {"loss": MarginLoss()}):
        ends = [fitted(labels, fit={"sample_weight": weights}, **options)[1] for labels in (LABELS, others)]
        for one, other in zip(*ends, strict=True):
            np.testing.assert_array_equal(one, other)


def test_class_weights_need_one_label_an_image():
    with pytest.raises(ValueError, match="class_weight needs one label"):
        fitted(np.stack([LABELS, (LABELS + 1) % 10], axis=1), fit={"class_weight": {0: 2.0}})
    weights = {label: float(label != 9) for label in range(10)}
    _, weighted = fitted(LABELS, fit={"class_weight": weights})
    _, expected = fitted(LABELS, fit={"sample_weight": (LABELS != 9).astype(np.float32)})
    for one, other in zip(weighted, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_regularizer_of_a_layer_joins_the_loss(compiled):
    plain = compiled.test_on_batch(IMAGES, LABELS, return_dict=True)["loss"]
    model = make()
    model.conv1.kernel.regularizer = keras.regularizers.L2(0.01)
    model.compile("sgd")
    expected = plain + 0.01 * np.sum(np.square(model.conv1.kernel))
    assert model.test_on_batch(IMAGES, LABELS, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)


def test_two_digits_an_image_reach_the_loss_and_the_metrics_as_rows():
    own, _ = fitted(np.stack([LABELS, (LABELS + 1) % 10], axis=1))
    options = {"loss": MarginLoss(), "metrics": [AllTargetsAccuracy(name="all_right")]}
    logs, _ = fitted(np.stack([LABELS, (LABELS + 1) % 10], axis=1), **options)
    assert logs["classification"] == pytest.approx(own["classification"], rel=1e-5)
    assert logs["all_right"] == logs["accuracy"]


def test_callbacks_maximise_the_accuracy_and_a_compiled_network_loads(tmp_path):
    model = make()
    model.compile(keras.optimizers.SGD(0.1), loss=MarginLoss("sum"))
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "val_accuracy", save_best_only=True)
    stop = keras.callbacks.EarlyStopping("val_classification", patience=1)
    model.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), callbacks=[best, stop], verbose=0)
    assert best.monitor_op(2.0, 1.0) and stop.monitor_op(1.0, 2.0)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    expected = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert loaded.evaluate(IMAGES, LABELS, verbose=0, return_dict=True) == pytest.approx(expected)


@pytest.mark.parametrize("name", MODELS)
def test_images_of_another_size_are_refused(name):
    model = make(name)
    rows, columns, depth = model.image_shape
    assert model.input_shape == (None, rows, columns, depth)
    for shape in ((2 * rows, columns, depth), (rows, 2 * columns, depth), (rows, columns, 2), (rows, columns)):
        for call in (model, model.predict_on_batch):
            with pytest.raises(ValueError, match=r"expected (shape|min_ndim|ndim)=.*found (shape|ndim)="):
                call(np.zeros((2, *shape), np.float32))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ((20, 20), 10),
            r"CapsNet: image_shape must be 3 whole numbers \(rows, columns, depth\)\. Received: \(20, 20\)",
        ),
        ((20, 10), "image_shape must be 3 whole numbers"),
        (((20, 20, 0), 10), "1 or more. Received: 0"),
        (((20, 20, 1.0), 10), r"1 or more. Received: 1\.0"),
        (((20, 20, 1), 0), "num_classes must be a whole number of 1 or more. Received: 0"),
        (((20, 20, 1), "10"), "Received: '10'"),
        (((20, 20, 1), 10, {"padding": "full"}), "padding is one of VALID, SAME"),
    ],
)
def test_impossible_arguments_get_a_sentence(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_model("capsule", *arguments)


@pytest.mark.parametrize("name", MODELS)
def test_every_variable_is_in_a_checkpoint_of_tensorflow(name, tmp_path):
    model = make(name)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    saved = [key for key, _ in tf.train.list_variables(path) if key.startswith("model/")]
    assert len(saved) >= len(model.weights)
    before = model.get_weights()
    model.set_weights([weight + 1 for weight in before])
    tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", MODELS)
def test_the_dtype_policy_reaches_every_layer_and_is_kept(name, tmp_path):
    shape = SHAPES.get(name, (20, 20, 1))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        make(name).save(tmp_path / "m.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    given = type(make(name))(shape, 10, SMALL, dtype="mixed_bfloat16")
    for model in (keras.models.load_model(tmp_path / "m.keras"), given):
        assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"mixed_bfloat16"}
        assert model(np.zeros((1, *shape), np.float32))["logits"].dtype == "float32"


@pytest.mark.parametrize("name", MODELS)
def test_the_image_format_of_the_users_keras_does_not_matter(name):
    images = np.zeros((1, *SHAPES.get(name, (20, 20, 1))), np.float32)
    expected = make(name)(images)["logits"]
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(make(name)(images)["logits"], expected)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_export_gives_a_saved_model_of_any_batch(tmp_path):
    model = make()
    model.compile("sgd")
    model.export(tmp_path / "net", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    np.testing.assert_allclose(loaded.serve(IMAGES[:3])["logits"], model(IMAGES[:3])["logits"], atol=1e-6)
