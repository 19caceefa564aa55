"""Facts about the backend that Keras runs on."""

import keras

NOMINAL_BATCH = 128  # for choices that depend on the batch size, if it is not known yet


def is_tensorflow_on_cpu() -> bool:
    """Whether TensorFlow is the backend and sees no accelerator."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
