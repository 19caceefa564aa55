"""Matrix and convolutional capsules against slow NumPy, on every backend, and the spread loss."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from capsules import Capsules, ConvCapsules, DynamicRouting, EMRouting, SelfAttentionRouting, SpreadLoss, spread_loss
from capsules.votes import StoredVotes

ROUTINGS = {
    "dynamic": lambda: DynamicRouting(2),
    "em": lambda: EMRouting(2, 0.1),
    "self_attention": SelfAttentionRouting,
}
TWINS = [
    ("self_attention", "matrix", "valid", (3, 2), False),
    ("em", "vector", "same", (2, 3), False),
    ("em", "matrix", "valid", (4, 3), True),
    ("dynamic", "vector", "valid", (4, 3), True),
]


def numpy_vote(pose, weights, rows, place, coordinates):
    """One vote: the pose, a vector or a matrix, times the weights, and the place added to two of its numbers."""
    vote = pose.reshape(rows, -1) @ weights  # [rows, columns]
    if coordinates and rows == 1:
        vote[0, :2] += place
    elif coordinates:
        vote[:2, -1] += place
    return vote.ravel()


def numpy_windows(poses, activations, layer):
    """Votes [places, in, out, atoms] and activations [places, in] of one example, one vote at a time."""
    (height, width), (down, across) = layer.kernel_size, layer.strides
    rows, columns, types, _ = poses.shape
    top = left = 0
    if layer.padding == "same":
        top = max((layer.grid[0] - 1) * down + height - rows, 0) // 2
        left = max((layer.grid[1] - 1) * across + width - columns, 0) // 2
    kernel = ops.convert_to_numpy(layer.kernel).astype(float)
    kernel = kernel.reshape(*kernel.shape[:2], layer.num_capsules, -1)  # [in, columns_in, out, columns]
    votes, present = [], []
    for row in range(layer.grid[0]):
        for column in range(layer.grid[1]):
            for y in range(height):
                for x in range(width):
                    at = row * down + y - top, column * across + x - left
                    inside = 0 <= at[0] < rows and 0 <= at[1] < columns
                    for kind in range(types):
                        shared = kind if layer.coordinates else (y * width + x) * types + kind
                        pose = poses[at][kind] if inside else np.zeros(poses.shape[-1])
                        place = (np.array([y, x]) + 0.5) / layer.kernel_size
                        votes.append(
                            [
                                numpy_vote(pose, kernel[shared, :, out], layer.rows, place, layer.coordinates)
                                for out in range(layer.num_capsules)
                            ]
                        )
                        present.append(activations[at][kind] if inside else 0.0)
    places = layer.grid[0] * layer.grid[1]
    return np.reshape(votes, (places, -1, layer.num_capsules, layer.atoms)), np.reshape(present, (places, -1))


def layers():
    """The name of each layer in `TWINS`, the layer with its weights, its poses and its activations."""
    random = np.random.RandomState(1)
    for routing, transform, padding, kernel, coordinates in TWINS:
        layer = ConvCapsules(3, 4, kernel, (1, 2), padding, ROUTINGS[routing](), transform, coordinates, True)
        poses, activations = random.standard_normal((2, 4, 3, 2, 4)), random.uniform(size=(2, 4, 3, 2))
        layer.build(poses.shape, activations.shape)
        for weight in layer.weights:
            weight.assign(0.5 * random.standard_normal(weight.shape))
        yield f"{routing} {transform} {padding} {coordinates}", layer, poses, activations


def answers() -> dict[str, list]:
    """The poses and activations of each layer as lists of numbers."""
    found = {}
    for name, layer, *inputs in layers():
        call = layer
        if keras.backend.backend() == "jax":  # which would compile each operation
            import jax

            call = jax.jit(layer)
        outputs = call(*(ops.convert_to_tensor(each.astype("float32")) for each in inputs))
        found[name] = [ops.convert_to_numpy(each).ravel().tolist() for each in outputs]
    return found


@pytest.fixture(scope="module")
def twins():
    """What `answers` should be: the votes of each window, one by one, and their routing."""
    expected = {}
    for name, layer, *inputs in layers():
        examples = [numpy_windows(*example, layer) for example in zip(*inputs, strict=True)]
        votes, present = (np.concatenate(each).astype("float32") for each in zip(*examples, strict=True))
        routed = layer.routing(StoredVotes(ops.convert_to_tensor(votes)), ops.convert_to_tensor(present))
        expected[name] = [np.ravel(routed.capsules), np.ravel(routed.activations)]
    return expected


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_convolutional_capsules_are_the_windows_routed_one_by_one(backend, on_backend, twins):
    code = "import json; from capsules.matrix_test import answers; print(json.dumps(answers()))"
    found = json.loads(on_backend(backend, code).splitlines()[-1])
    assert found.keys() == twins.keys() and len(twins) == len(TWINS)
    for name, outputs in found.items():
        for ours, theirs in zip(outputs, twins[name], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5, err_msg=name)


def test_em_routing_of_a_grid_learns_every_weight_and_loads_again(tmp_path):
    poses, activations = keras.Input((6, 6, 2, 4)), keras.Input((6, 6, 2))
    hidden = ConvCapsules(3, 4, strides=2, routing=EMRouting(2, 1.0), return_activations=True)(poses, activations)
    hidden = ConvCapsules(4, 4, (2, 2), 1, "valid", EMRouting(2, 1.0), "matrix", True, True)(*hidden)
    model = keras.Model([poses, activations], keras.layers.Flatten()(hidden[1]))
    model.compile(keras.optimizers.Adam(0.01), SpreadLoss(0.9), run_eagerly=True)
    random = np.random.RandomState(4)
    data = [random.standard_normal((8, 6, 6, 2, 4)).astype("float32"), random.uniform(size=(8, 6, 6, 2))]
    before, labels = model.get_weights(), random.randint(4, size=8)
    losses = model.fit(data, labels, epochs=3, verbose=0).history["loss"]
    for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        assert np.isfinite(new).all() and np.any(new != old), weight.path
    assert losses[-1] < losses[0]
    model.save(tmp_path / "em.keras")
    loaded = keras.models.load_model(tmp_path / "em.keras")
    np.testing.assert_array_equal(loaded(data), model(data))
    assert loaded.loss.get_config() == model.loss.get_config()


def test_half_precision_votes_give_float32_activations():
    layer = ConvCapsules(3, 4, 2, routing=EMRouting(2, 0.5), return_activations=True, dtype="mixed_bfloat16")
    poses, activations = layer(np.ones((2, 3, 3, 2, 4), "float32"), np.ones((2, 3, 3, 2), "float32"))
    assert (poses.dtype, activations.dtype) == ("bfloat16", "float32")
    symbols = layer(keras.Input((3, 3, 2, 4)), keras.Input((3, 3, 2)))
    assert [each.dtype for each in symbols] == ["bfloat16", "float32"]
    assert np.isfinite(activations).all()


def test_the_spread_loss_is_the_papers_and_its_margin_can_be_set():
    random = np.random.RandomState(5)
    activations, labels = random.uniform(size=(4, 6)).astype("float32"), [0, 3, 3, 5]
    for margin in (0.2, 0.9):
        expected = [
            sum(max(0, margin - (row[label] - row[other])) ** 2 for other in range(6) if other != label)
            for row, label in zip(activations, labels, strict=True)
        ]
        np.testing.assert_allclose(spread_loss(labels, activations, margin), expected, rtol=1e-5)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Activation("linear"), keras.layers.Dense(6)])
    model.set_weights([np.eye(6), np.zeros(6)])
    loss = SpreadLoss(0.2)
    model.compile("sgd", loss)
    low = model.evaluate(activations, np.array(labels), verbose=0)
    loss.set_margin(0.9)  # without compiling again
    np.testing.assert_allclose(model.evaluate(activations, np.array(labels), verbose=0), np.mean(expected), rtol=1e-5)
    assert low < np.mean(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Capsules(3, 8, transform="matrix"), "must be a square number.*Received: 8"),
        (lambda: Capsules(3, transform="tensor"), "'vector', 'matrix'"),
        (lambda: Capsules(3, transform="matrix", name="odd")(np.zeros((1, 5, 6))), "'odd'.*multiple of 4.*6"),
        (lambda: ConvCapsules(3, name="flat")(np.zeros((1, 5, 16))), r"'flat'.*\[batch, rows, columns, types, atoms\]"),
        (lambda: ConvCapsules(3, name="low")(np.zeros((1, 2, 5, 2, 16))), "'low'.*3x3.*Received: 2x5"),
        (lambda: ConvCapsules(3)(np.zeros((1, 5, 5, 2, 16)), np.zeros((1, 5, 5, 3))), "an activation for each capsule"),
        (lambda: ConvCapsules(3)(keras.Input((5, 5, 2, 16)), keras.Input((5, 5, 3))), "an activation for each capsule"),
        (lambda: Capsules(3, 5)(np.zeros((2, 6, 4)), np.zeros((2, 1))), r"for each capsule of \(2, 6, 4\).*2, 1"),
        (lambda: ConvCapsules(3, 4, 2, coordinates=True)(np.zeros((1, 4, 4, 2, 4))), r"=\(4, 4\). Received: \(2, 2\)"),
        (lambda: DynamicRouting(scale="learnt", gradient="last"), "learnt with gradient='all'"),
        (lambda: SpreadLoss(-1), "margin"),
    ],
)
def test_impossible_arguments_get_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()
