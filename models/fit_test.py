"""The networks in Keras' hands: compile, fit, evaluate, save, export, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from capsules import AllTargetsAccuracy, DynamicRouting, EMRouting, MarginLoss
from models import MODELS, CapsNet, make_model, network_class
from models.hparams import HParams

SMALL = {"num_prime_capsules": 2, "conv_channels": 8, "primary_atoms": 2, "class_atoms": 4}
SHAPES = {"baseline": (16, 16, 1), "baseline_paper": (8, 8, 1)}
RNG = np.random.RandomState(9)
IMAGES = RNG.uniform(size=(8, 20, 20, 1)).astype(np.float32)
LABELS = np.array([3, 0, 9, 1, 2, 2, 5, 9])
ONE_HOT = np.eye(10, dtype=np.float32)[LABELS]


def make(name: str = "capsule", **options) -> keras.Model:
    keras.utils.set_random_seed(2)
    if name == "matrix":
        options = {"routing": 1} | options  # the others take longer
    return make_model(name, SHAPES.get(name, (20, 20, 1)), 10, SMALL | options)


def fitted(labels, images=IMAGES, fit=None, **options) -> tuple[dict, list]:
    """The logs of one step of SGD and the weights after it."""
    model = make()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True, **options)  # as a graph would, but at once
    logs = model.fit(images, labels, batch_size=8, shuffle=False, verbose=0, **(fit or {})).history
    return {name: values[0] for name, values in logs.items()}, model.get_weights()


@pytest.fixture(scope="module")
def compiled():
    """A network that no test trains."""
    model = make()
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def taught():
    """What a step teaches with integers as labels."""
    return fitted(LABELS)


def test_one_hot_labels_teach_what_integers_teach(taught):
    (logs, weights), (expected_logs, expected) = fitted(ONE_HOT), taught
    assert logs == pytest.approx(expected_logs)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_labels_of_another_form_are_refused_before_a_weight_changes(compiled):
    with pytest.raises(ValueError, match=r"rows \[batch, 10\]\. Received the shape: \((8|None), 11\)"):
        compiled.fit(IMAGES, np.zeros((8, 11)), verbose=0)
    model = make_model("capsule", (20, 20, 1), 2, SMALL)
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"one-hot rows or two labels of an image"):
        model.fit(IMAGES, np.stack([LABELS % 2, 1 - LABELS % 2], axis=1), verbose=0)


@pytest.mark.parametrize("method", ["__call__", "predict", "fit"])
def test_images_of_bytes_are_refused_with_what_to_do(compiled, method):
    labels = (LABELS,) if method == "fit" else ()
    with pytest.raises(ValueError, match=r"images of floats in \[0, 1\]\. Received: uint8\. Divide by 255"):
        getattr(compiled, method)((IMAGES * 255).astype(np.uint8), *labels)


def test_loss_and_metrics_of_compile_are_honoured(taught):
    own, _ = taught
    logs, _ = fitted(
        LABELS, loss=MarginLoss(), metrics=["sparse_categorical_accuracy", AllTargetsAccuracy(name="all_right")]
    )
    margin = own["loss"] - own["reconstruction"]
    assert logs["loss"] == pytest.approx(20 * margin + own["reconstruction"], rel=1e-5)
    assert logs["sparse_categorical_accuracy"] == logs["all_right"] == own["accuracy"]


def test_examples_of_weight_zero_do_not_teach():
    weights = (LABELS != 9).astype(np.float32)
    others = np.where(LABELS == 9, 4, LABELS)
    ends = [fitted(labels, fit={"sample_weight": weights})[1] for labels in (LABELS, others)]
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_digits_an_image_reach_the_loss_and_the_metrics_as_rows():
    pairs = np.stack([LABELS, (LABELS + 1) % 10], axis=1)
    own, _ = fitted(pairs)
    logs, _ = fitted(pairs, loss=MarginLoss(over_classes="mean"), metrics=[AllTargetsAccuracy(name="all_right")])
    assert logs["loss"] - logs["reconstruction"] == pytest.approx(2 * (own["loss"] - own["reconstruction"]), rel=1e-4)
    assert logs["all_right"] == own["accuracy"]


def test_callbacks_maximise_the_accuracy_and_a_compiled_network_loads(tmp_path):
    model = make()
    model.compile(keras.optimizers.SGD(0.1), loss=MarginLoss(), run_eagerly=True)
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "val_accuracy", save_best_only=True)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1)
    model.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), callbacks=[best, stop], verbose=0)
    assert best.monitor_op(2.0, 1.0) and stop.monitor_op(1.0, 2.0)
    loaded = keras.models.load_model(tmp_path / "best.keras")
    expected = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert loaded.evaluate(IMAGES, LABELS, verbose=0, return_dict=True) == pytest.approx(expected)


def test_features_can_be_taken_out(compiled):
    model = compiled
    features = keras.Model(model.inputs[0], model.get_layer("conv_capsule1").output)
    np.testing.assert_allclose(features(IMAGES), model.primary_capsules(IMAGES), atol=1e-6)
    assert set(model.predict(IMAGES, verbose=0)) == {"capsules", "lengths", "logits"}


def test_networks_take_keyword_arguments_and_any_routing(tmp_path):
    model = CapsNet((20, 20, 1), 3, filters=8, primary_types=2, atoms=4, routing=DynamicRouting(2, scale="sqrt"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES)["lengths"], model(IMAGES)["lengths"])
    assert loaded.classes.routing.scale == "sqrt" and loaded.hparams.routing_scale == "sqrt"
    assert make_model("capsule", (20, 20, 1), 3, loaded.hparams).count_weights() == model.count_weights()
    with pytest.raises(ValueError, match="efficient has no hparam routing"):
        make_model("efficient", (20, 20, 1), 3, {"routing": 5})
    with pytest.raises(ValueError, match="The networks are: capsule, efficient"):
        make_model("capsules", (20, 20, 1), 3)


@pytest.mark.parametrize("routing", ["em", "inverted", "attention", "uniform"])
def test_a_routing_named_by_hparams_is_saved_and_described(routing, tmp_path):
    hparams = HParams(routing_type=routing, num_prime_capsules=2, conv_channels=8, remake=False)
    model = make_model("capsule", (20, 20, 1), 3, hparams)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    outputs = loaded(IMAGES)
    np.testing.assert_array_equal(outputs["logits"], model(IMAGES)["logits"])
    assert ("activations" in outputs) == (routing in ("em", "inverted")) == ("lengths" not in outputs)
    assert 0 <= np.min(outputs["logits"]) <= np.max(outputs["logits"]) <= 1
    assert loaded.hparams == hparams
    with pytest.raises(ValueError, match=f"The routing {routing} has no hparam routing_scale"):
        make_model("capsule", (20, 20, 1), 3, HParams(routing_type=routing, routing_scale="sqrt"))


def test_a_routing_with_other_arguments_than_hparams_have_is_kept_as_a_file_only():
    model = CapsNet((20, 20, 1), 3, filters=8, primary_types=2, routing=EMRouting(2, 0.5), decoder=False)
    with pytest.raises(ValueError, match="no hparams for EMRouting"):
        model.save_to_preset("folder")
    with pytest.raises(ValueError, match="no hparams for primary_scale"):
        CapsNet((20, 20, 1), 3, filters=8, primary_types=2, primary_scale=1.0).save_to_preset("folder")


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((20, 20), 10, r"CapsNet: image_shape must be 3 whole numbers \(rows, columns, depth\)\. Received: \(20, 20\)"),
        ((20, 20, 0), 10, "1 or more. Received: 0"),
        ((20, 20, 1), 0, "num_classes must be a whole number of 1 or more. Received: 0"),
    ],
)
def test_impossible_arguments_get_a_sentence(shape, classes, words):
    with pytest.raises(ValueError, match=words):
        make_model("capsule", shape, classes)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_refuses_other_sizes_is_in_checkpoints_and_ignores_the_users_image_format(name, tmp_path):
    model = make(name)
    rows, columns, depth = model.image_shape
    assert model.input_shape == (None, rows, columns, depth)
    for shape in ((2 * rows, columns, depth), (rows, 2 * columns, depth), (rows, columns, 2), (rows, columns)):
        with pytest.raises(ValueError, match=r"expected .*found"):
            model(np.zeros((2, *shape), np.float32))

    images = RNG.uniform(size=(1, rows, columns, depth)).astype(np.float32)
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(make(name)(images)["logits"], model(images)["logits"])
    finally:
        keras.config.set_image_data_format("channels_last")

    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    before = model.get_weights()
    model.set_weights([weight + 1 for weight in before])
    tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", MODELS)
def test_the_dtype_policy_reaches_every_layer_and_is_kept(name):
    shape = SHAPES.get(name, (20, 20, 1))
    given = network_class(name)(shape, 10, dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    for model in (given, type(given).from_config(given.get_config())):
        inside = [layer for layer in model.layers if layer.weights]
        assert {layer.dtype_policy.name for layer in inside} == {"mixed_bfloat16"}
    assert given(np.zeros((1, *shape), np.float32))["logits"].dtype == "float32"


def test_the_dtype_policy_of_keras_is_that_of_a_network():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_config()["dtype"] == model.conv1.dtype_policy.name == "mixed_bfloat16"
