"""MultiMNIST: composed pairs and 2017's records."""

import hashlib
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split, training_batches
from input_data.mnist.mnist_test import example, write_idx
from input_data.mnist.multi_input import Partners

TWO = Options(num_targets=2)


def test_pairs_never_share_a_label_and_merge_by_a_clipped_sum():
    split = open_split("mnist", "train", None, TWO)
    assert split.info.image_shape == (36, 36, 1) and len(split) == 5000
    for batch in islice(training_batches(split, 500, seed=0), 3):
        assert (batch["labels"][:, 0] != batch["labels"][:, 1]).all()
        np.testing.assert_allclose(
            batch["images"], np.minimum(batch["reconstruction_targets"].sum(axis=1), 1.0), atol=1e-6
        )


def test_partners_are_uniform_over_the_other_classes():
    chooser = Partners(np.repeat(np.array([0, 3, 9], np.uint8), [10, 20, 30]), 10)
    first = np.zeros(5000, np.int64)  # a 0: its partners are the 50 digits 3 and 9
    partners = chooser.choose(first, np.linspace(0, 1, 5000, endpoint=False))
    assert np.bincount(partners, minlength=60).tolist() == [0] * 10 + [100] * 50
    last = chooser.choose(np.full(300, 59), np.linspace(0, 1, 300, endpoint=False))
    assert sorted(set(last)) == list(range(30))


def test_the_test_set_is_one_fixed_list():
    split = open_split("mnist", "test", None, Options(num_targets=2, num_pairs=3))
    assert len(split) == 3000
    made = split.batch(np.arange(1500))  # over a block's end
    part = split.batch(np.arange(995, 1005))
    for name, values in part.items():  # whatever the batch size
        np.testing.assert_array_equal(values, made[name][995:1005])
    np.testing.assert_array_equal(made["labels"][:9, 0], [7, 7, 7, 2, 2, 2, 1, 1, 1])  # each digit has three pairs
    assert made["labels"][:9, 1].tolist() == [9, 6, 5, 8, 5, 8, 3, 6, 5]
    pixels = (made["reconstruction_targets"] * 255).round().astype(np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "6ab94a166c06e3a4"


def write_pairs(path, count=3, **change):
    """Records with the features that the generator of 2017 wrote; returns (digits, labels)."""
    images, labels = np.random.RandomState(count).randint(0, 200, (count, 2, 6, 6)).astype(np.uint8), []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, (one, two) in enumerate(images):
            numbers = {"height": 6, "width": 6, "depth": 1, "label_1": index, "label_2": index + 5} | change
            labels.append((numbers["label_1"], numbers["label_2"]))
            raw = one.tobytes()
            writer.write(example(image_raw_1=raw, image_raw_2=two.tobytes(), merged_raw=raw, **numbers))
    return images, np.array(labels)


def test_sharded_records_of_2017_are_read_in_order(tmp_path):
    written = [write_pairs(tmp_path / f"multi.tfrecords-0000{i}-of-00002", 2 + i) for i in range(2)]
    split = open_split("mnist", "test", f"{tmp_path}/multi.tfrecords@2", TWO)
    assert len(split) == 5 and split.info.image_shape == (6, 6, 1)
    (batch,) = evaluation_batches(split, 10)
    np.testing.assert_array_equal(batch["labels"], np.concatenate([labels for _, labels in written]))
    expected = np.concatenate([images for images, _ in written])
    np.testing.assert_allclose(batch["reconstruction_targets"][..., 0] * 255, expected, atol=1e-4)
    np.testing.assert_allclose(batch["images"][..., 0] * 255, expected[:, 0], atol=1e-4)
    with pytest.raises(DataError, match=r"multi.tfrecords-00000-of-00003 does not exist \(3 of 3"):
        open_split("mnist", "test", f"{tmp_path}/multi.tfrecords@3", TWO)


@pytest.mark.parametrize(("change", "words"), [({"label_1": 12}, "from 0 to 9. Received 12"), ({"width": 9}, "6, 9")])
def test_wrong_pairs_are_named(change, words, tmp_path):
    write_pairs(tmp_path / "pairs.tfrecords", **change)
    with pytest.raises(DataError, match=f"pairs.tfrecords, record 0 .*{words}"):
        next(evaluation_batches(open_split("mnist", "test", f"{tmp_path}/pairs.tfrecords", TWO), 9))


@pytest.mark.parametrize("name", ["D@1/D@1", "mnist.npz"])
def test_pairs_are_composed_from_folders_and_files_of_any_name(name, tmp_path):
    images, labels = np.full((20, 8, 8), 9, np.uint8), (np.arange(20) % 10).astype(np.uint8)
    path = tmp_path / name
    if path.suffix == ".npz":
        np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    else:
        write_idx(path, images, labels, "test")
    assert open_split("mnist", "test", str(path), TWO).info.image_shape == (16, 16, 1)
