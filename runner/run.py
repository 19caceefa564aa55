"""What all jobs share: the flags of a run, its places, its data and its network."""

import functools
import os
from pathlib import Path

import keras
import tensorflow as tf

from input_data import Options, Split, evaluation_batches, open_split
from models import make_model
from models.classifier import Classifier
from models.hparams import PRESETS, HParams
from runner import config, memory
from runner.devices import choose_devices, make_strategy, worker
from runner.progress import say


@functools.cache  # several trials share the devices of the process
def _set_up_devices(gpus: str | None, gpu_memory: int | None, num_gpus: int, train: bool) -> tf.distribute.Strategy:
    """Shows TensorFlow the chosen devices and gives the strategy to train under; evaluation takes one device."""
    choose_devices(gpus, gpu_memory)
    return make_strategy(num_gpus) if train else tf.distribute.get_strategy()


class Run:
    """One run.

    Attributes:
        flags: those of `runner.flags`.
        hparams: of the flags, or of a checkpoint's config once that is adopted.
        train_dir, test_dir: where checkpoints and results go.
        strategy: how devices share the training.
        worker: (number of this machine, number of machines).
        chief: whether this machine saves and reports.
    """

    def __init__(self, flags):
        self.flags = flags
        self.root = Path(flags.summary_dir or "runs/default")
        self.train_dir, self.test_dir = self.root / "train", self.root / "test"
        self.options = Options(flags.num_targets, flags.num_pairs, flags.image_size, flags.grayscale)
        self.hparams = HParams().override(PRESETS.get(flags.preset)).override(flags.hparams_override)
        if flags.download:
            from input_data.mnist.download import download

            download(flags.data_dir)
        self.strategy = _set_up_devices(flags.gpus, flags.gpu_memory, flags.num_gpus, flags.train)
        self.worker = worker(self.strategy)
        self.chief = self.worker[0] == 0

    @property
    def part(self) -> str:
        """What is evaluated on."""
        return "validation" if self.flags.validate else "test"

    def split(self, training: bool) -> Split:
        """The data set's training or test part, or the two parts of the training set with --validate."""
        name = {True: "valid_train" if training else "valid_test", False: "train" if training else "test"}
        split = open_split(self.flags.dataset, name[self.flags.validate], self.flags.data_dir, self.options)
        if split.note:
            say(split.note)
        return split

    def test_size(self, split: Split) -> int:
        """Number of examples to evaluate on."""
        return min(self.flags.eval_size or len(split), len(split))

    def test_batches(self, split: Split):
        """They, in batches."""
        return evaluation_batches(split, self.flags.eval_batch_size, self.flags.eval_size)

    def make_folder(self, folder: Path) -> None:
        """Makes a folder; OSError where it cannot be written to."""
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(f"Cannot write to {folder}: check its permissions or give another --summary_dir.")

    def make_model(self, info) -> Classifier:
        """A network with fresh weights of the run's seed, for the images and classes of a data set's `info`."""
        keras.utils.set_random_seed(self.flags.seed)
        precision = self.flags.precision
        keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
        model = make_model(self.flags.model, info.image_shape, info.num_classes, self.hparams)
        say(f"{self.flags.model}: {model.count_weights():,} trainable weights")
        return model

    def check_memory(self, model: Classifier) -> None:
        """Says what training will take; ValueError where it does not fit. A GPU's memory is known if it is capped."""
        share = self.flags.batch_size // self.strategy.num_replicas_in_sync
        if tf.config.list_logical_devices("GPU"):
            cap = self.flags.gpu_memory
            say(memory.check(model, share, cap and cap * 2**20, program=0))
        else:
            say(memory.check(model, share, memory.available()))

    def adopt_config(self, folder: Path) -> None:
        """Takes hparams and model from the config beside a checkpoint where the user gave none."""
        known = config.read(folder)
        if known and self.flags.hparams_override is self.flags.preset is None:
            self.flags.model = known["flags"]["model"]
            self.hparams = HParams(**known["hparams"])
            say(f"Model and hparams as in {folder}/config.json")
