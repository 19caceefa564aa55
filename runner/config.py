"""The flags of a run, each declared in one row, and `NetworkConfig`: what config.json keeps of them and of a network.

A row has the flag's default, bounds and help, and `same`, a name in `SAME`: what else must have the same value.
"""

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from input_data import DATASETS, Options, Split
from input_data.formats.files import atomic_write
from models import MODELS
from models.hparams import PRESETS, HParams
from models.pretrained import CONFIG
from runner.flags import UserError, flag, user_errors

# What must be the same between a network and its data, or the members of an ensemble; between flags and the config of a
# checkpoint; between a run and its continuation; between the machines of a job. Each includes those before it.
SAME = ("data", "network", "run", "job")

PRETRAINED = "pretrained:"  # before the name of a network that ships, where a checkpoint is named
DEFAULT_NETWORK = f"{PRETRAINED}capsnet_mnist_small"

# Keras' names for the precisions of layers, by those of --precision.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
EXPORT_ENDINGS = (".keras", ".onnx", ".tflite", "")  # the last one is a folder

_WHAT, _DATA, _TRAIN, _HARDWARE = "network and run", "data", "training", "hardware"
_EVALUATE, _USE = "evaluation", f"use of a trained network (--checkpoint, else --summary_dir, else {DEFAULT_NETWORK})"
_CHECKPOINT = (
    "the network, in training the one to begin with: a run's folder, S/latest, S/best, S/train/model.ckpt-STEP, ours "
    "or of 2017, pretrained:NAME or a folder like it; {} in it, and in --predictions, is the number of a trial"
)
EXPORT = "write the network to F.keras, F.onnx, F.tflite or, without an ending, to the folder of a SavedModel"


@dataclass(frozen=True)
class NetworkFlags:
    """The flags that describe a network; None is the value in config.json, or that of `new` in a new network."""

    model: str | None = flag(
        None, f"{', '.join(MODELS)}, or FILE.py:CLASS of your own (default: the checkpoint's, else capsule)", _WHAT,
        same="network", new="capsule",
    )  # fmt: skip
    preset: str | None = flag(None, "hparams of a published network, see below", _WHAT, choices=tuple(PRESETS))
    hparams_override: str | None = flag(None, "hparams to change: name=value,name=value", _WHAT)
    dataset: str | None = flag(
        None, "default: the checkpoint's, else mnist", _DATA, choices=tuple(DATASETS), same="data", new="mnist"
    )
    num_targets: int | None = flag(
        None, "digits per image (default: the checkpoint's, else 1)", _DATA, high=2, same="data", new=1
    )
    image_size: int | None = flag(None, "resize your own images to squares of this side", _DATA, same="network")
    grayscale: bool | None = flag(None, "read your own images in grey", _DATA, same="network", new=False)

    def __post_init__(self):
        if self.model and self.model not in MODELS:
            if not re.fullmatch(r".+\.py:\w+", self.model):
                raise UserError(f"--model is {', '.join(MODELS)}, or FILE.py:CLASS. Received: {self.model}")
            path, _, kind = self.model.rpartition(":")
            object.__setattr__(self, "model", f"{Path(path).expanduser().resolve()}:{kind}")


@dataclass(frozen=True)
class RunConfig(NetworkFlags):
    """The flags of a run. They never change, and creating the config has no side effects."""

    summary_dir: str | None = flag(None, "folder for train/ and test/ (default: runs/default)", _WHAT, path=True)
    seed: int = flag(0, "seed of weights, data order and augmentation", _WHAT, low=0, high=2**32 - 1, same="run")

    data_dir: str | None = flag(None, "files of the data set (default: the embedded sample of MNIST)", _DATA, path=True)
    num_pairs: int = flag(1, "MultiMNIST: number of test pairs for each digit", _DATA)
    check_data: bool = flag(False, "read the whole training and test split, report on them, and draw sheets", _DATA)
    validate: bool = flag(False, "hold out a part of the training set and evaluate on it", _DATA, same="run")
    download: bool = flag(False, "download mnist, fashion_mnist or cifar10 to --data_dir if it is missing", _DATA)

    train: bool = flag(True, "train; false: evaluate", _TRAIN)
    max_steps: int = flag(1000, "train until this step, counted from the start of the run", _TRAIN, same="job")
    batch_size: int = flag(128, "images per step", _TRAIN, same="run")
    save_step: int = flag(1500, "steps between checkpoints", _TRAIN, same="job")
    eval_every: int | None = flag(
        None, "steps between evaluations, with checkpoints (default: with --validate save_step)", _TRAIN, same="job"
    )
    max_to_keep: int = flag(1000, "number of checkpoints to keep", _TRAIN)
    summary_step: int = flag(50, "steps between TensorBoard scalars", _TRAIN)

    num_gpus: int = flag(1, "GPUs of each machine that share a batch in training", _HARDWARE)
    precision: str = flag("float32", "precision of the layers", _HARDWARE, choices=tuple(POLICIES), same="run")
    xla: bool = flag(False, "compile the training step with XLA", _HARDWARE, same="job")

    checkpoint: str | None = flag(None, _CHECKPOINT, _EVALUATE, path=True)
    num_trials: int = flag(1, "members of the ensemble; in training, runs with different seeds", _EVALUATE)
    eval_size: int | None = flag(None, "number of test examples to use (default: all)", _EVALUATE)
    eval_batch_size: int = flag(50, "images per batch in evaluation", _EVALUATE)
    eval_timeout: float = flag(6.0, "hours to wait for the next checkpoint", _EVALUATE, low=0)
    predictions: str | None = flag(
        None, "write labels, predictions and logits to this file", _EVALUATE, path=True, endings=(".npz", ".csv")
    )

    predict: str | None = flag(None, "classify a picture, those below a folder, or of a pattern", _USE, path=True)
    export: str | None = flag(None, EXPORT, _USE, path=True, endings=EXPORT_ENDINGS)

    def __post_init__(self):
        super().__post_init__()
        of_trials = {"train": ("predictions", self.predictions or "{}"), "evaluate": ("checkpoint", self.checkpoint)}
        name, value = of_trials.get(self.job, ("", "{}"))
        if self.num_trials > 1 and "{}" not in str(value):
            raise UserError(f"With --num_trials, --{name} needs {{}}, the trial's number, in it. Received: {value}")

    @property
    def job(self) -> str:
        """The name of the job that the flags ask for, as in the table of jobs in `experiment.py`."""
        if self.predict or self.export:
            return "use"
        if self.check_data:
            return "check_data"
        if self.train:
            return "train"
        return "evaluate" if self.checkpoint or self.num_trials > 1 else "watch"

    @property
    def root(self) -> Path:
        """The run's folder, with its checkpoints in `train_dir` and its results in `test_dir`."""
        return Path(self.summary_dir or "runs/default")

    train_dir = property(lambda self: self.root / "train")
    test_dir = property(lambda self: self.root / "test")

    @property
    def part(self) -> str:
        """The name of the examples that are evaluated, in messages, tables and TensorBoard."""
        return "validation" if self.validate else "test"


def flag_lines(values: dict) -> str:
    """The lines of a file for --flagfile, from the names and values of flags; those that are None are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return "".join(f"--{name}={str(v).lower() if isinstance(v, bool) else v}\n" for name, v in given.items())


_NEW = {each.name: each.metadata["new"] for each in fields(NetworkFlags) if each.metadata["same"]}  # in a new network


@dataclass(frozen=True)
class NetworkConfig:
    """The description of a network and its run. Without arguments, the network of the flags' defaults.

    Attributes:
        flags, hparams: the flags of the run by name, at least those that describe the network, and its hyperparameters.
        image_shape, class_names: (rows, columns, depth), and a name for each class; empty until the data are known.
        versions, git_commit: of Python and packages when the run started, and of the code; None outside a checkout.
        data, statistics: numbers that identify the training data, and statistics of them, see `input_data.Split`.
        model_sha256: the checksum of the file of a network of the user's own.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    hparams: HParams = field(default_factory=HParams)
    image_shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    data: Mapping[str, int] = field(default_factory=dict)
    statistics: tuple[float, ...] = ()
    model_sha256: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "flags", _NEW | dict(self.flags))

    def __getattr__(self, name: str) -> Any:
        """`config.model`, `config.dataset` and the other flags that describe the network."""
        if name not in _NEW:
            raise AttributeError(name)
        return self.flags[name]

    def with_flags(self, flags: NetworkFlags) -> "NetworkConfig":
        """This network with the changes that the flags ask for; hparams are changed one by one."""
        names = (each.name for each in fields(NetworkFlags))
        given = {name: value for name in names if (value := getattr(flags, name)) is not None}
        with user_errors():
            hparams = self.hparams.override(PRESETS.get(flags.preset or "")).override(flags.hparams_override)
        return replace(self, flags={**self.flags, **given}, hparams=hparams)

    def options(self, num_pairs: int = 1) -> Options:
        """How to read the network's data."""
        sizes = self.num_targets, num_pairs, self.image_size, bool(self.grayscale)
        return Options(*sizes, self.hparams.preparation, self.statistics)

    def for_run(self, flags: RunConfig, split: Split) -> "NetworkConfig":
        """The config of a run of this network that starts now with these flags and this training split."""
        import keras
        import numpy
        import tensorflow

        commit, versions = None, {module.__name__: module.__version__ for module in (tensorflow, keras, numpy)}
        with suppress(OSError):  # git is not installed
            git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
            commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or None  # not a checkout
        # What describes the network may be from an earlier command: this one may have left it out.
        network = {each.name: self.flags.get(each.name) for each in fields(NetworkFlags)}
        return replace(
            self.for_data(split), flags=asdict(flags) | network, git_commit=commit,
            versions={"python": platform.python_version()} | versions, statistics=tuple(split.statistics),
            data={"examples": len(split), "checksum": split.checksum()},
        )  # fmt: skip

    def for_data(self, split: Split) -> "NetworkConfig":
        """This network for the images and classes of a split."""
        return replace(self, image_shape=tuple(split.info.image_shape), class_names=tuple(split.info.class_names))

    @property
    def weights(self) -> str:
        """Which weights of the network are used, as in `results.Row`."""
        return "averaged" if self.hparams.average else ""

    def facts(self, same: str) -> dict[str, Any]:
        """What must have the same value, by name, for a relation in `SAME`."""
        included = SAME[: SAME.index(same) + 1]
        names = {each.name for each in fields(RunConfig) if each.metadata["same"] in included}
        facts = {name: value for name, value in self.flags.items() if name in names}
        facts |= {"model": Path(self.model).name} if "model" in names else {}  # a user's file may have moved
        facts |= {"images": "x".join(map(str, self.image_shape)), "classes": list(self.class_names)}
        if "run" in included:
            facts |= {name: value for name, value in asdict(self.hparams).items() if name != "verbose"}
            facts |= {f"data {name}": value for name, value in self.data.items()}
        if "job" in included:
            facts |= {name: self.versions[name] for name in ("tensorflow", "keras")}
            facts["model_sha256"] = self.model_sha256
        return facts


def conflicts(one: Mapping, other: Mapping, template: str = "{} was {} and is now {}") -> str:
    """What has another value in one mapping than in the other, as a part of a sentence; "" if nothing has.

    The template takes the name and both values. What one of both lacks is no conflict.
    """
    both = (name for name in one if name in other and one[name] != other[name])
    return "; ".join(template.format(name, one[name], other[name]) for name in both)


def write(folder: Path, config: NetworkConfig) -> None:
    """Writes the config, completely or not at all."""
    with atomic_write(Path(folder) / CONFIG) as (draft,):
        draft.write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> NetworkConfig | None:
    """The config in a folder; None if there is none. A field that an older version did not write has its default."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    try:
        content = {"statistics": ()} | json.loads(path.read_bytes())
        content |= {name: tuple(content[name]) for name in ("image_shape", "class_names", "statistics")}
        if len(content["image_shape"]) != 3:
            raise ValueError(f"image_shape is {content['image_shape']}")
        return NetworkConfig(**content | {"flags": dict(content["flags"]), "hparams": HParams(**content["hparams"])})
    except (KeyError, TypeError, ValueError) as error:
        advice = "Repair it, or move it away and describe the network with flags."
        raise UserError(f"{path} is damaged or of another version: {error}. {advice}") from None
