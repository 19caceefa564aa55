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
_WHAT, _DATA, _TRAIN, _HARDWARE = "what", "data", "train", "hardware"
_EVALUATE, _USE = "evaluate", f"use a trained network: --checkpoint, else --summary_dir, else {DEFAULT_NETWORK}"


@dataclass(frozen=True)
class NetworkFlags:
    """What a user says of a network. None leaves it to the checkpoint's config.json, and else to the default."""

    model: str | None = flag(
        None, "the network (default: the checkpoint's, else capsule)", _WHAT, choices=tuple(MODELS)
    )
    preset: str | None = flag(None, "hparams of one of the paper's networks, see below", _WHAT, choices=tuple(PRESETS))
    hparams_override: str | None = flag(None, "changes of hparams: name=value,name=value", _WHAT, metavar="PAIRS")
    dataset: str | None = flag(
        None, "the data set (default: the checkpoint's, else mnist)", _DATA, choices=tuple(DATASETS)
    )
    num_targets: int | None = flag(
        None, "digits in an image (default: the checkpoint's, else 1)", _DATA, choices=(1, 2)
    )
    image_size: int | None = flag(
        None, "own images: resize them to squares of this side", _DATA, low=1, high=4096, metavar="N"
    )
    grayscale: bool | None = flag(None, "own images: read them with one channel", _DATA)


@dataclass(frozen=True)
class RunConfig(NetworkFlags):
    """What a run is: made once, never changed. Making it does nothing else.

    Raises:
        ValueError: flags that contradict one another.
    """

    summary_dir: str | None = flag(
        None,
        "where checkpoints (train/) and results (test/) go (default: runs/default)",
        _WHAT,
        path=True,
        metavar="DIR",
    )
    seed: int = flag(0, "seed of weights, data order and augmentation", _WHAT, low=0, high=2**32 - 1)

    data_dir: str | None = flag(None, "its files; none: the embedded sample of MNIST", _DATA, path=True, metavar="DIR")
    num_pairs: int = flag(1, "MultiMNIST: test pairs of each digit", _DATA, low=1, high=10**5)
    check_data: bool = flag(False, "read all of the training and test split once, report, draw sheets", _DATA)
    validate: bool = flag(False, "hold out a part of the training set and evaluate on it", _DATA)
    download: bool = flag(
        False, "fetch mnist, fashion_mnist or cifar10 into --data_dir first, where it is missing", _DATA
    )

    train: bool = flag(True, "train; false: evaluate", _TRAIN)
    max_steps: int = flag(1000, "train to this step in all", _TRAIN, low=1, high=10**12)
    batch_size: int = flag(128, "images a step", _TRAIN, low=1, high=10**6)
    save_step: int = flag(1500, "steps between checkpoints", _TRAIN, low=1, high=10**12)
    eval_every: int | None = flag(
        None,
        "steps between evaluations while training, each with its checkpoint "
        "(default: at each checkpoint with --validate, else none)",
        _TRAIN,
        low=1,
        high=10**12,
    )
    max_to_keep: int = flag(1000, "checkpoints that are kept", _TRAIN, **_COUNT)
    summary_step: int = flag(50, "steps between TensorBoard scalars", _TRAIN, low=1, high=10**12)

    gpus: str | None = flag(
        None, "which GPUs this process sees: cpu, or numbers (default: all)", _HARDWARE, metavar="cpu|0,1"
    )
    gpu_memory: int | None = flag(
        None, "cap of a GPU's memory (default: grows by need)", _HARDWARE, metavar="MiB", low=1, high=10**7
    )
    num_gpus: int = flag(1, "GPUs that share a batch in training", _HARDWARE, low=1, high=1024)
    precision: str = flag("float32", "of layers", _HARDWARE, choices=("float32", "bfloat16", "float16"))
    xla: bool = flag(False, "compile the training step with XLA", _HARDWARE)
    steps_per_call: int = flag(1, "training steps in one call", _HARDWARE, low=1, high=1000)

    checkpoint: str | None = flag(
        None,
        "a run's folder (its newest checkpoint), S/latest, S/best, or a checkpoint's prefix S/train/model.ckpt-STEP; "
        "ours or of 2017; pretrained:NAME, a folder of pretrained/; with {} in it for --num_trials",
        _EVALUATE,
        path=True,
    )
    num_trials: int = flag(1, "members of an ensemble; training: runs, one a seed", _EVALUATE, low=1, high=10**5)
    eval_size: int | None = flag(None, "test examples to use (default: all)", _EVALUATE, metavar="N", **_COUNT)
    eval_batch_size: int = flag(100, "images at a time", _EVALUATE, low=1, high=10**6)
    eval_timeout: float = flag(
        6.0, "hours to wait for a next checkpoint", _EVALUATE, low=0, high=10**6, metavar="HOURS"
    )
    predictions: str | None = flag(
        None,
        "write labels, predictions and logits to this file; with {} in it for the trials of --num_trials",
        _EVALUATE,
        path=True,
        endings=(".npz", ".csv"),
        metavar="FILE.npz|.csv",
    )

    predict: str | None = flag(
        None,
        "say what a picture, the pictures of a folder and those below it, or those of a glob pattern show; "
        "the exit code is 1 if some cannot be read",
        _USE,
        path=True,
        metavar="PICTURES",
    )
    export: str | None = flag(
        None,
        "write the network, from images to logits and capsules, to a file .keras, .onnx (pip install '.[onnx]') or "
        ".tflite ('.[litert]'), or, without an ending, to a folder as a TensorFlow SavedModel",
        _USE,
        path=True,
        endings=(".keras", ".onnx", ".tflite", ""),
        metavar="FILE|DIR",
    )

    def __post_init__(self):
        if ("{}" in (self.checkpoint or "")) != self.is_ensemble:
            raise ValueError(
                "--num_trials with --train=false takes a --checkpoint with {} for the member's number, and back. "
                f"Received --num_trials={self.num_trials} and --checkpoint={self.checkpoint}"
            )
        if self.trains and self.num_trials > 1 and self.predictions and "{}" not in self.predictions:
            raise ValueError(
                "--predictions takes a name with {} for the trial's number when --num_trials trains several runs. "
                f"Received --predictions={self.predictions}"
            )

    @property
    def uses(self) -> bool:
        """Whether the job is to ask a trained network something."""
        return bool(self.predict or self.export)

    @property
    def used_network(self) -> str:
        """The checkpoint of --predict and --export: a run that the flags name wins over the network that ships."""
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
        """Where the run's checkpoints are."""
        return self.root / "train"

    @property
    def test_dir(self) -> Path:
        """Where the run's results go."""
        return self.root / "test"

    @property
    def part(self) -> str:
        """What is evaluated on."""
        return "validation" if self.validate else "test"

    def split_name(self, training: bool) -> str:
        """The data set's training or test split, or the two parts of the training set with --validate."""
        part = "train" if training else "test"
        return f"valid_{part}" if self.validate else part


def flag_lines(values: dict) -> str:
    """Flags as the lines of a file that --flagfile takes, from their names and values; None is left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return "".join(f"--{name}={str(v).lower() if isinstance(v, bool) else v}\n" for name, v in given.items())
