"""Loads a network from a checkpoint as its `config.json` describes it, or by flags where there is no config."""

from dataclasses import dataclass, replace
from pathlib import Path

from input_data import Options, Split, open_split
from input_data.progress import say
from models import make_model
from models.hparams import HParams
from models.network import Classifier
from runner import checkpoints, config, shapes
from runner.config import NetworkSpec, SavedConfig
from runner.naming import resolve
from runner.run_config import NetworkFlags


@dataclass(frozen=True)
class Trained:
    """A trained network and its facts.

    Attributes:
        model: the network.
        step: number of training steps.
        dataset: the data set it was trained on, a name that `--dataset` takes.
        num_targets: labels of an image, 1 or 2.
        class_names: one name for each class.
        statistics: statistics of the training images, see `input_data.Split`.
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
    """The split that a network is evaluated on. It is opened once, when it is first needed.

    Args:
        data_dir: its files; None: the data set's default.
        split_name: "test" or "valid_test".
        num_pairs: MultiMNIST: number of test pairs for each digit.
    """

    def __init__(self, data_dir: str | None, split_name: str = "test", num_pairs: int = 1):
        self.data_dir, self.split_name, self.num_pairs = data_dir, split_name, num_pairs
        self._opened: tuple[tuple, Split] | None = None

    def open(self, network: NetworkSpec, statistics: tuple[float, ...] = ()) -> Split:
        """The split for a network, whose training images have these statistics."""
        wanted = network.dataset, network.options(self.num_pairs, statistics)
        if self._opened is None or self._opened[0] != wanted:
            dataset, options = wanted
            split = open_split(dataset, self.split_name, self.data_dir, options)
            if split.note:
                say(split.note)
            self._opened = wanted, split
        return self._opened[1]

    def for_network(self, saved: SavedConfig) -> Split:
        """The split for a network, after a check that it fits.

        Raises:
            ValueError: its images or its classes are not the network's.
        """
        split = self.open(saved.network, saved.statistics)
        check_fits(split, saved, self.data_dir)
        return split


def check_fits(split: Split, saved: SavedConfig, data_dir: str | None) -> None:
    """Raises ValueError if the images or the classes of a split are not those of a network."""
    where = f"those of {split.info.name} in {data_dir or 'the embedded sample'}"
    expected, received = ("x".join(map(str, shape)) for shape in (saved.image_shape, split.info.image_shape))
    if expected != received:
        raise ValueError(
            f"The network takes images of {expected}, but {where} are {received}. "
            "Give the --data_dir that it was trained on."
        )
    names = split.info.class_names
    if saved.class_names != names:
        pairs = zip(saved.class_names, names, strict=False)
        index, (own, other) = next(((i, p) for i, p in enumerate(pairs) if p[0] != p[1]), (0, ("", "")))
        difference = (
            f"class {index} is {own!r} in the network and {other!r} in the data"
            if own != other
            else f"{len(saved.class_names)} classes in the network and {len(names)} in the data"
        )
        raise ValueError(
            f"The network learned other classes than {where}: {difference}. Give the --data_dir that it was trained on."
        )


def describe(checkpoint: str, flags: NetworkFlags, data: Data) -> SavedConfig:
    """Describes the network of a checkpoint from the `config.json` beside it, or else from its shapes and the flags.

    Args:
        checkpoint: its prefix, `…/model.ckpt-STEP`.
        flags: hparams to change; without a config, also what the shapes leave open.
        data: the source of class names if there is no config.

    Raises:
        ValueError: the config is damaged, or flags contradict it.
        CheckpointError: the checkpoint is damaged.
    """
    saved = config.read(Path(checkpoint).parent)
    if saved is None:
        return _describe_by_shapes(checkpoint, flags, data)
    network = saved.network.with_flags(flags)
    if network.hparams != saved.network.hparams:
        say(f"The hparams are those of {Path(checkpoint).parent}/config.json, except for those given by flags")
    if different := saved.network.differences(network):
        conflicts = (
            f"--{name}={getattr(network, name)} and {getattr(saved.network, name)} in config.json" for name in different
        )
        raise ValueError(
            f"Flags contradict {Path(checkpoint).parent}/config.json: {'; '.join(conflicts)}. Leave the flag out: "
            "the config describes the network."
        )
    return replace(saved, network=network)


def _describe_by_shapes(checkpoint: str, flags: NetworkFlags, data: Data) -> SavedConfig:
    own = shapes.read(checkpoint)
    inferred = shapes.infer(own)
    model = flags.model or inferred.model or NetworkSpec.model
    asked = NetworkSpec(model=model).with_flags(replace(flags, preset=None, hparams_override=None))
    split = data.open(asked)
    rows, columns, depth = split.info.image_shape
    inferred = shapes.infer(own, rows if rows == columns else None)
    hparams = inferred.hparams if inferred.model == model else {}
    if inferred.model:
        say(f"There is no config.json beside {checkpoint}. Its shapes imply: {inferred.words()}")
    network = replace(asked, hparams=replace(HParams(), **hparams)).with_flags(flags)
    image_shape = (inferred.size, inferred.size, depth) if inferred.size else split.info.image_shape
    described = config.make(network, image_shape, split.info.class_names)
    if inferred.depth not in (None, depth) or inferred.num_classes not in (None, split.info.num_classes):
        raise ValueError(
            f"{checkpoint} is a network for {inferred.num_classes} classes and images of depth {inferred.depth}; "
            f"{split.info.name} has {split.info.num_classes} classes and depth {depth}. Check --dataset."
        )
    return described


def build(saved: SavedConfig) -> Classifier:
    """A network with fresh weights, from its description."""
    return make_model(saved.network.model, saved.image_shape, len(saved.class_names), saved.network.hparams)


def load(
    checkpoint: str, flags: NetworkFlags = NetworkFlags(), data: Data | None = None, run: Path | None = None
) -> Trained:
    """The network of a checkpoint.

    Args:
        checkpoint: any of its names, see `runner.naming`.
        flags: see `describe`.
        data: see `describe`.
        run: the run that the names `latest` and `best` refer to.

    Raises:
        CheckpointError: the checkpoint does not exist, is damaged, or is of another network.
        ValueError: the config is damaged, or flags contradict it.
    """
    prefix = resolve(checkpoint, run)
    return load_described(prefix, describe(prefix, flags, data or Data(None)))


def load_described(prefix: str, saved: SavedConfig) -> Trained:
    """The network of a checkpoint that `describe` has described."""
    model = build(saved)
    step = checkpoints.restore(prefix, model)
    return Trained(model, step, saved.network.dataset, saved.network.num_targets, saved.class_names, saved.statistics)
