"""What every data set gives: its facts, its length and batches that depend on nothing but (seed, step).

A data set is one class derived from `Split`; `input_data.DATASETS` names them. Everything here is NumPy,
so it serves any backend and starts without TensorFlow.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "test", "valid_train", "valid_test")


class DataError(ValueError):
    """Data that is missing, damaged or of another kind than expected; the message says what to do."""


@dataclass(frozen=True)
class Info:
    """Facts of a data set.

    Attributes:
        name: what to call it in messages.
        image_shape: (rows, columns, depth) of the images that the network sees.
        num_classes: number of classes.
        num_targets: number of labels of an image, 1 or 2.
        class_names: one name a class.
    """

    name: str
    image_shape: tuple[int, int, int]
    num_classes: int
    num_targets: int
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """What a user may say of the data beside the folder; a data set reads what concerns it.

    Attributes:
        num_targets: labels of an image, 1 or 2.
        num_pairs: MultiMNIST: test pairs for each test digit.
        image_size: own images: side of the square they are resized to; None: as they are.
        grayscale: own images: read them with one channel.
    """

    num_targets: int = 1
    num_pairs: int = 1
    image_size: int | None = None
    grayscale: bool = False

    def folder(self, name: str, data_dir: str | None, content: str) -> Path:
        """The folder of a data set whose images have one label.

        Args:
            name: what the data set is called.
            data_dir: what the user gave.
            content: what should be in it, for the message.

        Raises:
            DataError: no folder, or two targets.
        """
        if self.num_targets != 1:
            raise DataError(f"--num_targets=2 is for MNIST alone: images of {name} have one label.")
        if data_dir is None or not Path(data_dir).is_dir():
            raise DataError(f"{name} needs a --data_dir: the folder with {content}. Received: {data_dir}")
        return Path(data_dir)


class Split:
    """One part of a data set, by random access.

    Attributes:
        info: the data set's facts.
        noise: how many uniform random numbers in [0, 1) the augmentation of one image takes; 0: none.
        note: what a user should know of this data, or nothing.
    """

    info: Info
    noise: int = 0
    note: str = ""

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, indices: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at `indices`, augmented as `noise` says.

        Args:
            indices: int [n].
            noise: float64 [n, self.noise] in [0, 1), all the randomness there is.

        Returns:
            "images" float32 [n, rows, columns, depth], "labels" int32 [n, num_targets] and, where each label has
            an image of its own to reconstruct, "targets" float32 [n, num_targets, rows, columns, depth].
        """
        raise NotImplementedError

    def verify(self) -> None:
        """Checks what reading in any order leaves out, such as checksums; raises DataError naming the first fault."""


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the examples: a permutation of range(size) that depends on (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(size, dtype=np.uint32))


class _Orders:
    """`epoch_order` of the epoch at hand: a batch meets two epochs at most, so one is kept."""

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed
        self.epoch, self.order = -1, np.empty(0, np.uint32)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        indices = np.empty(len(positions), np.int64)
        epochs = positions // self.size
        for epoch in np.unique(epochs):
            if epoch != self.epoch:
                self.epoch, self.order = epoch, epoch_order(self.size, self.seed, int(epoch))
            here = epochs == epoch
            indices[here] = self.order[positions[here] % self.size]
        return indices


def training_batches(
    split: Split, batch_size: int, seed: int, start_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches from `start_step` on. Batch number `step` is a function of (seed, step) alone.

    Args:
        split: where the examples come from.
        batch_size: examples in the whole batch; each epoch visits every example once.
        seed: the run's seed.
        start_step: number of the first batch.
        shard: (i, n): give only the i-th of n equal parts of each batch (`batch_size` is the whole's).
    """
    orders = _Orders(len(split), seed)
    index, count = shard
    part = slice(index * batch_size // count, (index + 1) * batch_size // count)

    def make(step: int) -> dict[str, np.ndarray]:
        indices = orders[np.arange(step * batch_size, (step + 1) * batch_size)]
        noise = np.random.default_rng([seed, step, 1]).random((batch_size, split.noise))
        return split.batch(indices[part], noise[part])

    def steps():
        step = start_step
        while True:
            yield make(step)
            step += 1

    return prefetch(steps())


def evaluation_batches(
    split: Split, batch_size: int, limit: int | None = None, augmented: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The first `limit` examples (None: all) once, in file order; the last batch may be smaller.

    `augmented` makes the random augmentation of a training split that of a fixed seed, in place of none.
    """
    size = len(split) if limit is None else min(limit, len(split))

    def batches():
        for start in range(0, size, batch_size):
            indices = np.arange(start, min(start + batch_size, size))
            noise = np.random.default_rng(start).random((len(indices), split.noise))
            yield split.batch(indices, noise if augmented else np.zeros_like(noise))

    return prefetch(batches())


def prefetch(items: Iterator, ahead: int = 2) -> Iterator:
    """The same items, made by a thread that stays `ahead` of the consumer; its errors are raised in the consumer."""
    ready: queue.Queue = queue.Queue(ahead)
    stopped = threading.Event()

    def put(entry) -> bool:
        while not stopped.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                pass
        return False

    def work():
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except Exception as error:
            put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()


def check_labels(labels: np.ndarray, num_classes: int, where: str) -> None:
    """Raises DataError naming the first label outside 0 … num_classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise DataError(
            f"{where}: labels must be 0 to {num_classes - 1}. "
            f"Received {labels.flat[wrong[0]]} at index {wrong[0]}. Is this another data set?"
        )
