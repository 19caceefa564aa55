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


def run_program(main, capsys, arguments):
    """(exit code, output, errors) of a program's `main`, run in this process."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as leave:
        code = leave.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err
