"""What the routing does, against slow, plain twins."""

import numpy as np
import pytest
from keras import ops

from explorer.findings import coupling_maps
from models import make_model
from models.hparams import HParams


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "leaky"])
def network(request):
    """A network with random weights, twice as large as fresh ones, so that the routing has something to do."""
    hparams = HParams(num_prime_capsules=3, conv_channels=4, leaky=request.param)
    model = make_model("capsule", (20, 22, 1), 10, hparams)
    for variable in model.trainable_variables:
        variable.assign(variable * 2)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((2, 20, 22, 1), np.float32)


def test_coupling_is_a_mean_over_types_weighted_by_length(network, images):
    coupling = np.asarray(coupling_maps(network, images))
    assert coupling.shape == (2, 3, 10, 2, 3)
    if not network.hparams.leaky:
        np.testing.assert_allclose(coupling.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(coupling[:, 0], 1 / (10 + network.hparams.leaky), atol=1e-5)
    primary = np.asarray(network.activations(images)["conv_capsule1"])
    last = np.asarray(network.classes.route(ops.convert_to_tensor(primary)).steps[2].coefficients)  # [batch, in, out]
    for image, label, row, column in ((0, 7, 0, 2), (1, 2, 1, 1)):
        cells = [kind * 6 + row * 3 + column for kind in range(3)]
        lengths = [np.sqrt((primary[image, cell] ** 2).sum()) for cell in cells]
        expected = sum(w * last[image, cell, label] for w, cell in zip(lengths, cells, strict=True)) / sum(lengths)
        np.testing.assert_allclose(coupling[image, 2, label, row, column], expected, rtol=1e-4)
