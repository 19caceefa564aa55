"""What every data set offers: a checksum of the labels, by which a run knows its data again."""

import numpy as np
import pytest

from input_data import open_split
from input_data.formats import records
from input_data.mnist.mnist_test import digits, write_records


def test_the_checksum_is_that_of_all_labels():
    split = open_split("mnist", "test", None)
    checksum = split.checksum()
    split.labels[-1] += 1
    assert checksum != split.checksum()
    assert open_split("mnist", "valid_train", None).checksum() != open_split("mnist", "train", None).checksum()


@pytest.mark.parametrize("many", [records._SUMMED, 3])
def test_the_checksum_of_records_is_that_of_their_content(many, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_SUMMED", many)  # of more records, it is that of a sample
    monkeypatch.setattr(records, "_BLOCK", 2)
    images, labels = digits(12)
    sums = []
    for change in (0, 1):
        path = tmp_path / f"{change}.tfrecords"
        write_records(path, images, (labels + change * (np.arange(12) % 4 == 0)) % 10)
        sums += [records.Records([path]).checksum() for _ in range(2)]
    assert sums[0] == sums[1] != sums[2] == sums[3]
