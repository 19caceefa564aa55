"""The first steps of the jobs, as functions: devices, data, precision and folders."""

import functools
import os
from pathlib import Path

import keras
import tensorflow as tf

from runner.config import NetworkSpec
from runner.devices import choose_devices, make_strategy
from runner.run_config import RunConfig


@functools.cache  # a process chooses its devices once, however many jobs it runs
def show_devices(gpus: str | None, gpu_memory: int | None) -> None:
    """Shows TensorFlow the devices of `--gpus`, with the limit of `--gpu_memory`."""
    choose_devices(gpus, gpu_memory)


@functools.cache  # several trials share the devices of the process
def share_devices(num_gpus: int) -> tf.distribute.Strategy:
    """The strategy by which the devices share the training."""
    return make_strategy(num_gpus)


def download_data(config: RunConfig) -> None:
    """Downloads the data if `--download` is given."""
    if config.download:
        from input_data.download import download

        download(NetworkSpec().with_flags(config).dataset, config.data_dir)


def set_precision(precision: str) -> None:
    """Sets the precision of layers that are created later: float32, bfloat16 or float16."""
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")


def make_folder(folder: Path) -> None:
    """Creates a folder for a job's output.

    Raises:
        ValueError: TensorFlow cannot use its name.
        OSError: it cannot be written to.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"TensorFlow cannot write to a folder whose name is not UTF-8. Received: {os.fsencode(folder)!r}. "
            "Give another --summary_dir."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise OSError(f"Cannot write to {folder}: check its permissions or give another --summary_dir.")
