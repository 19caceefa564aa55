"""From a checkpoint's name to its network, and to the network that a training begins with.

A run's folder S has its checkpoints in S/train, and the best of those that were evaluated in S/test/best.
"""

import hashlib
import importlib.util
import inspect
import re
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras

from input_data import Options, Split, open_split
from input_data.progress import say
from models import MODELS, make_model, network_class, pretrained
from models.hparams import network_arguments
from models.network import Classifier
from runner import checkpoints, config
from runner.checkpoints import INDEX, MissingCheckpoint, prefix, steps
from runner.config import PRETRAINED, NetworkConfig, NetworkFlags, RunConfig, conflicts
from runner.flags import UserError, user_errors


def resolve(name: str, run: Path | None = None) -> str:
    """The prefix of the checkpoint with a given name.

    The name is a prefix `S/train/model.ckpt-STEP`, with or without `.index`; a folder with checkpoints, or with
    `train/`, for its newest checkpoint; `S/latest` or `S/best`, of `run` or the current folder if there is no S;
    `pretrained:NAME`, or a folder in the form of `pretrained/NAME`. MissingCheckpoint: there is none.
    """
    path = Path(re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", name))
    if Path(f"{path}{INDEX}").is_file():
        return str(path)
    if name.startswith(PRETRAINED) or (path / pretrained.WEIGHTS).is_file():
        try:
            folder = pretrained.find(name.removeprefix(PRETRAINED)) if name.startswith(PRETRAINED) else path
            pretrained.read_file(folder, pretrained.CONFIG)  # checks it; the weights are checked when they are read
        except ValueError as error:
            raise MissingCheckpoint(str(error)) from None
        return str(folder / pretrained.WEIGHTS)
    if path.is_dir():
        folders = [path, path / "train"]
    else:
        parent = (run or Path()) if len(path.parts) == 1 else path.parent
        folders = [parent / {"latest": "train", "best": "test/best"}.get(path.name, "")]
    there = next(((folder, own) for folder in folders if (own := steps(folder))), None)
    if there and (path.is_dir() or path.name in ("latest", "best")):
        return prefix(there[0], there[1][-1])
    others = f" {there[0]} has the steps {there[1][0]} to {there[1][-1]}." if there else ""
    best = " Evaluations with --validate keep the best checkpoint in test/best." if path.name == "best" else ""
    raise MissingCheckpoint(f"There is no checkpoint {path}.{others}{best}")


def run_folder(checkpoint: str) -> Path:
    """The run's folder (`summary_dir`) that a checkpoint is in: the one with `train/`, or the checkpoint's own.

    A pretrained network has no run; its outputs go to `runs/pretrained/NAME`.
    """
    if Path(checkpoint).name == pretrained.WEIGHTS:
        return Path("runs/pretrained") / Path(checkpoint).parent.name
    nearest = Path(checkpoint).absolute().parents[:3]  # S/train/model.ckpt-N or S/test/best/model.ckpt-N
    return next((folder for folder in nearest if (folder / "train").is_dir()), nearest[0])


@dataclass
class Data:
    """A split for networks, opened once, when it is first needed; for the arguments see `input_data.open_split`."""

    data_dir: str | None
    split_name: str = "test"
    num_pairs: int = 1
    _opened: dict[tuple[str, Options], Split] = field(default_factory=dict)

    def open(self, network: NetworkConfig) -> Split:
        """The split for a network."""
        wanted = network.dataset, network.options(self.num_pairs)
        if wanted not in self._opened:
            split = open_split(wanted[0], self.split_name, self.data_dir, wanted[1])
            if split.note:
                say(split.note)
            self._opened = {wanted: split}
        return self._opened[wanted]

    def for_network(self, saved: NetworkConfig) -> Split:
        """The split for a network; UserError if its images or its classes are not the network's."""
        split = self.open(saved)
        if words := conflicts(saved.facts("data"), saved.for_data(split).facts("data"), "{} is {} there and {} here"):
            here = f"{split.info.name} in {self.data_dir or 'the embedded sample'}"
            advice = "Give the --data_dir that it was trained on."
            raise UserError(f"The network was trained on other data than {here}: {words}. {advice}")
        return split


def open_data(flags: RunConfig, training: bool = False) -> Data:
    """The training split of the flags, or the one that they evaluate on; `--download` fetches their files first."""
    if flags.download:
        from input_data.download import download

        download(NetworkConfig().with_flags(flags).dataset, flags.data_dir)
    name = "train" if training else "test"  # with --validate, both are parts of the training set
    return Data(flags.data_dir, f"valid_{name}" if flags.validate else name, flags.num_pairs)


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
    if words := conflicts(network.facts("network"), saved.facts("network"), "--{}={} and {} in config.json"):
        raise UserError(f"{words}. Leave the flag out: {folder}/config.json describes the network.")
    return _with_checksum(network)


def begin(flags: RunConfig) -> tuple[NetworkConfig, str | None]:
    """The network to train, and the checkpoint to begin with, which a run that has checkpoints does not need.

    What the flags leave open is as in the run's config.json, else as in that of the checkpoint, else the default.
    """
    found, first, root = steps(flags.train_dir), None, flags.root.resolve()
    if flags.checkpoint:  # only what lies elsewhere, where the run began, may be gone since
        own = flags.checkpoint in ("best", "latest") or Path(flags.checkpoint).resolve().is_relative_to(root)
        with nullcontext() if own or not found else suppress(MissingCheckpoint):
            first = resolve(flags.checkpoint, flags.root)
    if first and found:
        name = checkpoints.NAME.fullmatch(Path(first).name)
        if name and Path(first).resolve().is_relative_to(root) and int(name[1]) < found[-1]:
            later = f"is of step {name[1]}, and {flags.train_dir} has later checkpoints, up to step {found[-1]}."
            advice = "To go back, remove these, or start from it in another --summary_dir."
            raise UserError(f"--checkpoint={flags.checkpoint} {later} {advice}")
    elif first and (step := checkpoints.step_of(checkpoints.read(first))) >= flags.max_steps:
        known = f"{first} has {step} steps already, and --max_steps={flags.max_steps} counts from the start."
        raise UserError(f"{known} For 1000 steps more, give --max_steps={step + 1000}.")
    # A new run may have other data than the checkpoint, so a flag does not contradict its config here.
    folder = flags.train_dir if found else first and Path(first).parent
    begun = replace((folder and config.read(folder)) or NetworkConfig(), statistics=()).with_flags(flags)
    end = begun.hparams.decay_steps
    if begun.hparams.schedule == "linear" and end < flags.max_steps:  # the steps beyond would teach nothing
        known = f"With schedule=linear, the learning rate has fallen to nothing at step {end}"
        advice = f"Give --hparams_override=decay_steps={flags.max_steps} too."
        raise UserError(f"{known}, and --max_steps={flags.max_steps} goes on after it. {advice}")
    if not found and begun.model in MODELS:
        with user_errors():
            network_arguments(begun.model, network_class(begun.model), begun.hparams, strict=True)
    return _with_checksum(begun), None if found else first


@dataclass(frozen=True)
class Trained:
    """A trained network, its number of training steps, what describes it and its data, and its checkpoint's prefix."""

    model: Classifier
    step: int
    config: NetworkConfig
    checkpoint: str = ""


def load(
    checkpoint: str, flags: NetworkFlags = NetworkFlags(), data: Data | None = None, run: Path | None = None
) -> Trained:
    """The network of a checkpoint, by the arguments of `resolve` and `describe`."""
    found = resolve(checkpoint, run)
    return load_described(found, describe(found, flags, data or Data(None)))


def load_described(checkpoint: str, saved: NetworkConfig) -> Trained:
    """The network of a checkpoint that `describe` has described."""
    model = build(saved)
    return Trained(model, checkpoints.restore(checkpoint, model), saved, checkpoint)


def build(saved: NetworkConfig) -> Classifier:
    """A network with fresh weights."""
    if ":" in saved.model:
        return _build_own(saved)
    with user_errors():
        return make_model(saved.model, saved.image_shape, len(saved.class_names), saved.hparams)


# A network of the user's own, `--model=FILE.py:CLASS`: a subclass of `Classifier`, or what makes a Keras model from
# images to logits. It is called as CLASS(image_shape, num_classes), or with `hparams` too if it takes them.


def _with_checksum(network: NetworkConfig) -> NetworkConfig:
    """The network with the checksum of the user's own file, if it has one; says so if the file has changed."""
    if ":" not in network.model:
        return network
    path = Path(network.model.rpartition(":")[0])
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if network.model_sha256 not in (None, checksum):
        say(f"{path} has changed since the network was trained.")
    return replace(network, model_sha256=checksum)


def _build_own(saved: NetworkConfig) -> Classifier:
    file, _, kind = saved.model.rpartition(":")
    path, name = Path(file), re.sub(r"\W", "_", file)
    if name not in sys.modules:
        sys.path.append(str(path.parent))  # the file may import others in its folder
        spec: Any = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])  # an error in it is the user's to see, with its traceback
    make_network = getattr(sys.modules[name], kind, None)
    if not callable(make_network):
        raise UserError(f"--model: {path} has no class {kind}.")
    hparams = {"hparams": saved.hparams} if "hparams" in inspect.signature(make_network).parameters else {}
    network = make_network(saved.image_shape, len(saved.class_names), **hparams)
    if not isinstance(network, Classifier):
        network = _classifier(network, kind, saved)
    network.name = kind
    network.given_hparams = saved.hparams  # a routing of the user's own cannot be described by hparams
    return network


def _classifier(network: Any, kind: str, saved: NetworkConfig) -> Classifier:
    """A Keras model from images to logits in the form that the runner trains; its loss is that of the hparams."""
    images, num_classes = keras.Input(saved.image_shape, name="images"), len(saved.class_names)
    logits = network(images)
    if (shape := getattr(logits, "shape", type(logits).__name__)) != (None, num_classes):
        raise UserError(f"--model: {kind} should give logits [batch, {num_classes}]. Received: {shape}")
    facts = {"image_shape": saved.image_shape, "num_classes": num_classes, "loss": saved.hparams.loss_type,
             "reconstruction_weight": saved.hparams.reconstruction_weight, "name": kind}  # fmt: skip
    return Classifier(images, {"logits": keras.ops.cast(logits, "float32")}, facts)
