"""The networks, by the names that `--model` takes."""

from importlib import import_module

MODELS = {
    "capsule": "models.capsnet.CapsNet",
    "baseline": "models.baseline.Baseline",
    "baseline_paper": "models.baseline.PaperBaseline",
}


def make_model(name: str, image_shape: tuple[int, int, int], num_classes: int, hparams=None):
    """A network with fresh weights.

    Args:
        name: a name in `MODELS`.
        image_shape: (rows, columns, depth).
        num_classes: number of classes.
        hparams: a `models.hparams.HParams`; None: the defaults.

    Raises:
        ValueError: images too small for the network.
    """
    module, _, kind = MODELS[name].rpartition(".")
    return getattr(import_module(module), kind)(image_shape, num_classes, hparams)
