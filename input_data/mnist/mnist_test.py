"""MNIST from IDX, from records and from the sample: values, order, augmentation."""

import gzip
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split, training_batches
from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE


def write_idx(folder, images, labels, split_name="train", packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        path = folder / f"{ {'train': 'train', 'test': 't10k'}[split_name] }-{name}.gz"
        idx.write(path, array)
        if not packed:
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()


def digits(count=30, size=6, seed=0):
    random = np.random.RandomState(seed)
    return random.randint(0, 256, (count, size, size)).astype(np.uint8), (np.arange(count) % 10).astype(np.uint8)


def example(**features):
    """A serialized tf.train.Example of bytes and whole numbers."""
    values = {name: [each] if isinstance(each, bytes) else np.ravel(each).tolist() for name, each in features.items()}
    kinds = {name: "bytes_list" if isinstance(value, bytes) else "int64_list" for name, value in features.items()}
    feature = {name: {kind: {"value": values[name]}} for name, kind in kinds.items()}
    return tf.train.Example(features={"feature": feature}).SerializeToString()


def write_payloads(path, payloads):
    """Records with these contents, by TensorFlow's writer."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)


def write_records(path, images, labels, **change):
    """Records with the features that the generator of 2017 wrote."""
    numbers = {"height": images.shape[1], "width": images.shape[2], "depth": 1}
    both = zip(images, labels, strict=True)
    write_payloads(path, [example(image_raw=i.tobytes(), **{"label": label} | numbers | change) for i, label in both])


@pytest.mark.parametrize("name", ["valid_test_0shifted_mnist.tfrecords", "test_0shifted_mnist_valid.tfrecords"])
def test_records_of_2017_give_the_same_as_idx(name, tmp_path):
    images, labels = digits()
    write_records(tmp_path / "test_0shifted_mnist.tfrecords", images, labels)
    write_idx(tmp_path / "idx", images, labels, "test", packed=False)
    one, other = (open_split("mnist", "test", str(folder)) for folder in (tmp_path, tmp_path / "idx"))
    assert one.info == other.info
    assert [len(batch["labels"]) for batch in evaluation_batches(one, 8)] == [8, 8, 8, 6]
    for ours, theirs in zip(evaluation_batches(one, 7), evaluation_batches(other, 7), strict=True):
        np.testing.assert_array_equal(ours["images"], theirs["images"])
        np.testing.assert_array_equal(ours["labels"], theirs["labels"])
    write_records(tmp_path / name, *digits(4))  # what 2017 read, and what it wrote
    assert len(open_split("mnist", "valid_test", str(tmp_path))) == 4
    for options in (Options(num_targets=2), Options(preparation="efficient")):
        with pytest.raises(DataError, match="has shifted digits alone. Pairs and preparation=efficient need plain"):
            open_split("mnist", "test", str(tmp_path), options)


def test_validation_holds_out_the_first_sixth(tmp_path):
    images, labels = digits(60)
    write_idx(tmp_path, images, labels)
    held_out, rest = (open_split("mnist", name, str(tmp_path)) for name in ("valid_test", "valid_train"))
    np.testing.assert_array_equal(held_out.images[..., 0], images[:10])
    np.testing.assert_array_equal(rest.images[..., 0], images[10:])


def test_the_sample_is_the_head_of_mnist():
    train, test = open_split("mnist", "train", None), open_split("mnist", "test", None)
    assert (len(train), len(test)) == (5000, 1000)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.gz")) < 1.1e6


@pytest.mark.parametrize(
    ("dataset", "options", "middle", "reach"),
    [("mnist", Options(), 14, 2), ("mnist", Options(num_targets=2), 18, 4), ("affnist", Options(), 20, 6)],
)
def test_training_digits_are_shifted_as_in_the_paper(dataset, options, middle, reach, tmp_path):
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 14, 14] = 255
    write_idx(tmp_path, images, np.arange(50, dtype=np.uint8) % 2)
    batches = islice(training_batches(open_split(dataset, "train", str(tmp_path), options), 50, 0), 40)
    drawn = [batch.get("reconstruction_targets", batch["images"]) for batch in batches]
    places = np.concatenate([np.argwhere(image[..., 0] == 1)[:, -2:] for image in drawn])
    for axis in (0, 1):
        assert np.unique(places[:, axis]).tolist() == list(range(middle - reach, middle + reach + 1))


def test_idx_reads_without_tensorflow():
    code = (
        "import sys; from input_data import open_split; open_split('mnist', 'train', None);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
