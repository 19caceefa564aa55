"""The order of the examples, any step to start from, shards of a batch, and the thread that makes batches ahead."""

from itertools import islice

import numpy as np
import pytest

from input_data import DataError, open_split, training_batches
from input_data.batches import epoch_order, prefetch


def test_each_epoch_is_another_permutation_and_any_step_can_be_started_from():
    split = open_split("mnist", "train", None)
    size = 512
    first = list(islice(training_batches(split, size, seed=4), 25))
    later = next(training_batches(split, size, seed=4, start_step=24))
    np.testing.assert_array_equal(first[24]["images"], later["images"])
    np.testing.assert_array_equal(first[24]["labels"], later["labels"])
    labels = np.concatenate([batch["labels"][:, 0] for batch in first])
    for epoch in range(2):
        np.testing.assert_array_equal(np.bincount(labels[epoch * 5000 : (epoch + 1) * 5000]), np.bincount(split.labels))
    assert (labels[:5000] != labels[5000:10000]).any()
    assert (next(training_batches(split, size, seed=5))["labels"] != first[0]["labels"]).any()
    assert sorted(epoch_order(100, 1, 2)) == list(range(100))


def test_shards_of_a_batch_make_the_batch():
    split = open_split("mnist", "train", None)
    whole_batch = next(training_batches(split, 12, seed=1, start_step=3))
    shards = [next(training_batches(split, 12, seed=1, start_step=3, shard=(i, 3))) for i in range(3)]
    for name, value in whole_batch.items():
        np.testing.assert_array_equal(np.concatenate([shard[name] for shard in shards]), value)


def test_an_error_in_the_reading_thread_reaches_the_consumer():
    def items():
        yield 1
        raise DataError("broken")

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(DataError, match="broken"):
        next(stream)
