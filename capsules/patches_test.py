"""Two convolutions in one go against their slow twin in NumPy, and when they are computed so."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from capsules.convolution import convolution_method, convolve_after
from capsules.convolution_test import numpy_convolution
from capsules.layers import PrimaryCapsules
from capsules.patches import are_small

ROOT = Path(__file__).resolve().parents[1]
CASES = [  # images, side of the first kernel, filters of the first, side and strides of the next
    ((2, 14, 14, 1), 5, 75, 5, 2),
    ((3, 13, 15, 1), 4, 48, 5, 2),  # positions behind the last output of the first
    ((2, 10, 9, 2), 3, 54, 4, (2, 1)),
    ((1, 12, 13, 1), 2, 12, 2, 3),  # a stride larger than both kernels
    ((2, 30, 30, 1), 3, 27, 3, 1),  # several tiles
    ((1, 5, 5, 1), 3, 27, 3, 1),  # one output
]


def _layer(channels, side, filters, dtype="float64", **options):
    options = {"activation": "relu", "bias_initializer": "random_normal", "data_format": "channels_last"} | options
    layer = keras.layers.Conv2D(filters, side, dtype=dtype, **options)
    layer.build((None, 60, 60, channels))
    return layer


def _arrays(case):
    images_shape, side, filters, next_side, strides = case
    keras.utils.set_random_seed(1)
    images, kernel = np.random.normal(size=images_shape), np.random.normal(size=(next_side, next_side, filters, 3))
    return _layer(images_shape[3], side, filters), images, kernel, strides


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_is_that_of_the_definition(case):
    first, images, kernel, strides = _arrays(case)
    with convolution_method("short_dft"):
        result = convolve_after(first, ops.convert_to_tensor(images), ops.convert_to_tensor(kernel), strides)
    features = numpy_convolution(images, first.kernel.numpy(), 1, "valid") + first.bias.numpy()
    np.testing.assert_allclose(result, numpy_convolution(np.maximum(features, 0), kernel, strides, "valid"), atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_one_convolution_after_the_other(case):
    """In float64, for the weights of both convolutions and for the images."""
    first, images, kernel, strides = _arrays(case)

    def gradients(method):
        inputs = tf.constant(images), tf.constant(kernel)
        with convolution_method(method), tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = convolve_after(first, *inputs, strides)
            total = tf.reduce_sum(outputs * tf.random.stateless_normal(outputs.shape, (1, 2), dtype="float64"))
        return tape.gradient(total, [first.kernel.value, first.bias.value, *inputs])

    for result, expected in zip(gradients("short_dft"), gradients("direct"), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-10 * np.abs(expected).max())


def test_precision_at_the_size_of_the_paper():
    """The value in float32 and the gradients of all weights, against float64."""
    single, double = (_layer(1, 9, 256, dtype) for dtype in ("float32", "float64"))
    single.bias.assign(np.full(256, 0.1))
    double.set_weights(single.get_weights())
    random = np.random.RandomState(0)
    images, kernel = random.uniform(size=(16, 28, 28, 1)), random.normal(size=(9, 9, 256, 64))
    change = random.normal(size=(16, 6, 6, 64))

    def value_and_gradients(first, method):
        x, w, upstream = (tf.constant(array, first.dtype) for array in (images, kernel, change))
        with convolution_method(method), tf.GradientTape() as tape:
            tape.watch(w)
            outputs = convolve_after(first, x, w, 2)
        return [outputs, *tape.gradient(outputs, [first.kernel.value, first.bias.value, w], upstream)]

    results, exact = value_and_gradients(single, "short_dft"), value_and_gradients(double, "direct")
    for result, expected in zip(results, exact, strict=True):
        assert np.abs(result - expected.numpy()).max() / np.abs(expected).max() < 3e-6


def _operations(batch, padding="valid", **options) -> set[str]:
    """The operations of TensorFlow's graph of the paper's two convolutions, for a batch or an open one."""
    first = _layer(1, 9, 256, "float32", **options)
    kernel = tf.zeros((9, 9, 256, 256))

    @tf.function(input_signature=[tf.TensorSpec((batch, 28, 28, 1), tf.float32)])
    def run(images):
        return convolve_after(first, images, kernel, 2, padding)

    return {operation.type for operation in run.get_concrete_function().graph.get_operations()}


def test_large_batches_are_computed_in_one_go():
    assert "Conv2D" not in _operations(128)
    assert "Conv2D" in _operations(1)
    assert {"If", "StatelessIf"} & _operations(None)


@pytest.mark.parametrize("options", [{"padding": "same"}, {"activation": "elu"}, {"strides": 2}, {"use_bias": False}])
def test_other_first_layers_are_computed_on_their_own(options):
    assert "Conv2D" in _operations(128, **options)


def test_padding_of_the_next_is_computed_on_its_own():
    assert "Conv2D" in _operations(128, "same")


def test_patches_are_small_up_to_a_third_of_the_filters():
    assert are_small(_layer(1, 9, 243)) and not are_small(_layer(1, 9, 242))
    assert are_small(_layer(3, 9, 729)) and not are_small(_layer(3, 9, 256))


ON_ANOTHER_BACKEND = """
import keras, numpy as np
from keras import ops
from capsules.convolution import convolution_method
from capsules.layers import PrimaryCapsules

first = keras.layers.Conv2D(27, 3, activation="relu", bias_initializer="random_normal", data_format="channels_last")
primary = PrimaryCapsules(2, 4, 3)
images = np.random.RandomState(0).normal(size=(2, 12, 12, 1)).astype("float32")
one_by_one = ops.convert_to_numpy(primary(first(images)))
with convolution_method("short_dft"):
    in_one_go = ops.convert_to_numpy(primary.after_convolution(first, ops.convert_to_tensor(images)))
np.testing.assert_allclose(in_one_go, one_by_one, atol=2e-6)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_primary_capsules_are_alike_on_every_backend(backend):
    pytest.importorskip(backend)
    command = [sys.executable, "-c", ON_ANOTHER_BACKEND]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_functional_model_has_both_layers():
    first, primary = _layer(1, 9, 256, "float32"), PrimaryCapsules(2, 4)
    primary.build((None, 20, 20, 256))
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, primary.after_convolution(first, inputs))
    assert model.layers[1:] == [first, primary]
    images = tf.random.stateless_uniform((3, 28, 28, 1), (1, 2))
    np.testing.assert_allclose(model(images), primary.after_convolution(first, images), atol=1e-6)


def test_primary_capsules_in_half_precision_follow_their_convolution():
    """Both layers compute in bfloat16, so nothing is computed in one go and the results are the same."""
    first = _layer(1, 9, 256, "mixed_bfloat16")
    primary = PrimaryCapsules(2, 4, dtype="mixed_bfloat16")
    images = tf.random.stateless_uniform((40, 28, 28, 1), (1, 2))
    expected, result = primary(first(images)), primary.after_convolution(first, images)
    assert result.dtype == expected.dtype == "bfloat16"
    np.testing.assert_array_equal(tf.cast(result, "float32"), tf.cast(expected, "float32"))
