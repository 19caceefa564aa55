"""The convolution by short DFTs against the direct one in float64, and the rule that chooses it."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from capsules.convolution import (
    ShortDFTConv2D,
    _convolve,
    convolution_method,
    convolve,
    layout_of,
    minimum_batch,
)
from capsules.ops import sides

if keras.backend.backend() == "tensorflow":  # the processes of other backends import this file too
    import tensorflow as tf


def short_dft_convolution(inputs, kernel, strides=1, padding="valid", tile=None):
    layout = layout_of(
        tuple(inputs.shape[1:3]), tuple(kernel.shape), sides("strides", strides), padding, tile and sides("tile", tile)
    )
    return _convolve(inputs, kernel, layout)


CASES = [  # inputs, kernel, strides, padding, tile
    ((2, 20, 20, 3), (9, 9, 3, 4), 2, "valid", None),  # the primary capsules of the paper
    ((2, 12, 12, 3), (9, 9, 3, 4), 2, "same", 4),  # several tiles
    ((1, 12, 12, 5), (5, 5, 5, 2), 1, "valid", (5, 4)),  # tiles that overhang
    ((2, 11, 13, 2), (3, 4, 2, 3), (2, 1), "same", None),
    ((3, 7, 6, 2), (2, 2, 2, 3), 3, "valid", None),  # a stride larger than the kernel
    ((1, 9, 9, 2), (9, 9, 2, 3), 1, "valid", None),  # one output
]


def exact_convolution(inputs, kernel, strides, padding):
    """Keras' direct convolution in float64."""
    doubles = (ops.convert_to_tensor(array.astype("float64")) for array in (inputs, kernel))
    return ops.convert_to_numpy(ops.conv(*doubles, strides, padding, data_format="channels_last"))


def _arrays(*shapes):
    random = np.random.RandomState(0)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def _error(result, expected) -> float:
    return float(np.abs(ops.convert_to_numpy(result) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_is_that_of_the_direct_convolution(case):
    inputs_shape, kernel_shape, strides, padding, tile = case
    inputs, kernel = _arrays(inputs_shape, kernel_shape)
    result = short_dft_convolution(ops.convert_to_tensor(inputs), ops.convert_to_tensor(kernel), strides, padding, tile)
    expected = exact_convolution(inputs, kernel, strides, padding)
    assert tuple(result.shape) == expected.shape
    assert _error(result, expected) < 3e-6


def test_precision_with_the_channels_of_the_paper():
    """Value and both gradients with the maps, kernels and channels of the primary capsules, against float64."""
    inputs, kernel = (tf.constant(array) for array in _arrays((4, 20, 20, 256), (9, 9, 256, 16)))
    (change,) = (tf.constant(array) for array in _arrays((4, 6, 6, 16)))

    def value_and_gradients(convolution, *tensors):
        *variables, upstream = tensors
        with tf.GradientTape() as tape:
            tape.watch(variables)
            outputs = convolution(*variables)
        return outputs, *tape.gradient(outputs, variables, upstream)

    results = value_and_gradients(lambda x, w: short_dft_convolution(x, w, 2), inputs, kernel, change)
    doubles = (tf.cast(tensor, tf.float64) for tensor in (inputs, kernel, change))
    expected = value_and_gradients(lambda x, w: tf.nn.conv2d(x, w, 2, "VALID"), *doubles)
    for result, exact in zip(results, expected, strict=True):
        assert _error(result, exact.numpy()) < 3e-6


def gradients(method: str) -> list[list[float]]:
    """The gradients of a sum of squares by inputs and kernel, for cases with tiles, overhang and uneven sides."""
    found: list[list[float]] = []
    for inputs_shape, kernel_shape, strides, padding, _ in CASES[1:4]:
        variables = [ops.convert_to_tensor(array) for array in _arrays(inputs_shape, kernel_shape)]

        def total(*variables, strides=strides, padding=padding):
            with convolution_method(method):
                return ops.sum(ops.square(convolve(*variables, strides, padding)))

        if keras.backend.backend() == "tensorflow":
            with tf.GradientTape() as tape:
                tape.watch(variables)
                value = total(*variables)
            results = tape.gradient(value, variables)
        elif keras.backend.backend() == "jax":
            import jax

            results = jax.jit(jax.grad(total, (0, 1)))(*variables)
        else:
            total(*(each.requires_grad_() for each in variables)).backward()
            results = [each.grad for each in variables]
        found += [ops.convert_to_numpy(each).ravel().tolist() for each in results]
    return found


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_gradients_are_alike_on_other_backends(backend, on_backend):
    code = "import json; from capsules.convolution_test import gradients; print(json.dumps(gradients('short_dft')))"
    found = json.loads(on_backend(backend, code).splitlines()[-1])
    for result, expected in zip(found, gradients("direct"), strict=True):
        assert _error(np.array(result), np.array(expected)) < 1e-5


def _operations(batch, dtype="float32", method="auto") -> set[str]:
    """The operations of TensorFlow's graph of a convolution that short transforms suit, for a batch or an open one."""
    kernel = tf.zeros((9, 9, 256, 256), dtype)

    @tf.function(input_signature=[tf.TensorSpec((batch, 20, 20, 256), dtype)])
    def run(inputs):
        with convolution_method(method):
            return convolve(inputs, kernel, 2)

    return {operation.type for operation in run.get_concrete_function().graph.get_operations()}


def test_large_batches_in_float32_take_short_transforms_and_others_the_direct_convolution():
    assert "Conv2D" not in _operations(128)
    assert "Conv2D" in _operations(1)
    assert "Conv2D" in _operations(128, method="direct")
    assert "Conv2D" not in _operations(1, method="short_dft")
    assert all("Conv2D" in _operations(128, dtype) for dtype in ("float16", "bfloat16"))
    assert {"If", "StatelessIf"} & _operations(None)  # an unknown batch chooses when it runs


def test_an_unknown_batch_chooses_when_it_runs():
    (kernel,) = _arrays((9, 9, 64, 32))
    run = tf.function(lambda inputs: convolve(inputs, tf.constant(kernel), 2), [tf.TensorSpec((None, 20, 20, 64))])
    for batch in (1, 14):
        (inputs,) = _arrays((batch, 20, 20, 64))
        expected = ops.conv(inputs, kernel, 2, "valid", data_format="channels_last")
        assert _error(run(inputs), expected.numpy()) < 5e-6


@pytest.mark.parametrize("taps", (1, 2, 5))
def test_transforms_of_every_length_are_exact(taps):
    """In float64, with transforms of 1 to 18 points whose two directions have different lengths."""
    for rows in range(taps, 19):
        columns = max(taps, rows - 3)
        inputs, kernel = (array.astype("float64") for array in _arrays((1, rows, columns, 1), (taps, taps, 1, 1)))
        tile = (rows - taps + 1, columns - taps + 1)
        outputs = short_dft_convolution(ops.convert_to_tensor(inputs), ops.convert_to_tensor(kernel), tile=tile)
        assert _error(outputs, exact_convolution(inputs, kernel, 1, "valid")) < 1e-13


def test_kernels_for_which_nothing_is_saved_stay_direct():
    assert minimum_batch((28, 28), (9, 9, 1, 256)) == float("inf")
    assert minimum_batch((28, 28), (1, 1, 256, 256)) == float("inf")
    assert minimum_batch((20, 20), (9, 9, 256, 256), 2) < 32


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="Received: 'winograd'"), convolution_method("winograd"):
        pass


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same", "activation": "relu"}, {"groups": 2}])
def test_the_layer_is_that_of_keras(options):
    (images,) = _arrays((40, 20, 18, 8))
    theirs = keras.layers.Conv2D(16, 9, data_format="channels_last", **options)
    ours = ShortDFTConv2D.from_config(theirs.get_config())
    expected = theirs(images)
    ours.build(images.shape)
    ours.set_weights(theirs.get_weights())
    assert _error(ours(images), np.asarray(expected)) < 3e-6
