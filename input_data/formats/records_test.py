"""Damaged TFRecord files of every data set that has them: each is refused, naming file and record."""

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split
from input_data.formats import record_writer
from input_data.mnist import mnist_test, multi_test
from input_data.norb import norb_test


def mnist(folder):
    path = folder / "test_0shifted_mnist.tfrecords"
    mnist_test.write_records(path, *mnist_test.digits(4))
    return path, ("mnist", "test", str(folder))


def pairs(folder):
    path = folder / "multi.tfrecords-00001-of-00002"
    multi_test.write_pairs(folder / "multi.tfrecords-00000-of-00002")
    multi_test.write_pairs(path)
    return path, ("mnist", "test", f"{folder}/multi.tfrecords@2", Options(num_targets=2))


def norb(folder):
    path = folder / "testduo.tfrecords"
    norb_test.write(path, instances=(4,))
    return path, ("norb", "test", str(folder))


def length(content):
    return int.from_bytes(content[:8], "little")


FORMATS = pytest.mark.parametrize("make", [mnist, pairs, norb])


@FORMATS
@pytest.mark.parametrize("cut", ["last byte", "in the header", "in the middle"])
def test_files_cut_short_are_refused(make, cut, tmp_path):
    path, place = make(tmp_path)
    content = path.read_bytes()
    record = length(content) + 16
    keep, number = {"last byte": (-1, r"\d"), "in the header": (record + 5, 1), "in the middle": (record - 30, 0)}[cut]
    path.write_bytes(content[:keep])
    with pytest.raises(DataError, match=rf"{path.name} is cut short or damaged in record {number}"):
        open_split(*place)


@FORMATS
def test_empty_files_are_refused(make, tmp_path):
    path, place = make(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=rf"{path.name} holds no records"):
        open_split(*place)


@FORMATS
def test_a_flipped_pixel_is_found_by_its_checksum(make, tmp_path):
    path, place = make(tmp_path)
    open_split(*place).verify()
    content = bytearray(path.read_bytes())
    third = 2 * (length(content) + 16)
    content[content.index(b"image_raw", third) + 30] ^= 1  # behind the name and the length of the image
    path.write_bytes(content)
    split = open_split(*place)
    list(evaluation_batches(split, 10))  # a pixel like any other
    with pytest.raises(DataError, match=rf"{path.name}, record 2 is damaged"):
        split.verify()


@FORMATS
def test_records_of_something_else_are_refused(make, tmp_path):
    path, place = make(tmp_path)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(DataError, match=rf"{path.name}, record 0 does not hold the features"):
        next(evaluation_batches(open_split(*place), 4))


def test_blocks_are_written_as_tensorflow_does_each_record_to_its_file(tmp_path):
    payloads = np.random.RandomState(0).randint(0, 256, (50, 300)).astype(np.uint8)
    frames = np.tile(record_writer.frame(bytes(300)), (50, 1))
    frames[:, 12:-4] = payloads
    paths = [tmp_path / str(index) for index in range(3)]
    record_writer.write(paths, 50, 316, iter([frames[:30], frames[30:]]), seed=0, overwrite=False)
    found = []
    for path in paths:
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
        with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
            for record in records:
                writer.write(record)
        assert path.read_bytes() == (tmp_path / "theirs").read_bytes()
        places = [next(i for i, payload in enumerate(payloads) if payload.tobytes() == record) for record in records]
        assert places == sorted(places)
        found += places
    assert sorted(found) == list(range(50)) and found != sorted(found)
