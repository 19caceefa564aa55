"""Keeps the lines that TensorFlow prints each time it is imported from the user."""

import faulthandler
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Holds back what the process writes to file descriptor 2, from C++ too, and shows it only if there is an error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    real = os.dup(2)
    watched = not faulthandler.is_enabled()
    if watched:
        faulthandler.enable(real)  # if a library ends the whole process, Python's traceback is still shown
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            if watched:
                faulthandler.disable()
            os.close(real)
