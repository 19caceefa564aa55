"""CIFAR-10's three forms: pixels in their places, and splits."""

import gzip
import pickle

import numpy as np
import pytest

from input_data import DataError, evaluation_batches, open_split
from input_data.arrays import centre, standardised
from input_data.mnist.mnist_test import example, write_payloads

RNG = np.random.RandomState(8)
PARTS = {"train": 15, "test": 6, "valid_train": 10, "valid_test": 5}


def write(folder, name, count=4, seed=0, first=0):
    records = np.random.RandomState(seed).randint(0, 256, (count, 3073)).astype(np.uint8)
    records[:, 0] = first + np.arange(count)
    folder.mkdir(exist_ok=True)
    records.tofile(folder / name)
    return records


def planes(count):
    return RNG.randint(0, 256, (count, 3072)).astype(np.uint8)


def write_binary(folder):
    values = [write(folder, f"data_batch_{count}.bin", count, count) for count in range(1, 6)]
    return [*values, write(folder, "test_batch.bin", 6)][-1][:, 1:]


def write_gzipped(folder):
    images = write_binary(folder)
    for path in [*folder.glob("*.bin")]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return images


def write_pickles(folder, protocol=2, encode=str.encode):
    """The five batches of 1 to 5 images, and a test batch of 6; returns the test images."""
    folder.mkdir(parents=True, exist_ok=True)
    for count in range(1, 7):
        values = planes(count)
        content = {"batch_label": b"batch", "labels": list(range(count)), "data": values, "filenames": [b"a.png"]}
        name = "test_batch" if count == 6 else f"data_batch_{count}"
        (folder / name).write_bytes(pickle.dumps({encode(key): value for key, value in content.items()}, protocol))
    return values


def write_records(folder):
    """The files of the TensorFlow models' generator."""
    folder.mkdir(exist_ok=True)
    for name, count in (("train", 10), ("validation", 5), ("eval", 6)):
        values = planes(count)
        payloads = [example(image=image.tobytes(), label=index % 10) for index, image in enumerate(values)]
        write_payloads(folder / f"{name}.tfrecords", payloads)
    return values


@pytest.mark.parametrize("place", ["", "inside"])
@pytest.mark.parametrize(
    ("form", "inside"),
    [
        (write_binary, "cifar-10-batches-bin"),
        (write_gzipped, "cifar-10-batches-bin"),
        (lambda folder: write_pickles(folder, 0, str), "cifar-10-batches-py"),
        (write_pickles, "cifar-10-batches-py"),
        (write_records, ""),
    ],
)
def test_every_form_gives_the_same_images(form, inside, place, tmp_path):
    values = form(tmp_path / inside if place else tmp_path)
    assert {name: len(open_split("cifar10", name, str(tmp_path))) for name in PARTS} == PARTS
    (batch,) = evaluation_batches(open_split("cifar10", "test", str(tmp_path)), 10)
    images = np.stack([values.reshape(-1, 3, 32, 32)[:, plane] for plane in range(3)], axis=-1)
    np.testing.assert_allclose(batch["images"], standardised(centre(images, 24)))
    assert batch["labels"][:, 0].tolist() == list(range(6))


def test_records_of_another_size_and_missing_ones_are_named(tmp_path):
    write_records(tmp_path)
    write_payloads(tmp_path / "eval.tfrecords", [example(image=bytes(3071), label=0)])
    with pytest.raises(DataError, match=r"record 0 does not hold the features image of shape \(3072,\), label"):
        open_split("cifar10", "test", str(tmp_path))
    (tmp_path / "validation.tfrecords").unlink()
    with pytest.raises(DataError, match="lacks some of train.tfrecords, validation.tfrecords"):
        open_split("cifar10", "train", str(tmp_path))
