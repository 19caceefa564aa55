"""The configuration of a run: every flag of `experiment.py`, declared once, with its default, bounds and help."""

import re
from dataclasses import dataclass
from pathlib import Path

from input_data import DATASETS
from models import MODELS
from models.hparams import PRESETS
from runner.flags import UserError, flag

PRETRAINED = "pretrained:"  # before the name of a network that ships, where a checkpoint is named
DEFAULT_NETWORK = f"{PRETRAINED}capsnet_mnist_small"

_STEPS = {"low": 1, "high": 10**12}
_COUNT = {"low": 1, "high": 10**9}
_WHAT, _DATA, _TRAIN, _HARDWARE = "network and run", "data", "training", "hardware"
_EVALUATE, _USE = "evaluation", f"use of a trained network (--checkpoint, else --summary_dir, else {DEFAULT_NETWORK})"


@dataclass(frozen=True)
class NetworkFlags:
    """The flags that describe a network. None means the value in the run's or the checkpoint's config.json."""

    model: str | None = flag(
        None,
        f"the network: {', '.join(MODELS)}, or FILE.py:CLASS for one of your own (default: the checkpoint's, "
        "else capsule)",
        _WHAT,
    )
    preset: str | None = flag(
        None, "hparams of a published network; experiment.py --help lists them", _WHAT, choices=tuple(PRESETS)
    )
    hparams_override: str | None = flag(None, "hparams to change: name=value,name=value", _WHAT)
    dataset: str | None = flag(
        None, "the data set (default: the checkpoint's, else mnist)", _DATA, choices=tuple(DATASETS)
    )
    num_targets: int | None = flag(None, "digits per image (default: the checkpoint's, else 1)", _DATA, choices=(1, 2))
    image_size: int | None = flag(
        None, "resize your own images to squares of this side, in pixels", _DATA, low=1, high=4096
    )
    grayscale: bool | None = flag(None, "read your own images in grey", _DATA)

    def __post_init__(self):
        if self.model and self.model not in MODELS and not re.fullmatch(r".+\.py:\w+", self.model):
            raise UserError(f"--model is {', '.join(MODELS)}, or FILE.py:CLASS. Received: {self.model}")


@dataclass(frozen=True)
class RunConfig(NetworkFlags):
    """The flags of a run. They never change, and creating the config has no side effects."""

    summary_dir: str | None = flag(
        None, "folder for checkpoints (train/) and results (test/) (default: runs/default)", _WHAT, path=True
    )
    seed: int = flag(0, "seed of weights, data order and augmentation", _WHAT, low=0, high=2**32 - 1)

    data_dir: str | None = flag(None, "files of the data set (default: the embedded sample of MNIST)", _DATA, path=True)
    num_pairs: int = flag(1, "MultiMNIST: number of test pairs for each digit", _DATA, low=1, high=10**5)
    check_data: bool = flag(False, "read the whole training and test split, report on them, and draw sheets", _DATA)
    validate: bool = flag(False, "hold out a part of the training set and evaluate on it", _DATA)
    download: bool = flag(False, "download mnist, fashion_mnist or cifar10 to --data_dir if it is missing", _DATA)

    train: bool = flag(True, "train; false: evaluate", _TRAIN)
    max_steps: int = flag(1000, "train until this step, counted from the start of the run", _TRAIN, **_STEPS)
    batch_size: int = flag(128, "images per step", _TRAIN, low=1, high=10**6)
    save_step: int = flag(1500, "steps between checkpoints", _TRAIN, **_STEPS)
    eval_every: int | None = flag(
        None,
        "steps between evaluations during training, each of which saves a checkpoint "
        "(default: evaluate at each checkpoint with --validate, else never)",
        _TRAIN,
        **_STEPS,
    )
    max_to_keep: int = flag(1000, "number of checkpoints to keep", _TRAIN, **_COUNT)
    summary_step: int = flag(50, "steps between TensorBoard scalars", _TRAIN, **_STEPS)

    gpus: str | None = flag(
        None, "GPUs that this process uses: their numbers, or cpu for none (default: all)", _HARDWARE
    )
    gpu_memory: int | None = flag(
        None, "limit of a GPU's memory in MiB (default: it grows as needed)", _HARDWARE, low=1, high=10**7
    )
    num_gpus: int = flag(1, "GPUs of each machine that share a batch in training", _HARDWARE, low=1, high=1024)
    precision: str = flag("float32", "precision of the layers", _HARDWARE, choices=("float32", "bfloat16", "float16"))
    xla: bool = flag(False, "compile the training step with XLA", _HARDWARE)
    steps_per_call: int = flag(1, "training steps per call of the compiled function", _HARDWARE, low=1, high=1000)

    checkpoint: str | None = flag(
        None,
        "the network, in training the one to begin with: a run's folder (its newest checkpoint), S/latest, S/best, a "
        "checkpoint's prefix S/train/model.ckpt-STEP, ours or one from 2017, pretrained:NAME or another folder in the "
        "form of pretrained/NAME; {} in it stands for the trial's number, see --num_trials",
        _EVALUATE,
        path=True,
    )
    averaged: bool = flag(True, "use averaged weights where the checkpoint has some; false: the last ones", _EVALUATE)
    num_trials: int = flag(
        1, "members of the ensemble; in training, runs with different seeds", _EVALUATE, low=1, high=10**5
    )
    eval_size: int | None = flag(None, "number of test examples to use (default: all)", _EVALUATE, **_COUNT)
    eval_batch_size: int = flag(100, "images per batch in evaluation", _EVALUATE, low=1, high=10**6)
    eval_timeout: float = flag(6.0, "hours to wait for the next checkpoint", _EVALUATE, low=0, high=10**6)
    predictions: str | None = flag(
        None,
        "write labels, predictions and logits to this file; {} in it stands for the trial's number, see --num_trials",
        _EVALUATE,
        path=True,
        endings=(".npz", ".csv"),
    )

    predict: str | None = flag(
        None,
        "classify a picture, the pictures in a folder and the folders below it, or those of a glob pattern; "
        "the exit code is 1 if some cannot be read",
        _USE,
        path=True,
    )
    export: str | None = flag(
        None,
        "write the network, from images to logits and capsules, to a .keras file, an .onnx file (needs pip install "
        "'.[onnx]') or a .tflite file ('.[litert]'); a name without an ending is the folder of a TensorFlow SavedModel",
        _USE,
        path=True,
        endings=(".keras", ".onnx", ".tflite", ""),
    )

    def __post_init__(self):
        super().__post_init__()
        if ("{}" in (self.checkpoint or "")) != (self.job == "ensemble"):
            raise UserError(
                "--checkpoint must contain {} for the trial's number if, and only if, --train=false is given and "
                f"--num_trials is 2 or more. Received --num_trials={self.num_trials} and --checkpoint={self.checkpoint}"
            )
        if self.job == "trials" and self.predictions and "{}" not in self.predictions:
            raise UserError(
                "--predictions needs {} in its name for the trial's number when --num_trials trains several runs. "
                f"Received --predictions={self.predictions}"
            )

    @property
    def job(self) -> str:
        """The name of the job that the flags ask for, as in the table of jobs in `experiment.py`."""
        if self.predict or self.export:
            return "use"
        if self.check_data:
            return "check_data"
        if self.train:
            return "trials" if self.num_trials > 1 else "train"
        if self.num_trials > 1:
            return "ensemble"
        return "evaluate" if self.checkpoint else "watch"

    @property
    def used_network(self) -> str:
        """The checkpoint for --predict and --export: the run that the flags name, or else a pretrained network."""
        return self.checkpoint or self.summary_dir or DEFAULT_NETWORK

    @property
    def root(self) -> Path:
        """The run's folder."""
        return Path(self.summary_dir or "runs/default")

    @property
    def train_dir(self) -> Path:
        """The folder with the run's checkpoints."""
        return self.root / "train"

    @property
    def test_dir(self) -> Path:
        """The folder with the run's results."""
        return self.root / "test"

    @property
    def part(self) -> str:
        """The name of the examples that are evaluated, in messages, tables and TensorBoard."""
        return "validation" if self.validate else "test"

    def split_name(self, training: bool) -> str:
        """The name of the training or the test split; with --validate, both are parts of the training set."""
        name = "train" if training else "test"
        return f"valid_{name}" if self.validate else name


def flag_lines(values: dict) -> str:
    """The lines of a file for --flagfile, from the names and values of flags; those that are None are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return "".join(f"--{name}={str(v).lower() if isinstance(v, bool) else v}\n" for name, v in given.items())
