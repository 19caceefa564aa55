"""The set-up check, `python layers_test.py`, and the specification of `capsules/` in slow, obvious NumPy."""

import sys

from input_data.startup import stderr_held_back

with stderr_held_back():  # first, since Keras would load it with all the lines that it prints
    import tensorflow as tf

import numpy as np
import pytest
from keras import ops

from capsules import (
    Capsules,
    Decoder,
    DepthwiseCapsules,
    DynamicRouting,
    Mask,
    PrimaryCapsules,
    SelfAttentionRouting,
    ShortDFTConv2D,
    UniformRouting,
    dynamic_routing,
    exponential_squash,
    length,
    margin_loss,
    squash,
)
from capsules.losses import sigmoid_loss
from capsules.metrics import score
from capsules.votes import StoredVotes

RNG = np.random.RandomState(7)


def numpy_squash(vectors):
    norm = np.sqrt((vectors**2).sum(-1, keepdims=True))
    return norm**2 / (1 + norm**2) * vectors / norm


def numpy_routing(votes, bias, iterations, leaky, scale=1.0):
    """Procedure 1 of the paper, one number at a time; votes [in, out, atoms] of one example."""
    inputs, outputs, atoms = votes.shape
    logits = np.zeros((inputs, outputs))
    for _ in range(iterations):
        total = bias.copy()
        for i in range(inputs):
            shares = np.exp(logits[i])
            shares = shares / (shares.sum() + (1 if leaky else 0))
            for j in range(outputs):
                total[j] += shares[j] * votes[i, j]
        capsules = numpy_squash(total)
        for i in range(inputs):
            for j in range(outputs):
                logits[i, j] += scale * sum(votes[i, j, a] * capsules[j, a] for a in range(atoms))
    return capsules


def numpy_exponential_squash(vectors):
    norm = np.sqrt((vectors**2).sum(-1, keepdims=True))
    return (1 - np.exp(-norm)) * vectors / norm


def numpy_self_attention(votes, bias):
    """Mazzia et al. 2021, equations 4 to 8, one number at a time; votes [in, out, atoms] of one example."""
    inputs, outputs, atoms = votes.shape
    capsules = np.zeros((outputs, atoms))
    for i in range(inputs):
        logits = [sum(votes[i, j] @ votes[k, j] for k in range(inputs)) / np.sqrt(atoms) for j in range(outputs)]
        shares = np.exp(logits) / np.exp(logits).sum()
        for j in range(outputs):
            capsules[j] += (shares[j] + bias[j, i]) * votes[i, j]
    return numpy_exponential_squash(capsules)


@pytest.mark.parametrize(
    ("function", "formula"), [(squash, numpy_squash), (exponential_squash, numpy_exponential_squash)]
)
def test_squash_is_the_formula(function, formula):
    vectors = RNG.standard_normal((5, 3, 8)) * 10 ** RNG.uniform(-3, 3, (5, 3, 1))
    np.testing.assert_allclose(function(ops.convert_to_tensor(vectors, "float32")), formula(vectors), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("function", [squash, exponential_squash, length])
def test_zero_vectors_have_finite_values_and_gradients(function, dtype):
    vectors = tf.zeros((2, 8), dtype)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        total = tf.reduce_sum(function(vectors))
    assert float(total) == 0.0
    np.testing.assert_array_equal(ops.cast(tape.gradient(total, vectors), "float32"), 0.0)


def test_exponential_squash_is_exact_near_zero():
    vectors = ops.convert_to_tensor([[1e-6, 0.0], [1e-12, 0.0]])  # 1 - exp(-1e-12) is 0 in float32
    np.testing.assert_allclose(exponential_squash(vectors), vectors, rtol=1e-5)


def test_squash_keeps_float16_finite_where_the_squares_overflow():
    vectors = ops.full((1, 16), 100.0, dtype="float16")  # its squared length is 160,000; float16 ends at 65,504
    np.testing.assert_allclose(ops.cast(length(squash(vectors)), "float32"), 1.0, atol=1e-2)


@pytest.mark.parametrize("iterations", [1, 2, 5])
@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.0, "sqrt"])
def test_routing_is_procedure_1(iterations, leaky, scale):
    votes = RNG.standard_normal((3, 6, 4, 5)).astype(np.float32)
    bias = RNG.standard_normal((4, 5)).astype(np.float32)
    routed = dynamic_routing(ops.convert_to_tensor(votes), iterations, leaky, ops.convert_to_tensor(bias), scale=scale)
    factor = 6**0.5 if scale == "sqrt" else scale
    expected = [numpy_routing(example, bias, iterations, leaky, factor) for example in votes]
    np.testing.assert_allclose(routed, expected, atol=2e-6)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("leaky", [False, True])
def test_capsules_route_the_votes_they_never_store(iterations, leaky):
    layer = Capsules(4, atoms=5, routing=DynamicRouting(iterations, leaky))
    inputs = RNG.standard_normal((3, 6, 8)).astype(np.float32)
    outputs = layer(inputs)
    kernel = ops.convert_to_numpy(layer.kernel).reshape(6, 8, 4, 5)
    votes = np.einsum("bia,iajd->bijd", inputs, kernel)
    expected = [numpy_routing(example, ops.convert_to_numpy(layer.bias), iterations, leaky) for example in votes]
    np.testing.assert_allclose(outputs, expected, atol=2e-6)
    routed = layer.route(ops.convert_to_tensor(inputs))
    coefficients = ops.convert_to_numpy(ops.stack([step.coefficients for step in routed.steps]))
    assert coefficients.shape == (iterations, 3, 6, 4)  # [iteration, batch, in, out]
    np.testing.assert_allclose(coefficients[0], 1 / (4 + leaky), rtol=1e-6)
    np.testing.assert_array_equal(routed.steps[-1].capsules, outputs)
    np.testing.assert_allclose(routed.activations, np.linalg.norm(outputs, axis=-1), rtol=1e-5)
    for step in routed.steps:
        total = np.einsum("bij,bijd->bjd", step.coefficients, votes) + ops.convert_to_numpy(layer.bias)
        np.testing.assert_allclose(step.capsules, numpy_squash(total), atol=2e-6)
    over_outputs = coefficients.sum(axis=3)
    if leaky:
        assert (over_outputs < 1).all()
    else:
        np.testing.assert_allclose(over_outputs, 1.0, rtol=1e-5)


def test_self_attention_is_the_papers_formula():
    layer = Capsules(4, atoms=5, routing=SelfAttentionRouting())
    inputs = RNG.standard_normal((3, 6, 8)).astype(np.float32)
    layer(inputs)
    layer.kernel.assign(RNG.standard_normal(layer.kernel.shape))
    layer.bias.assign(RNG.standard_normal(layer.bias.shape))
    kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
    votes = np.einsum("bia,iajd->bijd", inputs, kernel.reshape(6, 8, 4, 5))
    expected = [numpy_self_attention(example, bias) for example in votes]
    np.testing.assert_allclose(layer(inputs), expected, atol=2e-6)
    routed = layer.routing(StoredVotes(ops.convert_to_tensor(votes)))
    np.testing.assert_allclose(routed.capsules, expected, atol=2e-6)
    np.testing.assert_allclose(ops.sum(routed.steps[0].coefficients - bias.T, axis=2), 1.0, rtol=1e-5)


def test_a_learnt_scale_is_a_weight_that_starts_at_the_papers_routing():
    layer, plain = (Capsules(4, atoms=5, routing=DynamicRouting(3, scale=scale)) for scale in ("learnt", 1.0))
    inputs = ops.convert_to_tensor(RNG.standard_normal((3, 6, 8)).astype(np.float32))
    layer(inputs), plain(inputs)
    plain.set_weights(layer.get_weights()[:2])
    np.testing.assert_array_equal(layer(inputs), plain(inputs))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(length(layer(inputs)))
    assert float(tape.gradient(total, layer.routing.learnt_scale.value)) != 0


def test_uniform_routing_gives_every_vote_the_same_weight():
    inputs = ops.convert_to_tensor(RNG.standard_normal((3, 6, 8)).astype(np.float32))
    layer, once = Capsules(4, atoms=5, routing=UniformRouting()), Capsules(4, atoms=5, routing=1)
    layer(inputs), once(inputs)
    once.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(inputs), once(inputs))
    np.testing.assert_array_equal(layer.route(inputs).steps[0].coefficients, np.full((3, 6, 4), 0.25))


def test_the_gradient_flows_through_every_iteration():
    votes = tf.constant(RNG.standard_normal((1, 4, 3, 5)), tf.float32)
    weights = RNG.standard_normal((1, 3, 5)).astype(np.float32)

    def objective(values, gradient="all"):
        return tf.reduce_sum(dynamic_routing(values, 3, gradient=gradient) * weights)

    def analytic(gradient):
        with tf.GradientTape() as tape:
            tape.watch(votes)
            value = objective(votes, gradient)
        return tape.gradient(value, votes).numpy().ravel()

    step = 1e-2
    changes = tf.reshape(step * tf.eye(tf.size(votes)), (-1, *votes.shape[1:]))  # of one vote in each example
    higher, lower = (dynamic_routing(votes + sign * changes, 3) for sign in (1, -1))
    numeric = np.sum((higher - lower) * weights, axis=(1, 2)) / (2 * step)
    np.testing.assert_allclose(analytic("all"), numeric, atol=2e-3)
    assert np.abs(analytic("last") - numeric).max() > 0.02


def test_primary_capsules_are_a_scaled_convolution_ordered_by_type_row_column():
    types, atoms = 3, 2
    for options in ({}, {"scale": 1 / 3}):
        scale = options.get("scale", 1.0)
        layer = PrimaryCapsules(types, atoms, kernel_size=3, strides=2, **options)
        images = RNG.standard_normal((2, 7, 9, 4)).astype(np.float32)
        capsules = ops.convert_to_numpy(layer(images))
        kernel, bias = ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)
        index = 0
        for kind in range(types):
            for row in range(3):
                for column in range(4):
                    patch = images[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                    channels = slice(kind * atoms, (kind + 1) * atoms)
                    total = np.einsum("bijc,ijca->ba", patch, kernel[..., channels]) * scale
                    expected = numpy_squash(total + bias[kind, :, 0, 0])
                    np.testing.assert_allclose(capsules[:, index], expected, atol=1e-5)
                    index += 1
        assert index == capsules.shape[1]
        assert (capsules < 0).any()  # no ReLU before squash


def test_depthwise_capsules_have_one_kernel_a_channel():
    layer = DepthwiseCapsules((3, 2), atoms=2, strides=2)
    images = RNG.standard_normal((2, 6, 7, 6)).astype(np.float32)
    layer.build(images.shape)
    layer.bias.assign(RNG.standard_normal(6))
    capsules = ops.convert_to_numpy(layer(images))
    kernel, bias = ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)
    index = 0
    for kind in range(3):
        channels = slice(kind * 2, kind * 2 + 2)
        for row in range(2):
            for column in range(3):
                patch = images[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2, channels]
                total = np.einsum("bija,ija->ba", patch, kernel[:, :, 0, channels]) + bias[channels]
                np.testing.assert_allclose(capsules[:, index], numpy_exponential_squash(total), atol=1e-5)
                index += 1
    assert index == capsules.shape[1]


def test_decoder_draws_the_chosen_capsule_alone_with_pixels_by_depth():
    decoder = Decoder((3, 4, 2), units=(5, 6))
    capsules = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    mask = np.eye(3, dtype=np.float32)[[2, 0]]
    drawn = decoder(Mask()(capsules, mask))
    hidden = (capsules * mask[..., None]).reshape(2, 12)
    for layer in decoder.stack[:2]:
        hidden = np.maximum(hidden @ ops.convert_to_numpy(layer.kernel) + 0.1, 0)
    pixels = 1 / (1 + np.exp(-(hidden @ ops.convert_to_numpy(decoder.stack[2].kernel) + 0.1)))
    np.testing.assert_allclose(drawn, pixels.reshape(2, 2, 3, 4).transpose(0, 2, 3, 1), atol=1e-5)


def test_margin_loss_is_equation_4_as_in_2017():
    logits, targets = RNG.uniform(size=(4, 10)), RNG.uniform(size=(4, 10)) > 0.7
    expected = [
        [
            0.5 * max(0, 0.9 - value) ** 2 if present else 0.25 * max(0, value - 0.1) ** 2
            for value, present in zip(*example, strict=True)
        ]
        for example in zip(logits, targets, strict=True)
    ]
    mean = margin_loss(targets, logits, over_classes="mean")
    np.testing.assert_allclose(0.5 * mean, np.mean(expected, axis=1), rtol=1e-5)
    np.testing.assert_allclose(margin_loss(targets, logits), 2 * np.sum(expected, axis=1), rtol=1e-5)


def test_sigmoid_loss_halves_the_labels():
    logits, targets = RNG.standard_normal((4, 10)).astype(np.float32), (RNG.uniform(size=(4, 10)) > 0.7) * 1.0
    expected = tf.nn.sigmoid_cross_entropy_with_logits(targets.astype(np.float32) / 2, logits)
    np.testing.assert_allclose(sigmoid_loss(targets, logits), np.mean(expected, axis=1), rtol=1e-5)


def test_one_of_two_digits_is_almost_right_and_earns_nothing():
    logits = ops.convert_to_tensor([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.9, 0.1, 0.8]])
    correct, almost = score(ops.convert_to_tensor([[1, 0], [0, 2], [1, 1]]), logits)
    assert ops.convert_to_numpy(correct).tolist() == [True, False, False]
    assert ops.convert_to_numpy(almost).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("layers", "depth", "policy"),
    [
        ([PrimaryCapsules(4, 8, 5), Capsules(3)], 1, "mixed_float16"),
        ([DepthwiseCapsules((12, 12)), Capsules(3, routing=SelfAttentionRouting())], 32, "mixed_bfloat16"),
    ],
    ids=["2017", "efficient"],
)
def test_half_precision_stays_close_and_finite(layers, depth, policy):
    images = RNG.uniform(size=(2, 12, 12, depth)).astype(np.float32)
    halves = [type(layer).from_config(layer.get_config() | {"dtype": policy}) for layer in layers]
    full = layers[1](layers[0](images))
    halves[1](halves[0](images))
    for half, layer in zip(halves, layers, strict=True):
        half.set_weights(layer.get_weights())
    for inputs in (images, np.zeros_like(images)):
        with tf.GradientTape() as tape:
            outputs = halves[1](halves[0](inputs))
            total = tf.reduce_sum(length(outputs))
        assert outputs.dtype == policy.removeprefix("mixed_")
        for gradient in tape.gradient(total, [v.value for half in halves for v in half.trainable_variables]):
            assert np.isfinite(gradient).all() and gradient.dtype == "float32"
    np.testing.assert_allclose(
        ops.cast(halves[1](halves[0](images)), "float32"), full, atol=0.03 if "bfloat" in policy else 0.005
    )


def test_impossible_arguments_get_a_sentence():
    with pytest.raises(ValueError, match=r"'small'.*9x9.*Received: 8x20"):
        PrimaryCapsules(name="small")(np.zeros((1, 8, 20, 1), np.float32))
    with pytest.raises(ValueError, match=r"'odd'.*\[batch, in, atoms\]"):
        Capsules(3, name="odd")(np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match=r"'odd'.*\[batch, in, atoms\]"):
        Capsules(3, routing=SelfAttentionRouting(), name="odd")(np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match=r"'deep'.*8 atoms.*Received: 12"):
        DepthwiseCapsules((2, 2), name="deep")(np.zeros((1, 4, 4, 12), np.float32))
    with pytest.raises(ValueError, match=r"1 or more\. Received: 0"):
        Capsules(3, routing=0)
    with pytest.raises(ValueError, match="'all', 'last'"):
        DynamicRouting(gradient="some")
    with pytest.raises(ValueError, match="'sqrt', 'learnt'"):
        DynamicRouting(scale="large")
    for layer in (PrimaryCapsules(name="bytes"), ShortDFTConv2D(2, 9, name="bytes")):
        with pytest.raises(ValueError, match=r"'bytes'.*uint8.*Divide by 255"):
            layer(np.zeros((1, 20, 20, 1), np.uint8))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
