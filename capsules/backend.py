"""What the layers ask of the backend that Keras runs on."""

import keras

NOMINAL_BATCH = 128  # for a choice by the batch, where that is not known yet


def is_tensorflow_on_cpu() -> bool:
    """Whether TensorFlow is the backend and sees no accelerator."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
