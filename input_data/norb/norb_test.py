"""smallNORB's records of 2017: halving, centre, validation by toy, and damaged files."""

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split, training_batches
from input_data.images import standardised


def write(path, instances=(4, 6, 9), label=None, size=96):
    """One record for each class and toy, as the generator of 2017 wrote them; returns the images."""
    random, images = np.random.RandomState(0), []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for instance in instances:
            for kind in range(5):
                images.append(random.randint(0, 256, (2, size, size)).astype(np.uint8))
                numbers = {
                    "label": [kind if label is None else label],
                    "height": [96],
                    "width": [96],
                    "depth": [2],
                    "meta": [instance, 0, 0, 0],
                }
                feature = {n: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for n, v in numbers.items()}
                feature["image_raw"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[images[-1].tobytes()]))
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return np.array(images)


def test_the_test_split_is_every_second_pixel_of_the_centre(tmp_path):
    images = write(tmp_path / "testduo.tfrecords")
    split = open_split("norb", "test", str(tmp_path))
    (batch,) = evaluation_batches(split, 100)
    expected = images[:, :, 16:80:2, 16:80:2].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(batch["images"], standardised(expected), atol=1e-6)
    assert batch["labels"][:, 0].tolist() == [0, 1, 2, 3, 4] * 3


def test_validation_holds_out_one_toy_of_each_class(tmp_path):
    write(tmp_path / "trainduo.tfrecords")
    held_out, rest = (open_split("norb", name, str(tmp_path)) for name in ("valid_test", "valid_train"))
    assert held_out.indices.tolist() == [10, 11, 12, 13, 14] and rest.indices.tolist() == list(range(10))
    assert sorted(next(evaluation_batches(held_out, 9))["labels"][:, 0]) == [0, 1, 2, 3, 4]


def test_training_batches_have_the_size_of_the_network_and_depend_on_the_step(tmp_path):
    write(tmp_path / "trainduo.tfrecords")
    split = open_split("norb", "train", str(tmp_path))
    batch = next(training_batches(split, 15, seed=3, start_step=2))
    assert batch["images"].shape == (15, 32, 32, 2)
    np.testing.assert_allclose(batch["images"].mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_array_equal(batch["images"], next(training_batches(split, 15, 3, 2))["images"])
    assert (batch["images"] != next(training_batches(split, 15, 3, 3))["images"]).any()


def test_the_preparation_of_efficient_capsnet_is_tensorflows_resize_of_the_standardised_set(tmp_path):
    images = write(tmp_path / "testduo.tfrecords").transpose(0, 2, 3, 1).astype(np.float64)
    split = open_split("norb", "test", str(tmp_path), Options(preparation="efficient"))
    (batch,) = evaluation_batches(split, 100)
    whole = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    expected = tf.image.resize(whole, (64, 64))[:, 8:-8, 8:-8]
    np.testing.assert_allclose(batch["images"], expected, atol=1e-4)


def test_training_for_efficient_capsnet_crops_and_distorts(tmp_path):
    write(tmp_path / "trainduo.tfrecords")
    split = open_split("norb", "train", str(tmp_path), Options(preparation="efficient"))
    batch = next(training_batches(split, 15, seed=3))
    assert batch["images"].shape == (15, 48, 48, 2) == (15, *split.info.image_shape)
    means = batch["images"].mean(axis=(1, 2))
    assert np.abs(means).max() < 2.3 and means.std() > 0.5  # brightness up to 2 either way


@pytest.mark.parametrize(("change", "words"), [({"label": 5}, "0 to 4. Received 5"), ({"size": 48}, "18432 bytes")])
def test_wrong_records_are_refused(change, words, tmp_path):
    write(tmp_path / "testduo.tfrecords", **change)
    with pytest.raises(DataError, match=words):
        next(evaluation_batches(open_split("norb", "test", str(tmp_path)), 4))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"trainduo.tfrecords does not exist"):
        open_split("norb", "train", str(tmp_path))
    with pytest.raises(DataError, match="needs a --data_dir"):
        open_split("norb", "train", None)
