"""CIFAR-10's Python version, read without running pickled code, and the records of the TensorFlow models' generator."""

import os
import pickle

import numpy as np
import pytest

from input_data import DataError, open_split
from input_data.formats.record_writer import record
from input_data.formats.tfds_test import example

RNG = np.random.RandomState(8)
PARTS = {"train": 15, "test": 6, "valid_train": 10, "valid_test": 5}


def planes(count):
    return RNG.randint(0, 256, (count, 3072)).astype(np.uint8)


def write_pickles(folder, protocol=2, encode=str.encode):
    """The five batches of 1 to 5 images, and a test batch of 6; returns the test images."""
    folder.mkdir(parents=True, exist_ok=True)
    for count in range(1, 7):
        values = planes(count)
        content = {
            "batch_label": b"batch",
            "labels": list(range(count)),
            "data": values,
            "filenames": [b"a.png"] * count,
        }
        name = "test_batch" if count == 6 else f"data_batch_{count}"
        (folder / name).write_bytes(pickle.dumps({encode(key): value for key, value in content.items()}, protocol))
    return values


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_the_python_version_is_read(place, protocol, tmp_path):
    values = write_pickles(tmp_path / place, protocol, str.encode if protocol else str)
    assert {name: len(open_split("cifar10", name, str(tmp_path))) for name in PARTS} == PARTS
    split = open_split("cifar10", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images[3, 20, 10], values[3].reshape(3, 32, 32)[:, 20, 10])
    assert split.labels.tolist() == [0, 1, 2, 3, 4, 5]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch stolen",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Evil(), "uses (posix|nt).system, which is not allowed"),
        ({"data": Evil(), "labels": []}, "is not allowed"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "more": np.random.RandomState}, "is not allowed"),
        ([1, 2], "should hold a dictionary. Received list"),
        ({"labels": [0]}, r"data should be uint8 \[n, 3072\]. Received None"),
        ({"data": np.zeros((2, 3072)), "labels": [0, 1]}, "Received float64"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "labels should be a list of 2 whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 3.5]}, "labels should be a list of 2 whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}, "from 0 to 9. Received 10 at index 1"),
    ],
)
def test_pickles_of_anything_else_are_refused_and_nothing_in_them_is_run(content, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=words):
        open_split("cifar10", "test", str(tmp_path))
    assert not (tmp_path / "stolen").exists()


def test_damaged_pickles_are_refused_whatever_they_claim(tmp_path):
    write_pickles(tmp_path)
    path = tmp_path / "test_batch"
    plain, random = path.read_bytes(), np.random.RandomState(0)
    claims = [b"r\xff\xff\xff\x7f.", b"\x8b\xff\xff\xff\x7f", b"\x96" + b"\xff" * 7 + b"\x7f.", b"(" * 10**5, b"", b"."]
    cuts = [plain[: random.randint(len(plain))] for _ in range(20)]
    for content in claims + cuts:
        path.write_bytes(content)
        with pytest.raises(DataError, match="test_batch (is not a pickle of arrays|should)|test_batch: "):
            open_split("cifar10", "test", str(tmp_path))


def test_records_of_the_tensorflow_models_are_read(tmp_path):
    values = {name: planes(count) for name, count in (("train", 10), ("validation", 5), ("eval", 6))}
    for name, images in values.items():
        lines = (record(example(image=image.tobytes(), label=index % 10)) for index, image in enumerate(images))
        (tmp_path / f"{name}.tfrecords").write_bytes(b"".join(lines))
    assert {name: len(open_split("cifar10", name, str(tmp_path))) for name in PARTS} == PARTS
    split = open_split("cifar10", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images[3, 20, 10], values["eval"][3].reshape(3, 32, 32)[:, 20, 10])
    (tmp_path / "eval.tfrecords").write_bytes(record(example(image=bytes(3071), label=0)))
    with pytest.raises(DataError, match="record 0: an image of .* has 3072 bytes. Received 3071"):
        open_split("cifar10", "test", str(tmp_path))
    (tmp_path / "validation.tfrecords").unlink()
    with pytest.raises(DataError, match="lacks validation.tfrecords"):
        open_split("cifar10", "train", str(tmp_path))
