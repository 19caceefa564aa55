"""Damaged TFRecord files of every data set that has them: each is refused, naming file and record."""

import gzip

import numpy as np
import pytest

from input_data import DataError, Options, evaluation_batches, open_split
from input_data.formats import records
from input_data.mnist import mnist_test, multi_test


def pairs(folder):
    path = folder / "multi.tfrecords-00001-of-00002"
    multi_test.write_pairs(folder / "multi.tfrecords-00000-of-00002")
    multi_test.write_pairs(path)
    return path, ("mnist", "test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))


def length(content):
    return int.from_bytes(content[:8], "little") + 16


@pytest.mark.parametrize("keep", [lambda size: -1, lambda size: size + 5, lambda size: size - 30, lambda size: 0])
def test_files_cut_short_are_refused(keep, tmp_path):
    path, place = pairs(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: keep(length(content))])
    with pytest.raises(DataError, match=rf"{path.name} (is cut short or damaged in record \d|holds no records)"):
        open_split(*place)


def test_a_flipped_pixel_is_found_by_its_checksum(tmp_path):
    path, place = pairs(tmp_path)
    content = bytearray(path.read_bytes())
    third = 2 * length(content)
    content[content.index(b"image_raw", third) + 30] ^= 1  # behind the name and the length of the image
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.name}, record 2 is damaged"):
        list(evaluation_batches(open_split(*place), 10))


@pytest.mark.parametrize("content", [b"", bytes(range(128, 256)), b"text"])
def test_records_of_something_else_are_refused(content, tmp_path):
    path, place = pairs(tmp_path)
    mnist_test.write_payloads(path, [content])
    with pytest.raises(DataError, match=rf"{path.name}, record 0 does not hold the features"):
        next(evaluation_batches(open_split(*place), 4))


def test_plain_and_gzipped_records_are_read_below_folders_of_any_name(tmp_path):
    path, place = pairs(tmp_path)
    (plain,) = evaluation_batches(open_split(*place), 100)
    path.write_bytes(gzip.compress(path.read_bytes()))
    folder = tmp_path / "a b@c[1]*\udcff/NAME@3"
    folder.mkdir(parents=True)
    for file in tmp_path.glob("multi*"):
        file.rename(folder / file.name)
    split = open_split("mnist", "test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))
    for name, values in next(evaluation_batches(split, 100)).items():
        np.testing.assert_array_equal(values, plain[name])
    with pytest.raises(DataError, match="has no part to hold out"):
        open_split("mnist", "valid_test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))
    (folder / path.name).rename(folder / "digits@2")
    assert records.shards(f"{folder}/digits@2") == [folder / "digits@2"]  # the file itself


def test_records_of_several_lengths_are_refused_when_they_are_opened_or_read(tmp_path):
    for labels, words in (([0, 1, 300, 2], "damaged in record 4"), ([0, *[300] * 34], "record 1 is damaged")):
        mnist_test.write_payloads(tmp_path / "r", [mnist_test.example(label=label) for label in labels])
        with pytest.raises(DataError, match=words):
            records.Records([tmp_path / "r"]).parse({"label": 1}, np.arange(2))


@pytest.mark.parametrize("summed", [12, 4])  # of more records, every third is taken
def test_the_checksum_of_records_is_that_of_their_content(summed, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_SUMMED", summed)
    monkeypatch.setattr(records, "_BLOCK", 1)
    images, labels = mnist_test.digits(12)
    sums = set()
    for change in (0, 0, 1):
        mnist_test.write_records(tmp_path / "r", images, (labels + change * (np.arange(12) == 9)) % 10)
        sums.add(records.Records([tmp_path / "r"]).checksum())
    assert len(sums) == 2
