"""What the constructors of all networks need: their arguments, the layers' settings and 2017's names and values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from capsules.ops import choice, count, counts


def arguments(values: dict[str, Any], smallest: int = 1, **defaults: Any) -> dict[str, Any]:
    """The config of a network: the arguments of its constructor, from its `locals()`, and its `**options`, checked.

    The options are the arguments of `Classifier` that all networks take, and `defaults` what they are if not given.
    `smallest` is the smallest side of images that unpadded convolutions can process.
    """
    kind, options = type(values["self"]).__name__, values["options"]
    config = {name: value for name, value in values.items() if name not in ("self", "__class__", "options")}
    config |= {"loss": "margin", "reconstruction_weight": 0.0005, "dtype": None} | defaults
    if unknown := options.keys() - config.keys():
        raise TypeError(f"{kind} has no argument {', '.join(sorted(unknown))}.")
    config |= options
    config["image_shape"] = counts(f"{kind}: image_shape", config["image_shape"], "(rows, columns, depth)")
    config["num_classes"] = count(f"{kind}: num_classes", config["num_classes"])
    if "padding" in config:
        config["padding"] = choice(f"{kind}: padding", config["padding"], ("valid", "same"))
    rows, columns, _ = config["image_shape"]
    if min(rows, columns) < smallest and config.get("padding") != "same":
        padded = ", or of any size with the padding 'same'" if "padding" in config else ""
        raise ValueError(f"{kind} takes images of {smallest}x{smallest} or larger{padded}. Received: {rows}x{columns}.")
    if isinstance(config.get("routing"), dict):  # from a file
        config["routing"] = keras.saving.deserialize_keras_object(config["routing"])
    config["dtype"] = keras.dtype_policies.get(config["dtype"] or keras.config.dtype_policy()).name
    return config


@contextmanager
def layers_with(dtype: str) -> Iterator[None]:
    """Layers made in the block have this dtype policy and the channels last, whatever the user's Keras is set to."""
    policy, image_format = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(image_format)


def initial(deviation: float) -> dict[str, Any]:
    """The initial values of 2017, as arguments of a layer: truncated normal kernels, and biases of 0.1."""
    return {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=deviation),
        "bias_initializer": keras.initializers.Constant(0.1),
    }


def named_weights(model: Any) -> dict[str, Any]:
    """The variables of a network by the names that 2017's checkpoints have for them, in order."""
    decoder: Any = getattr(model.decoder, "stack", None) or getattr(model.decoder, "layers", ())
    layers = [("", layer) for layer in model.layers if layer is not model.decoder]
    named = {}
    for prefix, layer in [*layers, *(("recons/", layer) for layer in decoder)]:
        for weight in layer.weights:
            kind = {"kernel": "weights", "bias": "biases"}.get(weight.name, weight.name)
            named[f"{prefix}{layer.name}/{kind}"] = weight
    return named


def replicas() -> int:
    """Number of devices that share a batch, by which Keras divides a loss."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
