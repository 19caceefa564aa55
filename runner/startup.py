"""Makes TensorFlow Keras' backend when a program starts, whatever the user's settings are."""

import os
import sys

from input_data.startup import load_tensorflow


def use_tensorflow() -> None:
    """Makes TensorFlow Keras' backend in this process and overrides the settings in the user's keras.json.

    Raises:
        ValueError: this process has already imported Keras with another backend.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    load_tensorflow()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"This program needs Keras with TensorFlow. It is loaded with {keras.backend.backend()}.")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
