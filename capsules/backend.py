"""What differs between the backends that Keras runs on."""

from typing import Any

import keras

NOMINAL_BATCH = 128  # for choices that depend on the batch size, if it is not known yet


def is_tensorflow_on_cpu() -> bool:
    """Whether TensorFlow is the backend and sees no accelerator."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


def after(first: Any, tensor: Any) -> Any:
    """`tensor`, which nothing uses before `first` is computed; other backends than TensorFlow find their own order."""
    if keras.backend.backend() != "tensorflow":
        return tensor
    import tensorflow as tf

    with tf.control_dependencies([first]):
        return tf.identity(tensor)
