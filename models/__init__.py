"""Makes networks by the names that `--model` takes, and loads pretrained ones."""

from importlib import import_module

from . import pretrained

MODELS = {
    "capsule": "capsnet.CapsNet",
    "efficient": "efficient.EfficientCapsNet",
    "baseline": "baseline.Baseline",
    "baseline_paper": "baseline.PaperBaseline",
}


def make_model(name: str, image_shape: tuple[int, int, int], num_classes: int, hparams=None):
    """A network with fresh weights.

    Args:
        name: a name in `MODELS`.
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: an `HParams`, or a dict of its fields; None: the defaults.

    Raises:
        ValueError: the network cannot have this image shape or number of classes.
    """
    module, _, kind = MODELS[name].rpartition(".")
    return getattr(import_module(f".{module}", __name__), kind)(image_shape, num_classes, hparams)


def load_pretrained(name: str):
    """A pretrained network as a Keras model.

    Args:
        name: a folder in `pretrained/`, such as "capsnet_mnist_small"; its `README.md` is the network's card.

    Raises:
        ValueError: there is no such network, or its files are missing or damaged.

    Example:
        >>> model = load_pretrained("capsnet_mnist_small")
        >>> lengths = model(images)["logits"]  # of images [batch, 28, 28, 1] in [0, 1]: [batch, 10]
    """
    folder = pretrained.find(name)
    config, weights = pretrained.read_config(folder), pretrained.read_weights(folder)
    classes = len(config["class_names"])
    model = make_model(config["flags"]["model"], tuple(config["image_shape"]), classes, config["hparams"])
    for variable_name, variable in model.named_variables().items():
        variable.assign(weights[variable_name])
    return model
