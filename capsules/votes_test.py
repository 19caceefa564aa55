"""Votes that are not stored answer as stored votes do, in value and gradient, whatever their number."""

import numpy as np
import pytest
import tensorflow as tf

from capsules import votes
from capsules.votes import StoredVotes, Votes


@pytest.mark.parametrize(("groups", "rows"), [(1, 1), (2, 1), (6, 1), (1, 2), (2, 3)])
def test_votes_in_groups_answer_as_stored_votes_do_with_their_gradients(groups, rows, monkeypatch):
    """With more than one row, the poses are matrices [rows, columns], and the votes are products of matrices."""
    batch, size, columns_in, num_outputs, columns = 3, 6, 4, 5, 2
    monkeypatch.setattr(votes, "_GROUP_BYTES", 4 * batch * rows * num_outputs * size / groups)
    random = np.random.RandomState(0)
    shapes = (batch, size, rows * columns_in), (size, columns_in, num_outputs, columns), (batch, size, num_outputs)
    shapes += ((batch, num_outputs, rows * columns),)
    inputs, kernel, coefficients, capsules = (
        tf.constant(random.standard_normal(shape).astype(np.float32)) for shape in shapes
    )
    results = []
    for stored in (False, True):
        with tf.GradientTape() as tape:
            variables = inputs, kernel, coefficients, capsules
            tape.watch(variables)
            if stored:
                matrices = tf.reshape(inputs, (batch, size, rows, columns_in))
                array = tf.einsum("birc,icjd->bijrd", matrices, kernel)
                both = StoredVotes(tf.reshape(array, (batch, size, num_outputs, rows * columns)))
            else:
                both = Votes(inputs, kernel, rows)
            answers = both.sum(), both.weighted_sum(coefficients), both.agreement(capsules)
            answers += both.attend(capsules, lambda agreements, axis: tf.nn.softmax(agreements, axis))
            compare = lambda part, shares, vectors: tf.reduce_sum(part * vectors[:, None], axis=3) * shares  # noqa: E731
            answers += (tf.concat(both.in_parts(4, compare, [coefficients], [capsules]), axis=1),)
            total = sum(tf.reduce_sum(tf.sin(answer)) for answer in answers)
        results.append([*answers, *tape.gradient(total, variables)])
    assert both.shape == (size, num_outputs, rows * columns)
    assert len(Votes(inputs, kernel, rows)._input_pieces) == groups * columns_in
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_the_number_of_products_is_bounded():
    for size, outputs in ((1021, 100), (9216, 10), (1152, 1000), (7, 10**6)):
        assert votes._number_of_groups(128, size, outputs) <= 64
