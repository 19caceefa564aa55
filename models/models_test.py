"""The networks: their sizes, gradients, saving, hparams, and the same losses on every backend."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from capsules import margin_loss
from models import MODELS, make_model
from models.efficient import architecture
from models.hparams import PRESETS, HParams
from models.optimizer import DecayToFloor, make_optimizer

TINY = HParams(num_prime_capsules=2, conv_channels=8)
SIZES = [
    ("capsule", "", (28, 28, 1), 8_215_728),
    ("capsule", "remake=false", (28, 28, 1), 6_804_384),
    ("capsule", PRESETS["cifar10"], (24, 24, 3), 22_476_448),
    ("capsule", "", (36, 36, 1), 11_361_968),
    ("capsule", PRESETS["svhn"] + ",remake=false", (32, 32, 3), 1_004_976),
    ("efficient", "remake=false", (28, 28, 1), 161_824),
    ("efficient", "", (28, 28, 1), 161_824 + 1_411_344),
    ("efficient", "remake=false", (36, 36, 1), 154_656),
    ("efficient", "remake=false", (48, 48, 2), 151_664),  # for the five classes of smallNORB, here and below
    ("efficient", "", (48, 48, 2), 151_664 + 229_570),
    ("efficient", "remake=false", (32, 32, 3), 161_824 + 2 * 5 * 5 * 32 + (5 * 5 - 9 * 9) * 128),
    ("matrix", "", (28, 28, 1), 63_260),
    ("baseline", "", (28, 28, 1), 7_495_946),
    ("baseline_paper", "", (28, 28, 1), 35_445_522),
]


@pytest.mark.parametrize(("name", "override", "shape", "weights"), SIZES)
def test_number_of_weights(name, override, shape, weights):
    classes = 5 if shape == (48, 48, 2) else 10
    assert make_model(name, shape, classes, HParams().override(override)).count_weights() == weights


@pytest.mark.parametrize(
    ("shape", "strides", "last_map"),
    [
        ((28, 28, 3), (1, 1, 1, 2), (9, 9)),  # MNIST's network, but for the depth
        ((40, 40, 1), (1, 1, 2, 2), (7, 7)),
        ((96, 64, 2), (1, 2, 2, 2), (10, 6)),
        ((300, 300, 3), (2, 2, 2, 2), (17, 17)),
        ((11, 30, 1), (1, 1, 1, 2), (1, 10)),
    ],
)
def test_another_image_size_gets_a_derived_efficient_network(shape, strides, last_map):
    derived = architecture(shape)
    assert (derived.strides, derived.primary_kernel) == (strides, last_map)
    model = make_model("efficient", shape, 3, HParams(remake=False))
    assert model.output["capsules"].shape == (None, 3, 16) and model.primary.output.shape == (None, 16, 8)


def batch(shape=(20, 20, 1), targets=1):
    random = np.random.RandomState(3)
    labels = np.stack([random.permutation(10)[:targets] for _ in range(4)]).astype(np.int32)
    return random.uniform(size=(4, *shape)).astype(np.float32), labels


def small(**hparams):
    """A network that JAX compiles soon: each atom of a primary capsule is a product."""
    sizes = {"num_prime_capsules": 2, "conv_channels": 4, "primary_atoms": 2, "class_atoms": 4, "routing": 2}
    return make_model("capsule", (20, 20, 1), 10, sizes | hparams)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_loads_and_every_weight_learns_by_fit(name, tmp_path):
    side = {"efficient": 12, "matrix": 17, "baseline": 13, "baseline_paper": 8}.get(name, 20)
    images, labels = batch((side, side, 1))
    model = make_model(name, images.shape[1:], 10, replace(TINY, routing=1) if name == "matrix" else TINY)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images)["logits"], model(images)["logits"])
    rate = {"matrix": 1e-2, "baseline_paper": 1e-4}.get(name, 1e-3)
    loaded.compile(keras.optimizers.Adam(rate), run_eagerly=True)  # as a graph would, which takes long to make
    if name == "baseline_paper":
        loaded.get_layer("dropout").rate = 0.0  # with it, a few steps may raise the loss
    history = loaded.fit(images, labels[:, 0], epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    for variable, old in zip(loaded.trainable_variables, model.trainable_variables, strict=True):
        assert np.isfinite(variable).all() and np.any(variable != old.numpy()), variable.path
    right = np.argmax(loaded(images)["logits"], axis=1) == labels[:, 0]
    assert loaded.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"] == right.mean()


def test_scores_are_what_the_loss_means():
    logits = np.array([[2.0, 0.0, -1.0]], np.float32)
    expected = {
        "margin": np.clip(logits, 0, 1),
        "softmax": np.exp(logits) / np.exp(logits).sum(),
        "sigmoid": 1 / (1 + np.exp(-logits)),
    }
    for loss, values in expected.items():
        baseline = make_model("baseline", (16, 16, 1), 3, HParams(loss_type=loss))
        np.testing.assert_allclose(baseline.scores(logits), values, atol=1e-6)
    capsule = make_model("capsule", (20, 20, 1), 3, HParams(num_prime_capsules=1, conv_channels=4, loss_type="softmax"))
    np.testing.assert_array_equal(capsule.scores(logits), logits)  # lengths already


@pytest.mark.parametrize(("name", "smallest"), [("capsule", 17), ("baseline", 13), ("matrix", 17), ("efficient", 11)])
def test_an_image_too_small_is_refused_with_the_size_that_is_needed(name, smallest):
    hparams = HParams(num_prime_capsules=1, conv_channels=2, remake=False)
    with pytest.raises(ValueError, match=f"images of {smallest}x{smallest} or larger.*Received: {smallest - 1}x30"):
        make_model(name, (smallest - 1, 30, 1), 2, hparams)
    make_model(name, (smallest, smallest, 1), 2, hparams)
    if name in ("capsule", "baseline"):
        make_model(name, (smallest - 1, 9, 1), 2, replace(hparams, padding="SAME"))


def test_the_override_takes_its_types_from_the_defaults():
    changed = HParams().override("num_prime_capsules=64,padding=SAME,leaky=True,remake=false,learning_rate=1e-4")
    assert changed == HParams(num_prime_capsules=64, padding="SAME", leaky=True, remake=False, learning_rate=1e-4)
    assert HParams().override(None) == HParams().override("") == HParams()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("primes=3", "Unknown hparam 'primes'. The hparams are: .*num_prime_capsules"),
        ("routing=2.5", "routing must be a whole number greater than 0. Received: '2.5'"),
        ("leaky=yes", "leaky must be true or false"),
        ("learning_rate=fast", "learning_rate must be a number"),
        ("routing=1,routing=2", "each once"),
        ("routing", "name=value"),
        ("routing=1,", "name=value"),
        ("routing=1=2", "whole number"),
        ("padding=FULL", "padding must be one of VALID, SAME"),
        ("routing=0", "greater than 0"),
        ("learning_rate=nan", "greater than 0"),
        ("routing_scale=-1", "routing_scale must be a number greater than 0 or one of sqrt, learnt"),
        ("average=1", "average must be a number greater than 0 and less than 1"),
    ],
)
def test_a_wrong_override_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        HParams().override(text)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (DecayToFloor(), {0: 1e-3, 1000: 1e-3 * 0.96**0.5, 2000: 0.96e-3, 10**6: 1e-6}),
        (
            DecayToFloor(**vars(HParams().override(PRESETS["efficient_mnist"]))),  # falls once an epoch
            {0: 5e-4, 3749: 5e-4, 3750: 0.97 * 5e-4, 10**6: 5e-5},
        ),
        (
            DecayToFloor(learning_rate=0.002, schedule="linear", decay_steps=1000, warmup_steps=100),
            {0: 2e-5, 49: 0.001 * 0.951, 99: 0.002 * 0.901, 500: 0.001, 1000: 1e-6, 2000: 1e-6},
        ),
    ],
    ids=["smooth", "staircase", "linear after a warm-up"],
)
def test_the_learning_rate_falls_to_its_floor(rate, expected):
    np.testing.assert_allclose([float(rate(step)) for step in expected], [*expected.values()], rtol=1e-4)


def test_averaged_weights_are_the_moving_average():
    (images, labels), model = batch(), small(average=0.5)
    model.compile(make_optimizer(model.hparams), run_eagerly=True)
    weights = []
    for _ in range(3):
        model.train_on_batch(images, labels)
        weights.append(model.get_weights())
    model.optimizer.finalize_variable_values(model.trainable_variables)
    for now, (first, second, third) in zip(model.get_weights(), zip(*weights, strict=True), strict=True):
        np.testing.assert_allclose(now, 0.25 * first + 0.25 * second + 0.5 * third, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "preset", "shape", "targets"),
    [("capsule", "efficient_multimnist", (36, 36, 1), 2), ("efficient", "efficient_norb", (48, 48, 2), 1)],
)
def test_the_loss_of_efficient_capsnet_suits_every_capsule_network(name, preset, shape, targets):
    images, labels = batch(shape, targets)
    model = make_model(name, shape, 10, HParams(num_prime_capsules=1, conv_channels=4).override(PRESETS[preset]))
    outputs = model(images)
    costs = model.costs(outputs, images, labels)
    rows = np.eye(10)[labels].sum(axis=1)
    np.testing.assert_allclose(costs["classification"], np.mean(margin_loss(rows, outputs["logits"])), rtol=1e-5)
    errors = [np.mean((np.asarray(drawn) - images) ** 2) for drawn in model.remake(outputs, labels)]
    np.testing.assert_allclose(costs["reconstruction"], 0.392 / targets * sum(errors), rtol=1e-4)


ON_ANOTHER_BACKEND = """
import sys, keras
from models.models_test import losses
print(keras.backend.backend(), *(f"{loss:.9f}" for loss in losses(sys.argv[1])))
"""


def losses(folder):
    """The losses of four steps from the weights in a folder."""
    (images, labels), model = batch(), small()
    model.load_weights(f"{folder}/start.weights.h5")
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8))
    return [float(model.train_on_batch(images, labels, return_dict=True)["loss"]) for _ in range(4)]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_computes_the_losses_that_tensorflow_computes(backend, tmp_path, on_backend):
    small().save_weights(tmp_path / "start.weights.h5")
    name, *received = on_backend(backend, ON_ANOTHER_BACKEND, tmp_path).split()
    expected = losses(tmp_path)
    assert name == backend and expected[3] < expected[0]
    np.testing.assert_allclose(np.array(received, float), expected, rtol=1e-5)
