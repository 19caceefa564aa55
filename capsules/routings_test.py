"""Every routing against values that were computed in float64 from its paper's formulas, on every backend."""

import json
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from capsules import Capsules, DynamicRouting, EMRouting, InvertedAttentionRouting
from capsules.votes import StoredVotes

HERE = Path(__file__).resolve().parent
GOLDEN = dict(np.load(HERE / "testdata" / "routings.npz"))
ROUTINGS = {
    **{f"em{n}": EMRouting(n) for n in (1, 2, 3)},
    **{f"attention{n}": InvertedAttentionRouting(n) for n in (1, 2, 3)},
    **{f"scaled{n}": DynamicRouting(n, scale=4.0) for n in (1, 2, 3)},
    "scaled3_leaky": DynamicRouting(3, leaky=True, scale=4.0),
}
WEIGHTS = {  # of a routing and in the file; the score is not among the golden values
    EMRouting: {"beta_u": "beta_u", "beta_a": "beta_a"},
    InvertedAttentionRouting: {"gain": "gain", "offset": "bias", "score": "gain"},
}


def worst_differences(names: list[str]) -> dict[str, float]:
    """The largest difference of each routing's poses, activations and coefficients from the golden ones."""
    found = {}
    for name in names:
        routing = ROUTINGS[name]
        for ours, theirs in WEIGHTS.get(type(routing), {}).items():
            setattr(routing, ours, ops.convert_to_tensor(GOLDEN[theirs].astype("float32")))
        activations = ops.convert_to_tensor(GOLDEN["activations"].astype("float32")) if "em" in name else None
        routed = routing(StoredVotes(ops.convert_to_tensor(GOLDEN["votes"].astype("float32"))), activations)
        pairs = [(routed.capsules, GOLDEN[f"{name}/poses"])]
        pairs += [(step.coefficients, c) for step, c in zip(routed.steps, GOLDEN[f"{name}/coefficients"], strict=True)]
        pairs += [(routed.activations, GOLDEN[f"{name}/activations"])] if "em" in name else []
        found[name] = max(float(np.abs(ops.convert_to_numpy(ours) - theirs).max()) for ours, theirs in pairs)
    return found


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_poses_activations_and_coefficients_are_those_of_the_formulas(backend, on_backend):
    names = [*ROUTINGS] if backend == "tensorflow" else ["em3", "attention3", "scaled3_leaky"]  # of all iterations
    code = (
        f"import json; from capsules.routings_test import worst_differences as found; print(json.dumps(found({names})))"
    )
    differences = json.loads(on_backend(backend, code).splitlines()[-1])
    assert [*differences] == names and max(differences.values()) < 1e-4, differences


@pytest.mark.parametrize("routing", [EMRouting(2, 1.0), InvertedAttentionRouting(2)], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_layer_with_another_routing_has_true_gradients(routing, policy):
    import tensorflow as tf  # not on other backends, whose processes import this file too

    random = np.random.RandomState(0)
    inputs = tf.constant(random.standard_normal((2, 6, 4)), "float32")
    layer = Capsules(3, 5, routing=routing, return_activations=True, dtype=policy)

    def total() -> tf.Tensor:
        return sum(tf.reduce_sum(tf.sin(tf.cast(each, "float32"))) for each in layer(inputs))

    total()  # makes the weights
    with tf.GradientTape() as tape:
        value = total()
    weights = layer.trainable_variables
    for variable, gradient in zip(weights, tape.gradient(value, [each.value for each in weights]), strict=True):
        assert np.isfinite(gradient).all() and np.any(gradient)
        if policy == "float32":  # else the rounding is as large as the differences
            at, change, ends = np.asarray(variable), 1e-3 * random.standard_normal(variable.shape), []
            for sign in (1, -1):
                variable.assign(at + sign * change)
                ends.append(float(total()))
            variable.assign(at)
            expected = 2 * float(np.sum(gradient * change))
            assert ends[0] - ends[1] == pytest.approx(expected, rel=0.05, abs=1e-4), variable.path


def test_em_routing_does_not_depend_on_how_the_votes_are_divided(monkeypatch):
    votes = StoredVotes(ops.convert_to_tensor(GOLDEN["votes"].astype("float32")))
    routing = EMRouting(3)
    routing.beta_u, routing.beta_a = (ops.convert_to_tensor(GOLDEN[n].astype("float32")) for n in ("beta_u", "beta_a"))
    whole = routing(votes)
    monkeypatch.setattr("capsules.matrix._CHUNK", 128 * 5 * 16 * 7)  # seven inputs at a time
    for one, other in ((whole.capsules, routing(votes).capsules), (whole.activations, routing(votes).activations)):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_routing_that_would_lose_an_argument_when_it_is_copied_is_an_error():
    class Forgetful(DynamicRouting):
        def __init__(self, sharpness: float = 1.0):
            super().__init__(2, scale=sharpness)

    with pytest.raises(AttributeError, match="sharpness"):
        Capsules(2, routing=Forgetful(3.0))
