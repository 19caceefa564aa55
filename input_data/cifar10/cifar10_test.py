"""CIFAR-10's three forms: pixels in their places, splits, augmentation, damaged files, and pickles that run nothing."""

import gzip
import os
import pickle

import numpy as np
import pytest

from input_data import DataError, evaluation_batches, open_split, training_batches
from input_data.images import centre, standardised
from input_data.mnist.mnist_test import example, write_payloads

RNG = np.random.RandomState(8)
PARTS = {"train": 15, "test": 6, "valid_train": 10, "valid_test": 5}


def write(folder, name, count=4, seed=0, label=None):
    random = np.random.RandomState(seed)
    records = random.randint(0, 256, (count, 3073)).astype(np.uint8)
    records[:, 0] = np.arange(count) % 10 if label is None else label
    folder.mkdir(exist_ok=True)
    records.tofile(folder / name)
    return records


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_the_test_split_is_the_standardised_centre_in_file_order(inside, tmp_path):
    records = write(tmp_path / inside, "test_batch.bin")
    (batch,) = evaluation_batches(open_split("cifar10", "test", str(tmp_path)), 10)
    images = np.stack([records[:, 1:].reshape(-1, 3, 32, 32)[:, plane] for plane in range(3)], axis=-1)
    np.testing.assert_allclose(batch["images"], standardised(centre(images, 24)))
    assert batch["labels"].tolist() == [[0], [1], [2], [3]]


def test_training_images_are_crops_some_of_them_flipped(tmp_path):
    for number in range(1, 6):
        records = write(tmp_path, f"data_batch_{number}.bin", 1)
    image = records[0, 1:].reshape(3, 32, 32).transpose(1, 2, 0).astype(np.float32)
    crops = {}
    for row in range(9):
        for column in range(9):
            for flip in (1, -1):
                crops[row, column, flip] = image[row : row + 24, column : column + 24][:, ::flip]
    # Contrast has its own mean in each channel, so channels are compared one by one, standardised.
    keys = list(crops)
    table = np.stack([standardised(crops[key][None, ..., :1])[0].ravel() for key in keys])
    split = open_split("cifar10", "train", str(tmp_path))
    batch = next(training_batches(split, 300, seed=0))
    actual = standardised(batch["images"][..., :1]).reshape(300, -1)
    distances = np.abs(actual[:, None, :200] - table[None, :, :200]).max(axis=2)
    assert distances.min(axis=1).max() < 1e-3
    seen = {keys[index] for index in distances.argmin(axis=1)}
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == set(range(9))
    assert {flip for _, _, flip in seen} == {1, -1}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "test_batch.bin").write_bytes(b"x" * 5000), "3,073 bytes. Received 5,000"),
        (lambda folder: write(folder, "test_batch.bin", label=10), "0 to 9. Received 10 at index 0"),
        (lambda folder: (folder / "test_batch.bin").unlink(), "has no CIFAR-10. Looked for: test_batch.bin"),
    ],
)
def test_damaged_files_are_refused(damage, words, tmp_path):
    write(tmp_path, "test_batch.bin")
    damage(tmp_path)
    with pytest.raises(DataError, match=words):
        open_split("cifar10", "test", str(tmp_path))


def planes(count):
    return RNG.randint(0, 256, (count, 3072)).astype(np.uint8)


def write_binary(folder):
    values = [write(folder, f"data_batch_{count}.bin", count, count) for count in range(1, 6)]
    return [*values, write(folder, "test_batch.bin", 6)][-1][:, 1:]


def write_packed(folder):
    values = write_binary(folder)
    for path in folder.iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return values


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
        (write_packed, "cifar-10-batches-bin"),
        (lambda folder: write_pickles(folder, 0, str), "cifar-10-batches-py"),
        (write_pickles, "cifar-10-batches-py"),
        (lambda folder: write_pickles(folder, 5), "cifar-10-batches-py"),
        (write_records, ""),
    ],
)
def test_every_form_gives_the_same_images(form, inside, place, tmp_path):
    values = form(tmp_path / inside if place else tmp_path)
    assert {name: len(open_split("cifar10", name, str(tmp_path))) for name in PARTS} == PARTS
    split = open_split("cifar10", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images[3, 20, 10], values[3].reshape(3, 32, 32)[:, 20, 10])
    assert split.labels[:4].tolist() == [0, 1, 2, 3]


def test_records_of_another_size_and_missing_ones_are_named(tmp_path):
    write_records(tmp_path)
    write_payloads(tmp_path / "eval.tfrecords", [example(image=bytes(3071), label=0)])
    with pytest.raises(DataError, match="record 0: an image of .* has 3072 bytes. Received 3071"):
        open_split("cifar10", "test", str(tmp_path))
    (tmp_path / "validation.tfrecords").unlink()
    with pytest.raises(DataError, match="lacks validation.tfrecords"):
        open_split("cifar10", "train", str(tmp_path))


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch stolen",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Evil(), "uses (posix|nt).system, which is not allowed"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "more": np.random.RandomState}, "is not allowed"),
        ([1, 2], "is not a pickle of a dictionary"),
        ({"labels": [0]}, "lacks the array data. It has: labels"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, r"number for each of 2 images. Received int64 \[1\]"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}, "from 0 to 9. Received 10 at index 1"),
    ],
)
def test_pickles_of_anything_else_are_refused_and_nothing_in_them_is_run(content, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=words):
        open_split("cifar10", "test", str(tmp_path))
    assert not (tmp_path / "stolen").exists()
