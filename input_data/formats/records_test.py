"""Damaged TFRecord files of every data set that has them: each is refused, naming file and record."""

import gzip

import numpy as np
import pytest

from input_data import DataError, Options, evaluation_batches, open_split
from input_data.formats import records
from input_data.mnist import mnist_test, multi_test


def mnist(folder):
    path = folder / "test_0shifted_mnist.tfrecords"
    mnist_test.write_records(path, *mnist_test.digits(4))
    return path, ("mnist", "test", str(folder))


def pairs(folder):
    path = folder / "multi.tfrecords-00001-of-00002"
    multi_test.write_pairs(folder / "multi.tfrecords-00000-of-00002")
    multi_test.write_pairs(path)
    return path, ("mnist", "test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))


def length(content):
    return int.from_bytes(content[:8], "little")


@pytest.mark.parametrize("cut", ["last byte", "in the header", "in the middle", "everything"])
def test_files_cut_short_are_refused(cut, tmp_path):
    path, place = pairs(tmp_path)
    content = path.read_bytes()
    record = length(content) + 16
    keep = {"last byte": -1, "in the header": record + 5, "in the middle": record - 30, "everything": 0}[cut]
    path.write_bytes(content[:keep])
    with pytest.raises(DataError, match=rf"{path.name} (is cut short or damaged in record \d|holds no records)"):
        open_split(*place)


@pytest.mark.parametrize("make", [mnist, pairs])
def test_a_flipped_pixel_is_found_by_its_checksum(make, tmp_path):
    path, place = make(tmp_path)
    content = bytearray(path.read_bytes())
    third = 2 * (length(content) + 16)
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


def test_records_are_read_below_folders_of_any_name(tmp_path):
    pairs(tmp_path)
    path, _ = mnist(tmp_path)
    folder = tmp_path / "a b@c[1]*\udcff/NAME@3"
    folder.mkdir(parents=True)
    for file in (path, *tmp_path.glob("multi*")):
        file.rename(folder / file.name)
    assert len(open_split("mnist", "test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))) == 6
    assert len(open_split("mnist", "test", str(folder))) == 4
    (folder / path.name).rename(folder / "digits@2")
    assert records.shards(f"{folder}/digits@2") == [folder / "digits@2"]  # the file itself


def test_a_record_of_another_class_is_refused_wherever_it_stands(tmp_path):
    path, place = mnist(tmp_path)
    mnist_test.write_records(tmp_path / "other", *mnist_test.digits(1), label=12)
    path.write_bytes(path.read_bytes() + (tmp_path / "other").read_bytes())
    with pytest.raises(DataError, match="record 4 should have labels from 0 to 9. Received 12"):
        list(evaluation_batches(open_split(*place), 3))


def test_gzipped_records_are_read_like_plain_ones(tmp_path):
    path, place = pairs(tmp_path)
    (plain,) = evaluation_batches(open_split(*place), 100)
    path.write_bytes(gzip.compress(path.read_bytes()))
    (unpacked,) = evaluation_batches(open_split(*place), 100)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, unpacked[name])


def test_records_of_several_lengths_are_refused_when_they_are_opened_or_read(tmp_path):
    for labels, words in (([0, 1, 300, 2], "damaged in record 4"), ([0, *[300] * 34], "record 1 is damaged")):
        mnist_test.write_payloads(tmp_path / "r", [mnist_test.example(label=label) for label in labels])
        with pytest.raises(DataError, match=words):
            records.Records([tmp_path / "r"]).parse({"label": 1}, np.arange(2))


@pytest.mark.parametrize("many", [records._SUMMED, 3])
def test_the_checksum_of_records_is_that_of_their_content(many, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_SUMMED", many)  # of more records, it is that of a sample
    monkeypatch.setattr(records, "_BLOCK", 2)
    images, labels = mnist_test.digits(12)
    sums = []
    for change in (0, 1):
        path = tmp_path / f"{change}.tfrecords"
        mnist_test.write_records(path, images, (labels + change * (np.arange(12) % 4 == 0)) % 10)
        sums += [records.Records([path]).checksum() for _ in range(2)]
    assert sums[0] == sums[1] != sums[2] == sums[3]
