"""smallNORB's records of 2017 and its own files: halving, centre, validation by toy, and damaged files."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from input_data import Options, evaluation_batches, open_split, training_batches
from input_data.arrays import standardised
from input_data.mnist.mnist_test import example, write_payloads
from input_data.norb.norb_input import NAMES


def write(path, instances=(4, 6, 9)):
    """One record for each class and toy, as the generator of 2017 wrote them; returns the images."""
    images = np.random.RandomState(0).randint(0, 256, (5 * len(instances), 2, 96, 96)).astype(np.uint8)
    numbers = [
        {"label": index % 5, "meta": [instances[index // 5], 0, 0, 0], "height": 96, "width": 96, "depth": 2}
        for index in range(len(images))
    ]
    both = zip(images, numbers, strict=True)
    write_payloads(path, [example(image_raw=image.tobytes(), **number) for image, number in both])
    return images


def write_matrices(folder, images, **change):
    """The original files of the test split, with one toy in every five images."""
    folder.mkdir(exist_ok=True)
    toys = np.stack([4 + np.arange(len(images)) // 5, *np.zeros((3, len(images)))], axis=1)
    matrices = {"dat": (images, "u1"), "cat": (np.arange(len(images)) % 5, "<i4"), "info": (toys, "<i4")} | change
    for kind, (array, dtype) in matrices.items():
        dimensions = [*array.shape, 1, 1, 1][: max(3, array.ndim)]
        head = np.array([{"u1": 0x1E3D4C55, "<i4": 0x1E3D4C54}[dtype], array.ndim, *dimensions], "<u4")
        for name in NAMES.values():
            (folder / name.format(kind)).write_bytes(head.tobytes() + array.astype(dtype).tobytes())


@pytest.mark.parametrize(("packed", "preparation"), [(False, "2017"), (True, "efficient")])
def test_the_original_files_give_the_batches_of_2017s_records(packed, preparation, tmp_path):
    images = write(tmp_path / "trainduo.tfrecords", instances=(4, 5))
    write_matrices(tmp_path / "mat", images)
    for path in (tmp_path / "mat").iterdir() if packed else ():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for name in ("train", "valid_train", "valid_test"):
        splits = [
            open_split("norb", name, str(place), Options(preparation=preparation))
            for place in (tmp_path, tmp_path / "mat")
        ]
        ours, theirs = (next(training_batches(split, 4, seed=1)) for split in splits)
        np.testing.assert_array_equal(ours["images"], theirs["images"])
        np.testing.assert_array_equal(ours["labels"], theirs["labels"])


def test_the_test_split_is_every_second_pixel_of_the_centre(tmp_path):
    images = write(tmp_path / "testduo.tfrecords")
    split = open_split("norb", "test", str(tmp_path))
    (batch,) = evaluation_batches(split, 100)
    expected = images[:, :, 16:80:2, 16:80:2].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(batch["images"], standardised(expected), atol=1e-6)
    assert batch["labels"][:, 0].tolist() == [0, 1, 2, 3, 4] * 3


def test_validation_holds_out_one_toy_of_each_class(tmp_path):
    write(tmp_path / "trainduo.tfrecords")
    batches = [
        next(evaluation_batches(open_split("norb", name, str(tmp_path)), 15))
        for name in ("train", "valid_train", "valid_test")
    ]
    for name, whole in batches[0].items():
        np.testing.assert_array_equal(batches[1][name], whole[:10])
        np.testing.assert_array_equal(batches[2][name], whole[10:])
    assert batches[2]["labels"][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_preparation_of_efficient_capsnet_is_tensorflows_resize_of_the_standardised_set(tmp_path):
    images = write(tmp_path / "testduo.tfrecords").transpose(0, 2, 3, 1).astype(np.float64)
    split = open_split("norb", "test", str(tmp_path), Options(preparation="efficient"))
    (batch,) = evaluation_batches(split, 100)
    whole = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    expected = tf.image.resize(whole, (64, 64))[:, 8:-8, 8:-8]
    np.testing.assert_allclose(batch["images"], expected, atol=1e-4)
