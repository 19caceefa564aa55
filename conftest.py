"""Each test starts from the same random state, so that a failure repeats."""

import pytest


@pytest.fixture(autouse=True)
def same_random_state():
    """Seeds Keras, NumPy and Python."""
    import keras

    keras.utils.set_random_seed(1)
