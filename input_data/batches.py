"""Makes batches of a split: their order, their shards, and a thread that prepares them ahead of the consumer.

A batch is a function of (seed, step) only, so a resumed run continues with the same batches.
"""

import functools
import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from input_data.dataset import Split


def epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of the examples in an epoch: a permutation of range(size) determined by (seed, epoch)."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(size, dtype=np.uint32))


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
    order = functools.lru_cache(1)(functools.partial(epoch_order, len(split), seed))
    index, count = shard
    own = slice(index * batch_size // count, (index + 1) * batch_size // count)

    def batches():
        for step in itertools.count(start_step):
            epochs, places = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size), len(split))
            parts = [order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
            indices = np.concatenate(parts).astype(np.int64)
            noise = np.random.default_rng([seed, step, 1]).random((batch_size, split.noise))
            yield split.batch(indices[own], noise[own])

    return prefetch(batches())


def evaluation_indices(size: int, limit: int | None) -> np.ndarray:
    """The examples that an evaluation of `limit` examples (None: all) takes of `size`, ascending, int [limit].

    One example is taken from each of `limit` equal stretches, at a place that depends on nothing else, so that a part
    stands for the whole: in a sorted data set each class has its share.
    """
    limit = size if limit is None else min(limit, size)
    bounds = np.arange(limit + 1) * size // max(limit, 1)
    return bounds[:-1] + (np.random.default_rng(limit).random(limit) * np.diff(bounds)).astype(np.int64)


def evaluation_batches(
    split: Split, batch_size: int, limit: int | None = None, augmented: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The examples of `evaluation_indices` once, in file order; the last batch may be smaller.

    With `augmented`, a training split is augmented with noise from a fixed seed; otherwise it is not augmented.
    """
    chosen = evaluation_indices(len(split), limit)

    def batches():
        for start in range(0, len(chosen), batch_size):
            indices = chosen[start : start + batch_size]
            noise = np.random.default_rng(start).random((len(indices), split.noise))
            yield split.batch(indices, noise if augmented else None)

    return prefetch(batches())


def prefetch(items: Iterator, ahead: int = 2) -> Iterator:
    """Yields the same items from a thread that works up to `ahead` items in advance; its errors are raised here."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        ready = deque(thread.submit(next, items, end) for _ in range(ahead))
        while (item := ready.popleft().result()) is not end:
            ready.append(thread.submit(next, items, end))
            yield item
