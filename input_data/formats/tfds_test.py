"""TensorFlow Datasets' records of PNG: MNIST and its relatives, SVHN, CIFAR-10 and smallNORB."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_data import DataError, evaluation_batches, open_split
from input_data.formats.record_writer import record
from input_data.images import centre, standardised

RNG = np.random.RandomState(7)


def png(image):
    content = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(content, "PNG")
    return content.getvalue()


def example(**features):
    """A serialized tf.train.Example of bytes and whole numbers."""
    lists = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
        for name, value in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()


def write(folder, name, split_name, shape, labels, shards=1):
    """Writes made examples as TensorFlow Datasets does, and returns their images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = RNG.randint(0, 256, (len(labels), *shape)).astype(np.uint8)
    lines = [record(example(image=png(image), label=label)) for image, label in zip(images, labels, strict=True)]
    for index, own in enumerate(np.array_split(np.arange(len(lines)), shards)):
        path = folder / f"{name}-{split_name}.tfrecord-{index:05}-of-{shards:05}"
        path.write_bytes(b"".join(lines[number] for number in own))
    return images


@pytest.mark.parametrize("place", ["", "mnist/3.0.1", "3.0.1"])
def test_mnist_is_read_from_the_folder_or_from_below_it(place, tmp_path):
    labels = np.arange(12) % 10
    images = write(tmp_path / place, "mnist", "test", (28, 28, 1), labels, shards=2)
    write(tmp_path / place, "mnist", "train", (28, 28, 1), labels)
    split = open_split("mnist", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images, images)
    assert split.labels.tolist() == labels.tolist() and split.info.name == "MNIST"
    assert [len(open_split("mnist", name, str(tmp_path))) for name in ("valid_train", "valid_test")] == [10, 2]


def test_fashion_mnist_has_its_classes(tmp_path):
    write(tmp_path, "fashion_mnist", "test", (28, 28, 1), [0, 9])
    split = open_split("mnist", "test", str(tmp_path))
    assert split.info.name == "Fashion-MNIST" and split.info.class_names[9] == "Ankle boot"


def test_svhn_and_cifar10_are_read(tmp_path):
    images = write(tmp_path, "svhn_cropped", "test", (32, 32, 3), [0, 9, 3])
    split = open_split("svhn", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images, images)
    assert split.labels.tolist() == [0, 9, 3]
    images = write(tmp_path, "cifar10", "train", (32, 32, 3), np.arange(10))
    split = open_split("cifar10", "valid_test", str(tmp_path))
    np.testing.assert_array_equal(split.images, images[8:])
    assert split.labels.tolist() == [8, 9] and len(open_split("cifar10", "valid_train", str(tmp_path))) == 8


def test_smallnorb_has_both_views_and_its_toys(tmp_path):
    views = RNG.randint(0, 256, (10, 2, 96, 96, 1)).astype(np.uint8)
    lines = [
        record(example(image=png(one), image2=png(two), label_category=index % 5, instance=4 + index // 5))
        for index, (one, two) in enumerate(views)
    ]
    for name in ("train", "test"):
        (tmp_path / f"smallnorb-{name}.tfrecord-00000-of-00001").write_bytes(b"".join(lines))
    (batch,) = evaluation_batches(open_split("norb", "test", str(tmp_path)), 20)
    halved = views[:, :, ::2, ::2, 0].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(batch["images"], standardised(centre(halved, 32)), atol=1e-6)
    assert batch["labels"][:, 0].tolist() == [0, 1, 2, 3, 4] * 2
    assert open_split("norb", "valid_test", str(tmp_path)).indices.tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (
            {"image": png(np.zeros((27, 28, 1), np.uint8)), "label": 0},
            r"record 1: .* \(28, 28, 1\). Received \(27, 28, 1\)",
        ),
        ({"image": b"no picture", "label": 0}, "record 1: Expected a readable PNG"),
        ({"image": b"no label"}, "record 1 does not hold the features image, label"),
        ({"image": png(np.zeros((28, 28, 1), np.uint8)), "label": 10}, "from 0 to 9. Received 10 at index 1"),
    ],
)
def test_records_that_are_no_digits_are_named(features, words, tmp_path):
    write(tmp_path, "mnist", "test", (28, 28, 1), [0])
    with (tmp_path / "mnist-test.tfrecord-00000-of-00001").open("ab") as file:
        file.write(record(example(**features)))
    with pytest.raises(DataError, match=words):
        open_split("mnist", "test", str(tmp_path))


def test_missing_files_are_named(tmp_path):
    write(tmp_path, "mnist", "test", (28, 28, 1), [0, 1], shards=2)
    with pytest.raises(DataError, match="lacks mnist-train.tfrecord"):
        open_split("mnist", "train", str(tmp_path))
    (tmp_path / "mnist-test.tfrecord-00001-of-00002").unlink()
    with pytest.raises(DataError, match=r"mnist-test.tfrecord-00001-of-00002 does not exist \(1 of 2"):
        open_split("mnist", "test", str(tmp_path))
