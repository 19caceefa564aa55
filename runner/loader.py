"""A trained network from a checkpoint, with what its run's config says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models import make_model
from models.classifier import Classifier
from models.hparams import HParams
from runner import checkpoints, config


@dataclass(frozen=True)
class Trained:
    """A network with its weights, and its facts.

    Attributes:
        model: the network.
        step: training steps that it has seen.
        dataset: the data set it was trained on, a name that `--dataset` takes.
        num_targets: labels of an image, 1 or 2.
        class_names: one name a class.
    """

    model: Classifier
    step: int
    dataset: str
    num_targets: int
    class_names: tuple[str, ...]


def load(
    checkpoint: str, otherwise: Callable[[], dict] | None = None, network: tuple[str, HParams] | None = None
) -> Trained:
    """The network of a checkpoint, built as the `config.json` beside it says.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`.
        otherwise: gives a config (see `config.make`) for a checkpoint that has none, such as those of 2017.
        network: a name in `models.MODELS` and hparams, in place of the config's.

    Raises:
        CheckpointError: no such checkpoint, a damaged one, or one of another network.
        ValueError: there is no config, or a damaged one.
    """
    known = config.read(Path(checkpoint).parent)
    if known is None and otherwise is None:
        raise ValueError(f"{Path(checkpoint).parent} has no config.json that says what network {checkpoint} is.")
    known = known or otherwise()
    flags = known["flags"]
    name, hparams = network or (flags["model"], HParams(**known["hparams"]))
    model = make_model(name, tuple(known["image_shape"]), len(known["class_names"]), hparams)
    step = checkpoints.restore(checkpoint, model)
    return Trained(model, step, flags["dataset"], flags["num_targets"], tuple(known["class_names"]))
