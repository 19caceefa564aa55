"""Efficient-CapsNet: the original's golden values, and the networks of the paper in slow, obvious NumPy."""

from pathlib import Path

import keras
import numpy as np
import pytest

from models import make_model
from models.efficient import architecture
from models.hparams import HParams

GOLDEN = Path(__file__).with_name("testdata") / "efficient_smallnorb.npz"
RNG = np.random.RandomState(11)


def as_2021(named):
    """Our variables in the layout of the code of 2021, by kind: lists in the order of the layers."""
    kinds = {}
    for name, variable in named.items():
        layer, kind = name.rsplit("/", 1)
        if not name.startswith("recons/"):
            kinds.setdefault(("classes " if layer == "classes" else "") + kind, []).append(variable.numpy())
    kernel, bias = kinds["classes weights"][0], kinds["classes biases"][0]
    inputs, atoms_in, _ = kernel.shape
    return kinds | {"W": kernel.reshape(inputs, atoms_in, len(bias), -1).transpose(2, 0, 1, 3), "b": bias}


def convolved(images, kernel, stride):
    rows, columns, _, _ = kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(images, (rows, columns), axis=(1, 2))
    return np.einsum("byxcij,ijco->byxo", windows[:, ::stride, ::stride], kernel, optimize=True)


def squashed(vectors):
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (1 - np.exp(-norm)) * vectors / norm


def numpy_network(images, weights, sizes):
    """The class capsules of images, as the paper describes them."""
    hidden = images.astype(np.float64)
    for index in range(4):
        hidden = convolved(hidden, weights["weights"][index], sizes.strides[index]) + weights["biases"][index]
        if sizes.norb:
            hidden = np.where(hidden > 0, hidden, 0.3 * hidden)
            mean, variance = hidden.mean((1, 2), keepdims=True), hidden.var((1, 2), keepdims=True)
        else:
            hidden = np.maximum(hidden, 0)
            mean, variance = weights["moving_mean"][index], weights["moving_variance"][index]
        hidden = (hidden - mean) / np.sqrt(variance + 1e-3) * weights["gamma"][index] + weights["beta"][index]
    rows, columns = sizes.primary_kernel
    kernel = weights["weights"][4][:, :, 0]  # [rows, columns, channels]
    primary = squashed(
        (np.einsum("byxc,yxc->bc", hidden[:, :rows, :columns], kernel) + weights["biases"][4]).reshape(-1, 16, 8)
    )
    votes = np.einsum("bia,oiad->boid", primary, weights["W"])
    logits = np.einsum("boid,bokd->boi", votes, votes) / np.sqrt(votes.shape[-1])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) + weights["b"]
    return squashed(np.einsum("boi,boid->bod", shares, votes))


def varied(model):
    """The model with every variable moved away from its start, the statistics of normalisation too."""
    for name, variable in model.named_variables().items():
        noise = 0.1 * RNG.standard_normal(variable.shape)
        variable.assign(np.abs(variable + noise) + 0.3 if "variance" in name else variable + noise)
    return model


@pytest.fixture(scope="module")
def golden():
    """The golden file and a network with its weights."""
    values = np.load(GOLDEN, allow_pickle=False)
    model = make_model("efficient", values["images"].shape[1:], 5, HParams(remake=False))
    released = {}
    for name in (name for name in values if name.startswith("weights/")):
        released.setdefault(name.rpartition("/")[2], []).append(values[name])
    named = model.named_variables()
    for ours, theirs in {"weights": "kernel", "biases": "bias", "gamma": "gamma", "beta": "beta"}.items():
        names = [name for name in named if name.endswith(ours) and not name.startswith("classes/")]
        for name, value in zip(names, released[theirs], strict=True):
            named[name].assign(value)
    ((kernel,), (bias,)) = released["W"], released["b"]
    named["classes/weights"].assign(kernel.transpose(1, 2, 0, 3).reshape(named["classes/weights"].shape))
    named["classes/biases"].assign(bias[..., 0])
    return values, model


def test_the_released_weights_give_the_originals_capsules_and_lengths(golden):
    values, model = golden
    outputs = model(values["images"])
    np.testing.assert_allclose(outputs["capsules"], values["capsules"], atol=1e-5)
    np.testing.assert_allclose(outputs["logits"], values["lengths"], atol=1e-5)
    np.testing.assert_array_equal(np.argmax(outputs["logits"], axis=1), values["labels"])


def test_the_numpy_network_is_the_originals_too(golden):
    values, model = golden
    expected = numpy_network(values["images"], as_2021(model.named_variables()), architecture((48, 48, 2)))
    np.testing.assert_allclose(expected, values["capsules"], atol=1e-5)


@pytest.mark.parametrize("shape", [(28, 28, 1), (22, 30, 3)])
def test_every_network_is_the_papers_formula(shape):
    model = varied(make_model("efficient", shape, 4, HParams(remake=False, class_atoms=6)))
    images = RNG.uniform(size=(2, *shape)).astype(np.float32)
    outputs = model(images)
    expected = numpy_network(images, as_2021(model.named_variables()), architecture(shape))
    np.testing.assert_allclose(outputs["capsules"], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["logits"], np.sqrt((expected**2).sum(-1) + 1e-7), atol=1e-5)


def test_the_decoder_of_smallnorb_doubles_and_convolves_and_loads_again(tmp_path):
    model = varied(make_model("efficient", (48, 48, 2), 5, HParams()))
    images = RNG.uniform(size=(1, 48, 48, 2)).astype(np.float32)
    outputs = model(images)
    drawn = model.remake(outputs, np.array([[3]]))[0]
    named = {name: variable.numpy() for name, variable in model.named_variables().items()}
    hidden = (np.asarray(outputs["capsules"]) * np.eye(5)[[3]][..., None]).reshape(1, 80)
    hidden = (hidden @ named["recons/dense/weights"] + named["recons/dense/biases"]).reshape(1, 8, 8, 1)
    for index in (1, 2, 3):
        for axis in (1, 2):
            hidden = doubled(hidden, axis)
        hidden = convolved(hidden, named[f"recons/conv{index}/weights"], 1) + named[f"recons/conv{index}/biases"]
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    hidden = convolved(hidden, named["recons/conv4/weights"], 1) + named["recons/conv4/biases"]
    np.testing.assert_allclose(drawn, 1 / (1 + np.exp(-hidden)), atol=1e-4)
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded.remake(loaded(images), np.array([[3]]))[0], drawn)


def doubled(images, axis):
    """Bilinear: each new pixel lies a quarter of a pixel from an old one; the edges are held."""
    images = np.moveaxis(images, axis, 0)
    before = np.concatenate([images[:1], images[:-1]])
    after = np.concatenate([images[1:], images[-1:]])
    both = np.stack([0.75 * images + 0.25 * before, 0.75 * images + 0.25 * after], axis=1)
    return np.moveaxis(both.reshape(-1, *images.shape[1:]), 0, axis)
