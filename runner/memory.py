"""Estimates how much memory training will take, and checks before training that it fits.

The estimate counts the arrays that exist at the same time. The counts were fitted to measured runs (see
`benchmarks/results/memory_cpu.txt`), which the estimate matches within a fifth.
"""

import math
from pathlib import Path

import keras

from capsules import Capsules, PrimaryCapsules
from capsules.convolution import transformed_numbers
from capsules.layers import Conv2D
from models.classifier import Classifier

_PROGRAM = 800e6  # TensorFlow and Keras themselves, in the host's memory
MOST = 1e12  # bytes: more than any one GPU has, for GPUs of unknown memory
_COPIES_OF_WEIGHTS = 4  # value, gradient, Adam's two averages
_ADAM_TEMPORARIES = 3  # as large as the largest variable
_COPIES_OF_OUTPUTS = 3  # of a layer: value, gradient, temporary copy
_COPIES_NORMALISED = 1  # of batch normalisation, which is a single operation: value


def estimate(model: Classifier, batch_size: int) -> float:
    """Peak memory of training in bytes, without the program itself.

    Args:
        model: the network.
        batch_size: number of images on one device.
    """
    sizes = [math.prod(variable.shape) for variable in model.trainable_variables]
    numbers = _COPIES_OF_WEIGHTS * sum(sizes) + _ADAM_TEMPORARIES * max(sizes)
    for layer in model.layers:
        shape = layer.get_build_config()["input_shape"]
        is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
        copies = _COPIES_NORMALISED if is_batch_norm else _COPIES_OF_OUTPUTS
        numbers += copies * batch_size * math.prod(layer.compute_output_shape(shape)[1:])
        if isinstance(layer, Conv2D | PrimaryCapsules) and layer.compute_dtype == "float32":
            kernel = tuple(layer.kernel.shape)
            numbers += transformed_numbers(batch_size, shape[1:3], kernel, layer.strides, layer.padding)
        if isinstance(layer, Capsules):
            pairs = batch_size * shape[1] * layer.num_capsules  # as large as one atom of all votes
            numbers += (8 * layer.routing + 2) * pairs
            numbers += (2 * layer.routing + 1) * math.prod(layer.kernel.shape)  # a gradient for each use of the kernel
    return 4 * (numbers + _COPIES_OF_OUTPUTS * batch_size * _drawn(model))


def _drawn(model: Classifier) -> int:
    """How many numbers a network's decoder computes for one image, with the enlarged maps between its layers."""
    numbers, last = 0, None
    for layer in model.decoder.stack if model.decoder else ():
        shape = layer.get_build_config()["input_shape"]
        numbers += math.prod(shape[1:]) if shape != last else 0
        last = layer.compute_output_shape(shape)
        numbers += math.prod(last[1:])
    return numbers


def available() -> float | None:
    """Free bytes of the host's memory, or of this process's control group if it has less; None if unknown."""
    meminfo, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024.0
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return free


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f}" if size < 1e15 else f"{size / 1e9:.0e}"


def check_weights(model: Classifier, free: float | None, program: float = _PROGRAM) -> None:
    """Raises ValueError if the weights of a network alone do not fit into memory; arguments as for `check`."""
    needed = 4 * model.count_weights() + program
    if free is not None and needed > free:
        raise ValueError(
            f"The network's {model.count_weights():,} weights take about {_gigabytes(needed)} GB of memory and "
            f"{_gigabytes(free)} GB are free. Lower num_prime_capsules or another of its widths."
        )


def check(model: Classifier, batch_size: int, free: float | None, program: float = _PROGRAM) -> str:
    """A line that says how much memory training will take.

    Args:
        model: the network.
        batch_size: number of images on one device.
        free: free bytes; None if unknown.
        program: bytes that the program itself takes.

    Raises:
        ValueError: training does not fit into memory; the message has the numbers and what to do.
    """
    needed = estimate(model, batch_size) + program
    if free is not None and needed > free:
        raise ValueError(
            f"Training would take about {_gigabytes(needed)} GB of memory and {_gigabytes(free)} GB are free. "
            f"Lower --batch_size (now {batch_size} on each device) or num_prime_capsules."
        )
    of_free = "" if free is None else f" of the {_gigabytes(free)} GB that are free"
    return f"Training takes about {_gigabytes(needed)} GB of memory{of_free}"
