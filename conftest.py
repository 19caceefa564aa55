"""Each test starts from the same random state, so that a failure repeats, and hears the end of a terminal."""

import signal

import pytest

# Shells have a process ignore SIGINT behind `&` and SIGHUP under nohup, and its children too; the tests send both.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_random_state():
    """Seeds Keras, NumPy and Python."""
    import keras

    keras.utils.set_random_seed(1)
