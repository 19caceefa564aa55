"""Makes batches of a split: their order, their shards, and a thread that prepares them ahead of the consumer.

A batch is a function of (seed, step) only, so a resumed run continues with the same batches.
"""

import itertools
import queue
import threading
from collections.abc import Iterator

import numpy as np

from input_data.dataset import Split


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of the examples in an epoch: a permutation of range(size) determined by (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(size, dtype=np.uint32))


class _Orders:
    """Looks up `epoch_order`. A batch spans at most two epochs, so only the last order is kept."""

    def __init__(self, size: int, seed: int):
        self.size, self.seed = size, seed
        self.epoch, self.order = -1, np.empty(0, np.uint32)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        indices = np.empty(len(positions), np.int64)
        epochs = positions // self.size
        for epoch in np.unique(epochs):
            if epoch != self.epoch:
                self.epoch, self.order = epoch, epoch_order(self.size, self.seed, int(epoch))
            in_epoch = epochs == epoch
            indices[in_epoch] = self.order[positions[in_epoch] % self.size]
        return indices


def training_batches(
    split: Split, batch_size: int, seed: int, start_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches from `start_step` on. Batch number `step` is a function of (seed, step) only.

    Args:
        split: the examples.
        batch_size: examples in the whole batch; each epoch visits every example once.
        seed: the run's seed.
        start_step: number of the first batch.
        shard: (i, n) selects the i-th of n equal parts of each batch of `batch_size` examples.
    """
    orders = _Orders(len(split), seed)
    index, count = shard
    own = slice(index * batch_size // count, (index + 1) * batch_size // count)

    def batches():
        for step in itertools.count(start_step):
            indices = orders[np.arange(step * batch_size, (step + 1) * batch_size)]
            noise = np.random.default_rng([seed, step, 1]).random((batch_size, split.noise))
            yield split.batch(indices[own], noise[own])

    return prefetch(batches())


def evaluation_batches(
    split: Split, batch_size: int, limit: int | None = None, augmented: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The first `limit` examples (None: all) once, in file order; the last batch may be smaller.

    With `augmented`, a training split is augmented with noise from a fixed seed; otherwise it is not augmented.
    """
    size = len(split) if limit is None else min(limit, len(split))

    def batches():
        for start in range(0, size, batch_size):
            indices = np.arange(start, min(start + batch_size, size))
            noise = np.random.default_rng(start).random((len(indices), split.noise))
            yield split.batch(indices, noise if augmented else np.zeros_like(noise))

    return prefetch(batches())


def prefetch(items: Iterator, ahead: int = 2) -> Iterator:
    """Yields the same items from a thread that works up to `ahead` items in advance; its errors are raised here."""
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
