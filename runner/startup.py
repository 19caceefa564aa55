"""Loads TensorFlow, and makes it Keras' backend, when a program starts, whatever the user's settings are."""

import os
import sys

from input_data.startup import stderr_held_back
from runner.flags import UserError


def use_tensorflow() -> None:
    """Makes TensorFlow Keras' backend in this process and overrides what the user's environment and files say."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # A notebook's kernel hands its backend to every program it starts, and Keras imports Matplotlib.
    os.environ["MPLBACKEND"] = "Agg"
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        with stderr_held_back():
            import keras
            import tensorflow  # noqa: F401
    except (AssertionError, KeyError, ValueError) as error:
        raise UserError(
            f"Keras or a library that it loads does not accept a setting of this machine ({error}). Unset variables "
            "such as KERAS_HOME and MATPLOTLIBRC, or move ~/.keras/keras.json away."
        ) from None
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"This program needs Keras with TensorFlow. It is loaded with {keras.backend.backend()}.")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
