"""What every layer owes a Keras user, on TensorFlow, JAX and PyTorch; each backend is a process of its own.

The process of one backend loads the `.keras` files that the process of another has written, checks every layer and
writes its own files: `python -m capsules.layer_contract_test FILES_TO_LOAD FILES_TO_WRITE`.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import capsules

RNG = np.random.RandomState(11)
BACKENDS = ("tensorflow", "jax", "torch")


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
        lambda: capsules.DepthwiseCapsules((3, 2), 4, kernel_initializer="normal"), (normal(3, 5, 5, 8),)
    ),
    "capsules": Case(
        lambda: capsules.Capsules(3, 4, capsules.DynamicRouting(2, True, "last"), kernel_regularizer="l2"),
        (normal(3, 6, 8),),
    ),
    "self_attention": Case(lambda: capsules.Capsules(3, 4, capsules.SelfAttentionRouting()), (normal(3, 6, 8),)),
    "matrix": Case(
        lambda: capsules.Capsules(3, 9, capsules.DynamicRouting(2), transform="matrix"), (normal(3, 6, 12),)
    ),
    "conv_capsules": Case(
        lambda: capsules.ConvCapsules(3, 4, (3, 2), (2, 1), "SAME", capsules.DynamicRouting(2)),
        (normal(3, 6, 5, 2, 8), 1.0 + 0.0 * normal(3, 6, 5, 2)),
    ),
    "coordinates": Case(
        lambda: capsules.ConvCapsules(3, 4, (3, 4), routing=2, transform="vector", coordinates=True),
        (normal(3, 3, 4, 2, 5),),
    ),
    "length": Case(capsules.Length, (normal(3, 4, 5),)),
    "mask_by_length": Case(capsules.Mask, (normal(3, 4, 5),)),
    "mask_by_label": Case(capsules.Mask, (normal(3, 4, 5), np.array([2, 0, 3], np.int32))),
    "mask_by_row": Case(capsules.Mask, (normal(3, 4, 5), np.eye(4, dtype=np.float32)[[2, 0, 3]])),
    "decoder": Case(lambda: capsules.Decoder((3, 4, 2), (5, 6), kernel_constraint="non_neg"), (normal(3, 4, 5),)),
    "decoder_of_one": Case(
        lambda: capsules.Decoder((3, 4, 2), (5, 6)), (normal(3, 4, 5), np.eye(4, dtype=np.float32)[[2, 0, 3]])
    ),
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
    with pytest.raises(ValueError, match="padding"):
        capsules.DepthwiseCapsules(3, padding="same")


def check_layer(case: Case, path: Path) -> Iterator[str]:
    """Checks a layer, naming each check before it runs, and saves it as a model with its inputs and outputs."""
    layer, inputs = case.make(), case.inputs
    outputs = array(layer(*inputs))
    symbols = [keras.Input(each.shape[1:], dtype=each.dtype.name) for each in inputs]

    yield "config round trip"
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert json.loads(json.dumps(config))["name"] == layer.name

    yield "symbolic shape and dtype, with an unknown batch"
    symbol = layer(*symbols)
    assert tuple(symbol.shape) == (None, *outputs.shape[1:])
    assert tuple(layer.compute_output_shape(*[each.shape for each in inputs])) == outputs.shape
    spec = layer.compute_output_spec(*symbols)
    assert (tuple(spec.shape), spec.dtype) == (tuple(symbol.shape), str(outputs.dtype))

    yield "batches of any size"
    model = keras.Model(symbols, symbol)
    np.testing.assert_allclose(model.predict(list(inputs), verbose=0), outputs, atol=1e-5)
    np.testing.assert_allclose(array(model([each[:1] for each in inputs])), outputs[:1], atol=1e-5)

    if not isinstance(layer, capsules.ShortDFTConv2D):  # which may be given images of any size
        yield "an input of another size is refused"
        for axis in range(1, inputs[0].ndim):
            wider = np.concatenate([inputs[0], inputs[0]], axis=axis)
            try:
                other = layer(wider, *inputs[1:]).shape
            except ValueError as error:
                assert str(wider.shape[axis]) in str(error), error
            else:
                raise AssertionError(f"{wider.shape} gave {tuple(other)}")

    yield "clone_model"
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(array(clone(list(inputs))), outputs, atol=1e-5)

    yield "mixed precision"
    half = type(layer).from_config(config | {"dtype": "mixed_float16"})
    symbol = half(*symbols)
    half.set_weights(layer.get_weights())
    values = half(*inputs)
    assert keras.backend.standardize_dtype(values.dtype) == symbol.dtype
    np.testing.assert_allclose(array(keras.ops.cast(values, "float32")), outputs, atol=0.02, rtol=0.02)

    if len(inputs) == 1:
        yield "TimeDistributed"
        times = np.stack([inputs[0], 2 * inputs[0]], axis=1)  # [batch, time, …]
        expected = np.stack([outputs, array(layer(2 * inputs[0]))], axis=1)
        np.testing.assert_allclose(array(keras.layers.TimeDistributed(layer)(times)), expected, atol=1e-5)

    yield "a finite gradient for every weight"
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.train_on_batch(list(inputs), outputs + normal(*outputs.shape))
    for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        assert np.isfinite(new).all() and np.any(new != old), weight.path

    yield "saved"
    model.save(path.with_suffix(".keras"))
    np.savez(path.with_suffix(".npz"), *inputs, outputs=array(model(list(inputs))))


def array(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def load_layer(path: Path) -> None:
    """Loads a model that another process has written and compares its outputs."""
    with np.load(path.with_suffix(".npz")) as file:
        inputs = [file[name] for name in file.files if name != "outputs"]
        outputs = keras.models.load_model(path.with_suffix(".keras"))(inputs)
        np.testing.assert_allclose(array(outputs), file["outputs"], atol=1e-5)


def main(load_from: str, write_to: str) -> None:
    """Prints the backend, and as JSON what fails: {layer: traceback}."""
    failures = {}
    for name, case in CASES.items():
        step = ""
        try:
            for step in check_layer(case, Path(write_to) / name):  # noqa: B007  (read in the except clause)
                pass
            if load_from:
                step = "loading"
                load_layer(Path(load_from) / name)
        except Exception:
            failures[name] = f"{step}: {traceback.format_exc()}"
    print(json.dumps([keras.backend.backend(), failures]))


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The report of each backend's process; each has loaded the files of the one before. And the last one's files."""
    folder, previous, results = tmp_path_factory.mktemp("layers"), "", {}
    for backend in BACKENDS:
        (folder / backend).mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "capsules.layer_contract_test", previous, str(folder / backend)],
            env=os.environ
            | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
            | {"OMP_NUM_THREADS": "1"},  # PyTorch's threads only wait for each other in layers this small
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        name, results[backend] = json.loads(done.stdout.splitlines()[-1])
        assert name == backend
        previous = str(folder / backend)
    return results, folder / BACKENDS[-1]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_is_what_keras_expects(reports, backend, name):
    failure = reports[0][backend].get(name)
    assert failure is None, failure


@pytest.mark.parametrize("name", CASES)
def test_a_layer_saved_on_pytorch_loads_on_tensorflow(reports, name):
    load_layer(reports[1] / name)


def test_every_public_layer_has_a_case():
    public = {value for value in vars(capsules).values() if isinstance(value, type)}
    layers = {value for value in public if issubclass(value, keras.layers.Layer)}
    assert layers == {type(case.make()) for case in CASES.values()}


if __name__ == "__main__":
    main(*sys.argv[1:])
