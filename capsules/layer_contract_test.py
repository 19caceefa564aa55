"""What every layer owes a Keras user, on TensorFlow, JAX and PyTorch, each of which loads another one's files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import capsules

RNG = np.random.RandomState(11)
BACKENDS = ("tensorflow", "jax", "torch")
COMPILES = keras.backend.backend() == "jax"


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A layer and three examples of each of its inputs."""

    make: Callable[[], keras.layers.Layer]
    inputs: tuple[np.ndarray, ...]


CASES = {
    "conv": Case(lambda: capsules.ShortDFTConv2D(4, 3, data_format="channels_last"), (normal(3, 6, 5, 2),)),
    "primary": Case(
        lambda: capsules.PrimaryCapsules(2, 4, (3, 2), (2, 1), "SAME", scale=0.5, bias_initializer="normal"),
        (normal(3, 6, 5, 3),),
    ),
    "depthwise": Case(
        lambda: capsules.DepthwiseCapsules((3, 2), 4, 2, padding="same", kernel_initializer="normal"),
        (normal(3, 5, 5, 8),),
    ),
    "capsules": Case(
        lambda: capsules.Capsules(3, 4, capsules.DynamicRouting(2, True, "last"), kernel_regularizer="l2"),
        (normal(3, 6, 2),),  # a vote is a product for each atom, which JAX compiles one by one
    ),
    "self_attention": Case(lambda: capsules.Capsules(3, 4, capsules.SelfAttentionRouting()), (normal(3, 6, 2),)),
    "matrix": Case(lambda: capsules.Capsules(3, 9, capsules.DynamicRouting(2), transform="matrix"), (normal(3, 6, 6),)),
    "conv_capsules": Case(
        lambda: capsules.ConvCapsules(3, 4, (3, 2), (2, 1), "SAME", capsules.DynamicRouting(2)),
        (normal(3, 6, 5, 2, 4), 1.0 + 0.0 * normal(3, 6, 5, 2)),
    ),
    "coordinates": Case(
        lambda: capsules.ConvCapsules(3, 4, (2, 3), routing=2, transform="vector", coordinates=True),
        (normal(3, 2, 3, 2, 2),),
    ),
    "length": Case(capsules.Length, (normal(3, 4, 5),)),
    "mask_by_length": Case(capsules.Mask, (normal(3, 4, 5),)),
    "mask_by_label": Case(capsules.Mask, (normal(3, 4, 5), np.array([2, 0, 3], np.int32))),
    "mask_by_row": Case(capsules.Mask, (normal(3, 4, 5), np.eye(4, dtype=np.float32)[[2, 0, 3]])),
    "decoder": Case(lambda: capsules.Decoder((3, 4, 2), (5, 6), kernel_constraint="non_neg"), (normal(3, 4, 5),)),
}


class Own(capsules.PrimaryCapsules):
    """A layer of a user that passes its further arguments on."""

    def __init__(self, extra=1, **kwargs):
        super().__init__(**kwargs)
        self.extra = extra


def test_a_derived_layer_keeps_what_it_passes_on():
    config = Own(extra=2, types=3, padding="same", scale=0.5).get_config()
    again = Own.from_config(config)
    assert (again.extra, again.types, again.padding, again.scale) == (2, 3, "same", 0.5)


def network(layers: dict, wrap: Callable = lambda layer: layer, shape: tuple[int, ...] = ()) -> keras.Model:
    """A model of layers side by side, from the inputs of their cases, each of which may have further axes in front."""
    symbols = {
        name: [keras.Input((*shape, *each.shape[1:]), dtype=each.dtype.name) for each in CASES[name].inputs]
        for name in layers
    }
    return keras.Model(list(symbols.values()), {name: wrap(layer)(*symbols[name]) for name, layer in layers.items()})


def assert_close(found: dict, expected: dict, **tolerance: float) -> None:
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], err_msg=name, **(tolerance or {"atol": 1e-5}))


def check_calls(layer: keras.layers.Layer, inputs: tuple[np.ndarray, ...], outputs: np.ndarray) -> None:
    """Checks the config, the symbolic shape and dtype with an unknown batch, and what is refused."""
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    assert json.loads(json.dumps(config))["name"] == layer.name
    symbols = [keras.Input(each.shape[1:], dtype=each.dtype.name) for each in inputs]
    symbol, spec = layer(*symbols), layer.compute_output_spec(*symbols)
    assert tuple(symbol.shape) == tuple(spec.shape) == (None, *outputs.shape[1:])
    assert symbol.dtype == spec.dtype == str(outputs.dtype)
    assert tuple(layer.compute_output_shape(*[each.shape for each in inputs])) == outputs.shape
    if layer.weights and not isinstance(layer, capsules.ShortDFTConv2D):  # which may be given images of any size
        for axis in range(1, inputs[0].ndim):
            wider = np.concatenate([inputs[0], inputs[0]], axis=axis)
            with pytest.raises(ValueError, match=str(wider.shape[axis])):
                layer(wider, *inputs[1:])


def check_all(load_from: str, write_to: str) -> None:
    """Checks every layer, and all of them in one network, which is compiled once; loads and writes a file of it."""
    layers = {name: case.make() for name, case in CASES.items()}
    model, inputs = network(layers), [list(case.inputs) for case in CASES.values()]
    outputs = model.predict(inputs, verbose=0)
    for name, layer in layers.items():
        check_calls(layer, CASES[name].inputs, outputs[name])
    model.save(Path(write_to) / "model.keras")
    np.savez(Path(write_to) / "outputs.npz", **outputs)
    if load_from:
        check_file(load_from)

    half = network({
        name: type(layer).from_config(layer.get_config() | {"dtype": "mixed_float16"}) for name, layer in layers.items()
    })  # fmt: skip
    half.set_weights(model.get_weights())
    values = computed(half, inputs)
    assert {name: each.dtype for name, each in values.items()} == {
        name: symbol.dtype for name, symbol in half.output.items()
    }
    assert_close(values, outputs, atol=0.02, rtol=0.02)

    single = {name: layer for name, layer in layers.items() if len(CASES[name].inputs) == 1}

    def in_time(values: np.ndarray) -> np.ndarray:
        return np.stack([values, values[::-1]], axis=1)  # [batch, time, …]

    times = [[in_time(CASES[name].inputs[0])] for name in single]
    repeated = computed(network(single, keras.layers.TimeDistributed, (2,)), times)
    assert_close(repeated, {name: in_time(outputs[name]) for name in single})

    clone, noise = keras.models.clone_model(model), {name: normal(*each.shape) for name, each in outputs.items()}
    clone.set_weights(model.get_weights())
    clone.compile(keras.optimizers.SGD(0.1), dict.fromkeys(layers, "mse"), run_eagerly=not COMPILES)
    targets = {name: each + noise[name] for name, each in outputs.items()}
    logs = clone.train_on_batch(inputs, targets, return_dict=True)
    assert_close({name: logs[f"{name}_loss"] for name in layers}, {name: np.mean(noise[name] ** 2) for name in layers})
    for weight, old, new in zip(clone.weights, model.get_weights(), clone.get_weights(), strict=True):
        assert np.isfinite(new).all() and np.any(new != old), weight.path
    print(keras.backend.backend())


def computed(model: keras.Model, inputs: list) -> dict:
    """The outputs of a model, which JAX compiles as a whole, since it would compile each operation otherwise."""
    outputs = model.predict(inputs, verbose=0) if COMPILES else model(inputs)
    return {name: keras.ops.convert_to_numpy(each) for name, each in outputs.items()}


def check_file(folder: str) -> None:
    """Loads a network that another backend has written and compares its outputs for a batch of another size."""
    loaded = keras.models.load_model(Path(folder) / "model.keras")
    two = [[each[:2] for each in case.inputs] for case in CASES.values()]
    with np.load(Path(folder) / "outputs.npz") as expected:
        assert_close(loaded.predict(two, verbose=0), {name: each[:2] for name, each in expected.items()})


def test_a_layer_is_what_keras_expects_on_every_backend(tmp_path, on_backend):
    previous = ""
    for backend in BACKENDS:
        folder = tmp_path / backend
        folder.mkdir()
        code = f"from capsules.layer_contract_test import check_all; check_all({previous!r}, {str(folder)!r})"
        assert on_backend(backend, code).split()[-1] == backend
        previous = str(folder)
    check_file(previous)  # that of PyTorch, on TensorFlow


def test_every_public_layer_has_a_case():
    public = {value for value in vars(capsules).values() if isinstance(value, type)}
    layers = {value for value in public if issubclass(value, keras.layers.Layer)}
    assert layers == {type(case.make()) for case in CASES.values()}
