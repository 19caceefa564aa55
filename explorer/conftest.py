"""A trained network for the tests of what one does with one."""

import pytest

from runner.loader import load


@pytest.fixture(scope="session")
def network():
    """A network that ships, which reads all but a few of a thousand test digits."""
    return load("pretrained:capsnet_mnist_small")
