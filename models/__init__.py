"""The networks, by the names that `--model` takes."""

from importlib import import_module

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
        ValueError: an image shape or number of classes that the network cannot have.
    """
    module, _, kind = MODELS[name].rpartition(".")
    return getattr(import_module(f".{module}", __name__), kind)(image_shape, num_classes, hparams)
