"""The configuration of a run: every flag of `experiment.py`, declared once, with its default, bounds and help."""

from dataclasses import dataclass
from pathlib import Path

from input_data import DATASETS
from input_data.flags import flag
from models import MODELS
from models.hparams import PRESETS

PRETRAINED = "pretrained:"  # before the name of a network that ships, where a checkpoint is named
DEFAULT_NETWORK = f"{PRETRAINED}capsnet_mnist_small"

_COUNT = {"low": 1, "high": 10**9}
_WHAT, _DATA, _TRAIN, _HARDWARE = "network and run", "data", "training", "hardware"
_EVALUATE, _USE = "evaluation", f"use of a trained network (--checkpoint, else --summary_dir, else {DEFAULT_NETWORK})"


@dataclass(frozen=True)
class NetworkFlags:
    """The flags that describe a network. None means the value in the checkpoint's config.json, or else the default."""

    model: str | None = flag(
        None, "the network (default: the checkpoint's, else capsule)", _WHAT, choices=tuple(MODELS)
    )
    preset: str | None = flag(
        None, "hparams of a published network; experiment.py --help lists them", _WHAT, choices=tuple(PRESETS)
    )
    hparams_override: str | None = flag(None, "hparams to change: name=value,name=value", _WHAT, metavar="PAIRS")
    dataset: str | None = flag(
        None, "the data set (default: the checkpoint's, else mnist)", _DATA, choices=tuple(DATASETS)
    )
    num_targets: int | None = flag(None, "digits per image (default: the checkpoint's, else 1)", _DATA, choices=(1, 2))
    image_size: int | None = flag(
        None, "resize your own images to squares of this side, in pixels", _DATA, low=1, high=4096, metavar="N"
    )
    grayscale: bool | None = flag(None, "read your own images in grey", _DATA)


@dataclass(frozen=True)
class RunConfig(NetworkFlags):
    """The flags of a run. They never change, and creating the config has no side effects.

    Raises:
        ValueError: flags that contradict one another.
    """

    summary_dir: str | None = flag(
        None,
        "folder for checkpoints (train/) and results (test/) (default: runs/default)",
        _WHAT,
        path=True,
        metavar="DIR",
    )
    seed: int = flag(0, "seed of weights, data order and augmentation", _WHAT, low=0, high=2**32 - 1)

    data_dir: str | None = flag(
        None, "files of the data set (default: the embedded sample of MNIST)", _DATA, path=True, metavar="DIR"
    )
    num_pairs: int = flag(1, "MultiMNIST: number of test pairs for each digit", _DATA, low=1, high=10**5)
    check_data: bool = flag(False, "read the whole training and test split, report on them, and draw sheets", _DATA)
    validate: bool = flag(False, "hold out a part of the training set and evaluate on it", _DATA)
    download: bool = flag(False, "download mnist, fashion_mnist or cifar10 to --data_dir if it is missing", _DATA)

    train: bool = flag(True, "train; false: evaluate", _TRAIN)
    max_steps: int = flag(1000, "train until this step, counted from the start of the run", _TRAIN, low=1, high=10**12)
    batch_size: int = flag(128, "images per step", _TRAIN, low=1, high=10**6)
    save_step: int = flag(1500, "steps between checkpoints", _TRAIN, low=1, high=10**12)
    eval_every: int | None = flag(
        None,
        "steps between evaluations during training, each of which saves a checkpoint "
        "(default: evaluate at each checkpoint with --validate, else never)",
        _TRAIN,
        low=1,
        high=10**12,
    )
    max_to_keep: int = flag(1000, "number of checkpoints to keep", _TRAIN, **_COUNT)
    summary_step: int = flag(50, "steps between TensorBoard scalars", _TRAIN, low=1, high=10**12)

    gpus: str | None = flag(
        None, "GPUs that this process uses: their numbers, or cpu for none (default: all)", _HARDWARE, metavar="cpu|0,1"
    )
    gpu_memory: int | None = flag(
        None, "limit of a GPU's memory (default: it grows as needed)", _HARDWARE, metavar="MiB", low=1, high=10**7
    )
    num_gpus: int = flag(1, "number of GPUs that share a batch in training", _HARDWARE, low=1, high=1024)
    precision: str = flag("float32", "precision of the layers", _HARDWARE, choices=("float32", "bfloat16", "float16"))
    xla: bool = flag(False, "compile the training step with XLA", _HARDWARE)
    steps_per_call: int = flag(1, "training steps per call of the compiled function", _HARDWARE, low=1, high=1000)

    checkpoint: str | None = flag(
        None,
        "the network: a run's folder (its newest checkpoint), S/latest, S/best, a checkpoint's prefix "
        "S/train/model.ckpt-STEP, ours or one from 2017, or pretrained:NAME for a folder in pretrained/; "
        "{} in it stands for the trial's number, see --num_trials",
        _EVALUATE,
        path=True,
    )
    num_trials: int = flag(
        1, "members of the ensemble; in training, runs with a seed of their own", _EVALUATE, low=1, high=10**5
    )
    eval_size: int | None = flag(
        None, "number of test examples to use (default: all)", _EVALUATE, metavar="N", **_COUNT
    )
    eval_batch_size: int = flag(100, "images per batch in evaluation", _EVALUATE, low=1, high=10**6)
    eval_timeout: float = flag(
        6.0, "hours to wait for the next checkpoint", _EVALUATE, low=0, high=10**6, metavar="HOURS"
    )
    predictions: str | None = flag(
        None,
        "write labels, predictions and logits to this file; {} in it stands for the trial's number, see --num_trials",
        _EVALUATE,
        path=True,
        endings=(".npz", ".csv"),
        metavar="FILE.npz|.csv",
    )

    predict: str | None = flag(
        None,
        "classify a picture, the pictures in a folder and the folders below it, or those of a glob pattern; "
        "the exit code is 1 if some cannot be read",
        _USE,
        path=True,
        metavar="PICTURES",
    )
    export: str | None = flag(
        None,
        "write the network, from images to logits and capsules, to a .keras file, an .onnx file (needs pip install "
        "'.[onnx]') or a .tflite file ('.[litert]'); a name without an ending is the folder of a TensorFlow SavedModel",
        _USE,
        path=True,
        endings=(".keras", ".onnx", ".tflite", ""),
        metavar="FILE|DIR",
    )

    def __post_init__(self):
        if ("{}" in (self.checkpoint or "")) != self.is_ensemble:
            raise ValueError(
                "--checkpoint must contain {} for the trial's number if, and only if, --train=false is given and "
                f"--num_trials is 2 or more. Received --num_trials={self.num_trials} and --checkpoint={self.checkpoint}"
            )
        if self.trains and self.num_trials > 1 and self.predictions and "{}" not in self.predictions:
            raise ValueError(
                "--predictions needs {} in its name for the trial's number when --num_trials trains several runs. "
                f"Received --predictions={self.predictions}"
            )

    @property
    def uses(self) -> bool:
        """Whether the job is to use a trained network: `--predict` or `--export`."""
        return bool(self.predict or self.export)

    @property
    def used_network(self) -> str:
        """The checkpoint for --predict and --export: the run that the flags name, or else a pretrained network."""
        return self.checkpoint or self.summary_dir or DEFAULT_NETWORK

    @property
    def trains(self) -> bool:
        """Whether the job is to train."""
        return self.train and not self.uses and not self.check_data

    @property
    def is_ensemble(self) -> bool:
        """Whether the job is to evaluate several networks as one."""
        return not self.train and not self.uses and not self.check_data and self.num_trials > 1

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
        """The name of the examples that are evaluated, for messages."""
        return "validation" if self.validate else "test"

    def split_name(self, training: bool) -> str:
        """The name of the training or the test split; with --validate, both are parts of the training set."""
        name = "train" if training else "test"
        return f"valid_{name}" if self.validate else name


def flag_lines(values: dict) -> str:
    """The lines of a file for --flagfile, from the names and values of flags; those that are None are left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return "".join(f"--{name}={str(v).lower() if isinstance(v, bool) else v}\n" for name, v in given.items())
