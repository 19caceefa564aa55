"""Each test starts from the same random state, so that a failure repeats, and hears the end of a terminal."""

import signal

import pytest

if hasattr(signal, "SIGHUP"):
    # A shell's nohup has this process and its children ignore the signal; the tests of signals send it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_random_state():
    """Seeds Keras, NumPy and Python."""
    import keras

    keras.utils.set_random_seed(1)
