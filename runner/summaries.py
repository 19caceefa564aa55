"""Writes TensorBoard summaries with the tags of 2017, and pictures of reconstructions."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from input_data.formats.files import atomic_write
from input_data.progress import say
from models.network import Classifier
from models.optimizer import DecayToFloor
from runner.config import NetworkConfig


class Events:
    """TensorBoard's events in a folder. On a full disk, a line says so, and the job goes on without them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.writer: Any = None
        self.write(0, {})

    def write(self, step: int, scalars: dict[str, Any], more: Callable[[], Any] = lambda: None) -> None:
        """Writes scalars by tag, and what a function writes, after `step` steps."""
        try:
            self.writer = self.writer or tf.summary.create_file_writer(str(self.folder))
            with self.writer.as_default(step):
                for tag, value in scalars.items():
                    tf.summary.scalar(tag, value)
                more()
            self.writer.flush()
        except (tf.errors.OpError, OSError) as error:
            self.writer, reason = tf.summary.create_noop_writer(), getattr(error, "message", error)
            say(f"TensorBoard's events cannot be written: {reason}. The job goes on without them.")


class TrainSummaries:
    """Writes a training run's scalars to `summary_dir/train` and, when verbose, its reconstructions and histograms.

    `batch_size` is over all machines; training begins at the step `start`.
    """

    def __init__(self, folder: Path, model: Classifier, batch_size: int, start: int = 0):
        self.events, self.last = Events(folder), (start, time.monotonic())
        self.model, self.batch_size, self.schedule = model, batch_size, DecayToFloor(**vars(model.hparams))

    def write(self, step: int, metrics: dict[str, float], batch: dict) -> None:
        """Writes the summaries after `step` steps, from the metrics of the train step and its input `batch`."""
        (last_step, last_time), now = self.last, time.monotonic()
        self.last = (step, now)
        scalars = {
            "batch_classification_cost": metrics["classification"],
            "reconstruction_error": metrics["reconstruction"],
            "total_loss": metrics["total"],
            "accuracy": metrics["correct"] / self.batch_size,
            "correct_prediction_batch": metrics["correct"],
            "almost_correct_batch": metrics["almost"],
            "learning_rate": self.schedule(step),
            "images_per_second": (step - last_step) * self.batch_size / max(now - last_time, 1e-9),
        }
        self.events.write(step, scalars, lambda: self._write_verbose(batch))

    def _write_verbose(self, batch: dict) -> None:
        if not self.model.hparams.verbose:
            return
        images, labels = batch["images"][:16], batch["labels"][:16]
        for name, variable in self.model.named_variables().items():
            tf.summary.histogram(name, variable.value)
        for name, values in self.model.activations(images).items():
            tf.summary.histogram(f"{name}/activation", values)
        if remakes := self.model.remake(self.model(images), labels):
            tf.summary.image("reconstruction", grid([images, *remakes])[None])


def write_hparams(root: Path, config: NetworkConfig) -> None:
    """Writes the hparams of a run for TensorBoard's HPARAMS tab, once.

    The folder is `summary_dir`, so that the scalars of `train`, `validation` and `test` are the run's metrics.
    """
    if any(root.glob("events.*")):
        return
    from tensorboard.plugins.hparams import api

    names = ("model", "dataset", "num_targets", "seed", "batch_size", "precision")
    values = asdict(config.hparams) | {name: config.flags[name] for name in names}
    Events(root).write(0, {}, lambda: api.hparams(values, trial_id=str(root)))


def visible(images: np.ndarray) -> np.ndarray:
    """Images for display: float [n, rows, columns, 1 or 3] in [0, 1].

    If values lie outside [0, 1] by more than rounding, as in standardised images, each image is rescaled to fill this
    range. Of two channels (a stereo pair), the first is shown.
    """
    images = np.asarray(images, np.float32)
    if images.min() < -1e-3 or images.max() > 1 + 1e-3:
        low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
        images = (images - low) / np.maximum(high - low, 1e-6)
    return np.clip(images[..., :3] if images.shape[-1] >= 3 else images[..., :1], 0.0, 1.0)


def grid(rows: list, scale: int = 1) -> np.ndarray:
    """One picture uint8 [height, width, 1 or 3]: each row of images [n, rows, columns, depth], made `visible`."""
    padded = (np.pad(visible(images), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.5) for images in rows)
    picture = np.concatenate([np.concatenate(list(images), axis=1) for images in padded])
    return (picture.repeat(scale, axis=0).repeat(scale, axis=1) * 255).astype(np.uint8)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture uint8 [height, width, 1 or 3], completely or not at all."""
    with atomic_write(path) as (draft,):
        draft.write_bytes(tf.io.encode_png(picture).numpy())
