"""Loads a network from a checkpoint as its `config.json` describes it, or by flags where there is no config."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from input_data import Options, Split, open_split
from input_data.progress import say
from models import make_model
from models.network import Classifier
from runner import checkpoints, config, own_model
from runner.config import NetworkConfig
from runner.flags import UserError, user_errors
from runner.naming import resolve
from runner.run_config import NetworkFlags, RunConfig


@dataclass(frozen=True)
class Trained:
    """A trained network and its facts.

    They are its number of training steps, and of its data the name for `--dataset`, labels of an image (1 or 2), a name
    for each class, and statistics of the training images (see `input_data.Split`).
    """

    model: Classifier
    step: int
    dataset: str
    num_targets: int
    class_names: tuple[str, ...]
    statistics: tuple[float, ...] = ()

    @property
    def options(self) -> Options:
        """How the images of its data set are prepared for it."""
        return Options(self.num_targets, preparation=self.model.hparams.preparation, statistics=self.statistics)


class Data:
    """A split for networks, opened once, when it is first needed.

    `split_name` is train, test, valid_train or valid_test; see `input_data.open_split` for the others.
    """

    def __init__(self, data_dir: str | None, split_name: str = "test", num_pairs: int = 1):
        self.data_dir, self.split_name, self.num_pairs = data_dir, split_name, num_pairs
        self._opened: tuple[tuple, Split] | None = None

    def open(self, network: NetworkConfig) -> Split:
        """The split for a network."""
        wanted = network.dataset, network.options(self.num_pairs)
        if self._opened is None or self._opened[0] != wanted:
            split = open_split(wanted[0], self.split_name, self.data_dir, wanted[1])
            if split.note:
                say(split.note)
            self._opened = wanted, split
        return self._opened[1]

    def for_network(self, saved: NetworkConfig) -> Split:
        """The split for a network; UserError if its images or its classes are not the network's."""
        split = self.open(saved)
        there = saved.for_data(split)
        if different := config.conflicts(saved.values(), there.values(), ("images", "classes")):
            name, network, data = different[0]
            if name == "classes" and len(network) == len(data):  # of many classes the first that differs
                pairs = enumerate(zip(network, data, strict=True))
                name, network, data = next((f"class {i}", *both) for i, both in pairs if both[0] != both[1])
            raise UserError(
                f"The network was trained on other data: {name} is {network} there and {data} in {split.info.name} in "
                f"{self.data_dir or 'the embedded sample'}. Give the --data_dir that it was trained on."
            )
        return split


def open_data(flags: RunConfig, training: bool = False) -> Data:
    """The training split of the flags, or the one that they evaluate on; `--download` fetches their files first."""
    if flags.download:
        from input_data.download import download

        download(NetworkConfig().with_flags(flags).dataset, flags.data_dir)
    return Data(flags.data_dir, flags.split_name(training), flags.num_pairs)


def describe(checkpoint: str, flags: NetworkFlags, data: Data) -> NetworkConfig:
    """Describes the network of a checkpoint from the `config.json` in its folder, or else from the flags and the data.

    The checkpoint is given by its prefix, `…/model.ckpt-STEP`. With a config, flags may change hparams alone.
    """
    folder = Path(checkpoint).parent
    saved = config.read(folder)
    if saved is None:  # a checkpoint of 2017
        asked = NetworkConfig().with_flags(flags)
        return asked.for_data(data.open(asked))
    network = saved.with_flags(flags)
    if network.hparams != saved.hparams:
        say(f"The hparams are those of {folder}/config.json, except for those given by flags")
    if different := config.conflicts(network.values(), saved.values(), config.FLAGS):
        raise UserError(
            f"Flags contradict {folder}/config.json: {config.in_words(different, '--{}={} and {} in config.json')}. "
            "Leave the flag out: the config describes the network."
        )
    return network


def build(saved: NetworkConfig) -> Classifier:
    """A network with fresh weights."""
    facts: Any = saved.model, saved.image_shape, len(saved.class_names), saved.hparams
    if own_model.is_own(saved.model):
        return own_model.make(*facts)
    with user_errors():
        return make_model(*facts)


def load(
    checkpoint: str, flags: NetworkFlags = NetworkFlags(), data: Data | None = None, run: Path | None = None,
    averaged: bool = True,
) -> Trained:  # fmt: skip
    """The network of a checkpoint, by the arguments of `naming.resolve`, `describe` and `checkpoints.restore`."""
    prefix = resolve(checkpoint, run)
    return load_described(prefix, describe(prefix, flags, data or Data(None)), averaged)


def load_described(prefix: str, saved: NetworkConfig, averaged: bool = True) -> Trained:
    """The network of a checkpoint that `describe` has described."""
    model = build(saved)
    step = checkpoints.restore(prefix, model, averaged=averaged)
    return Trained(model, step, saved.dataset, saved.num_targets, saved.class_names, saved.statistics)
