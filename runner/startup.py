"""Loads TensorFlow, and makes it Keras' backend, when a program starts, whatever the user's settings are."""

import ctypes
import os
import sys

from input_data.startup import stderr_held_back
from runner.config import POLICIES

# glibc's mallopt: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX and M_ARENA_MAX (man 3 mallopt)
_KEEP_MEMORY = {-1: -1, -2: 1 << 26, -4: 0, -8: 1}


def keep_memory() -> None:
    """Makes glibc keep the memory that is freed, instead of returning it to the system.

    TensorFlow allocates the large arrays of a step anew each time. By default glibc gets them from the system and
    gives them back, and the system clears 200,000 pages in each step of CapsNet, which takes a third of its time on a
    virtual machine (docs/performance.md). Other C libraries have no `mallopt`, and are left as they are.
    """
    if mallopt := sys.platform == "linux" and getattr(ctypes.CDLL(None), "mallopt", None):
        for parameter, value in _KEEP_MEMORY.items():
            mallopt(parameter, value)


def use_tensorflow(precision: str = "float32") -> None:
    """Makes TensorFlow Keras' backend, with a --precision, and overrides what the user's environment and files say."""
    keep_memory()
    os.environ["MPLBACKEND"] = "Agg"  # a notebook hands its own to programs, and Keras imports Matplotlib
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # TensorBoard's hparams would ask for Keras 2
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with stderr_held_back():
        import keras
        import tensorflow  # noqa: F401
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy(POLICIES[precision])
