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

EXPORT_ENDINGS = (".keras", ".onnx", ".tflite", "")  # the last one is a folder

_WHAT, _DATA, _TRAIN, _HARDWARE = "network and run", "data", "training", "hardware"
_EVALUATE, _USE = "evaluation", f"use of a trained network (--checkpoint, else --summary_dir, else {DEFAULT_NETWORK})"
_CHECKPOINT = (
    "the network, in training the one to begin with: a run's folder (its newest checkpoint), S/latest, S/best, a "
    "checkpoint's prefix S/train/model.ckpt-STEP, ours or one from 2017, pretrained:NAME or another folder in the form "
    "of pretrained/NAME; {} in it, and in --predictions, stands for the trial's number, see --num_trials"
)
_EXPORT = (
    "write the network, from images to logits and capsules, to a .keras file, an .onnx file (needs pip install "
    "'.[onnx]') or a .tflite file ('.[litert]'); a name without an ending is the folder of a TensorFlow SavedModel"
)


@dataclass(frozen=True)
class NetworkFlags:
    """The flags that describe a network. None means the value in the run's or the checkpoint's config.json."""

    model: str | None = flag(
        None, f"{', '.join(MODELS)}, or FILE.py:CLASS of your own (default: the checkpoint's, else capsule)", _WHAT
    )
    preset: str | None = flag(None, "hparams of a published network, see below", _WHAT, choices=tuple(PRESETS))
    hparams_override: str | None = flag(None, "hparams to change: name=value,name=value", _WHAT)
    dataset: str | None = flag(None, "default: the checkpoint's, else mnist", _DATA, choices=tuple(DATASETS))
    num_targets: int | None = flag(None, "digits per image (default: the checkpoint's, else 1)", _DATA, low=1, high=2)
    image_size: int | None = flag(None, "resize your own images to squares of this side, in pixels", _DATA)
    grayscale: bool | None = flag(None, "read your own images in grey", _DATA)

    def __post_init__(self):
        if self.model and self.model not in MODELS and not re.fullmatch(r".+\.py:\w+", self.model):
            raise UserError(f"--model is {', '.join(MODELS)}, or FILE.py:CLASS. Received: {self.model}")


@dataclass(frozen=True)
class RunConfig(NetworkFlags):
    """The flags of a run. They never change, and creating the config has no side effects."""

    summary_dir: str | None = flag(None, "folder for train/ and test/ (default: runs/default)", _WHAT, path=True)
    seed: int = flag(0, "seed of weights, data order and augmentation", _WHAT, low=0, high=2**32 - 1)

    data_dir: str | None = flag(None, "files of the data set (default: the embedded sample of MNIST)", _DATA, path=True)
    num_pairs: int = flag(1, "MultiMNIST: number of test pairs for each digit", _DATA)
    check_data: bool = flag(False, "read the whole training and test split, report on them, and draw sheets", _DATA)
    validate: bool = flag(False, "hold out a part of the training set and evaluate on it", _DATA)
    download: bool = flag(False, "download mnist, fashion_mnist or cifar10 to --data_dir if it is missing", _DATA)

    train: bool = flag(True, "train; false: evaluate", _TRAIN)
    max_steps: int = flag(1000, "train until this step, counted from the start of the run", _TRAIN)
    batch_size: int = flag(128, "images per step", _TRAIN)
    save_step: int = flag(1500, "steps between checkpoints", _TRAIN)
    eval_every: int | None = flag(
        None, "steps between evaluations, with checkpoints (default: with --validate each checkpoint's)", _TRAIN
    )
    max_to_keep: int = flag(1000, "number of checkpoints to keep", _TRAIN)
    summary_step: int = flag(50, "steps between TensorBoard scalars", _TRAIN)

    gpus: str | None = flag(None, "the numbers of the GPUs to use, or cpu for none (default: all)", _HARDWARE)
    num_gpus: int = flag(1, "GPUs of each machine that share a batch in training", _HARDWARE)
    precision: str = flag("float32", "precision of the layers", _HARDWARE, choices=("float32", "bfloat16", "float16"))
    xla: bool = flag(False, "compile the training step with XLA", _HARDWARE)
    steps_per_call: int = flag(1, "training steps per call of the compiled function", _HARDWARE)

    checkpoint: str | None = flag(None, _CHECKPOINT, _EVALUATE, path=True)
    averaged: bool = flag(True, "use averaged weights where the checkpoint has some; false: the last ones", _EVALUATE)
    num_trials: int = flag(1, "members of the ensemble; in training, runs with different seeds", _EVALUATE)
    eval_size: int | None = flag(None, "number of test examples to use (default: all)", _EVALUATE)
    eval_batch_size: int = flag(100, "images per batch in evaluation", _EVALUATE)
    eval_timeout: float = flag(6.0, "hours to wait for the next checkpoint", _EVALUATE, low=0)
    predictions: str | None = flag(
        None, "write labels, predictions and logits to this file", _EVALUATE, path=True, endings=(".npz", ".csv")
    )

    predict: str | None = flag(
        None, "classify a picture, those in a folder and below it, or those of a glob pattern", _USE, path=True
    )
    export: str | None = flag(None, _EXPORT, _USE, path=True, endings=EXPORT_ENDINGS)

    def __post_init__(self):
        super().__post_init__()
        trials = self.num_trials > 1
        if ("{}" in (self.checkpoint or "")) != (trials and self.job == "evaluate"):
            raise UserError(
                "--checkpoint must contain {} for the trial's number if, and only if, --train=false is given and "
                f"--num_trials is 2 or more. Received --num_trials={self.num_trials} and --checkpoint={self.checkpoint}"
            )
        if trials and self.job == "train" and "{}" not in (self.predictions or "{}"):
            raise UserError(f"With --num_trials, --predictions needs {{}} in its name. Received: {self.predictions}")

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
    def used_network(self) -> str:
        """The checkpoint for --predict and --export: the run that the flags name, or else a pretrained network."""
        return self.checkpoint or self.summary_dir or DEFAULT_NETWORK

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

    def split_name(self, training: bool) -> str:
        """The name of the training or the test split; with --validate, both are parts of the training set."""
        name = "train" if training else "test"
        return f"valid_{name}" if self.validate else name


def flag_lines(values: dict) -> str:
    """The lines of a file for --flagfile, from the names and values of flags; those that are None are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return "".join(f"--{name}={str(v).lower() if isinstance(v, bool) else v}\n" for name, v in given.items())
