"""Votes that are not stored answer as stored votes do, in value and gradient, whatever their number."""

import numpy as np
import pytest
import tensorflow as tf

from capsules import votes
from capsules.votes import StoredVotes, Votes


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_votes_in_groups_answer_as_stored_votes_do_with_their_gradients(groups, monkeypatch):
    batch, size, atoms_in, num_outputs, atoms = 3, 6, 4, 5, 2
    monkeypatch.setattr(votes, "_GROUP_BYTES", 4 * batch * num_outputs * size / groups)
    random = np.random.RandomState(0)
    shapes = (batch, size, atoms_in), (size, atoms_in, num_outputs, atoms), (batch, size, num_outputs)
    shapes += ((batch, num_outputs, atoms),)
    inputs, kernel, coefficients, capsules = (
        tf.constant(random.standard_normal(shape).astype(np.float32)) for shape in shapes
    )
    results = []
    for stored in (False, True):
        with tf.GradientTape() as tape:
            variables = inputs, kernel, coefficients, capsules
            tape.watch(variables)
            both = StoredVotes(tf.einsum("bia,iajd->bijd", inputs, kernel)) if stored else Votes(inputs, kernel)
            answers = both.sum(), both.weighted_sum(coefficients), both.agreement(capsules)
            answers += both.attend(capsules, lambda agreements, axis: tf.nn.softmax(agreements, axis))
            answers += (tf.concat([part.sum() for part in both.chunks(4)], axis=1),)
            total = sum(tf.reduce_sum(tf.sin(answer)) for answer in answers)
        results.append([*answers, *tape.gradient(total, variables)])
    assert both.shape == (size, num_outputs, atoms)
    assert len(Votes(inputs, kernel)._input_pieces) == groups * atoms_in
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_the_number_of_products_is_bounded():
    for size, outputs in ((1021, 100), (9216, 10), (1152, 1000), (7, 10**6)):
        assert votes._number_of_groups(128, size, outputs) <= 64
