"""MNIST and its relatives in every form in which people have them: the same images and labels, named as they are."""

import numpy as np
import pytest

from input_data import DataError, open_split, prepare
from input_data.formats import idx
from input_data.mnist import mnist_input
from input_data.mnist.mnist_test import digits, write_idx

IMAGES, LABELS = digits(20, size=28, seed=3)


def write_emnist(folder, name, labels, split_name="test"):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", IMAGES.transpose(0, 2, 1)), ("labels-idx1", labels)):
        idx.write(folder / f"emnist-{name}-{split_name}-{kind}-ubyte.gz", array)


def write_keras(path):
    path.parent.mkdir(exist_ok=True)
    np.savez(path, x_train=IMAGES[:7], y_train=LABELS[:7], x_test=IMAGES, y_test=LABELS)


def write_csv(folder, name, heading):
    folder.mkdir()
    table = np.concatenate([LABELS[:, None], IMAGES.reshape(20, -1)], axis=1)
    for split_name in ("train", "test"):
        head = ",".join(["label", *(f"pixel{number}" for number in range(784))]) if heading else ""
        np.savetxt(folder / f"{name}_{split_name}.csv", table, "%d", ",", header=head, comments="")


FORMS = {
    "IDX": (lambda f: write_idx(f, IMAGES, LABELS, "test"), "MNIST"),
    "torchvision, MNIST": (lambda f: write_idx(f / "MNIST/raw", IMAGES, LABELS, "test"), "MNIST"),
    "torchvision, Fashion": (lambda f: write_idx(f / "FashionMNIST/raw", IMAGES, LABELS, "test"), "Fashion-MNIST"),
    "torchvision, KMNIST": (lambda f: write_idx(f / "KMNIST/raw", IMAGES, LABELS, "test"), "KMNIST"),
    "EMNIST": (lambda f: write_emnist(f / "EMNIST/raw", "balanced", LABELS), "EMNIST balanced"),
    "EMNIST letters": (lambda f: write_emnist(f, "letters", LABELS + 1), "EMNIST letters"),
    "Keras": (lambda f: write_keras(f / "mnist.npz"), "MNIST"),
    "Keras, Fashion": (lambda f: write_keras(f / "fashion_mnist.npz"), "Fashion-MNIST"),
    "table": (lambda f: write_csv(f, "mnist", heading=False), "MNIST"),
    "table, Fashion": (lambda f: write_csv(f, "fashion-mnist", heading=True), "Fashion-MNIST"),
}
CLASSES = {"EMNIST balanced": 47, "EMNIST letters": 26}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_under_its_name(form, tmp_path):
    write, name = FORMS[form]
    write(tmp_path / "data")
    split = open_split("mnist", "test", str(tmp_path / "data"))
    np.testing.assert_array_equal(split.images[..., 0], IMAGES)
    assert split.labels.tolist() == LABELS.tolist()
    assert split.info.name == name and split.info.num_classes == CLASSES.get(name, 10)
    assert (name in split.note) == (name != "MNIST")


def test_of_several_emnist_splits_one_is_named(tmp_path):
    for name in ("letters", "digits"):
        write_emnist(tmp_path, name, LABELS % 9 + 1)
    with pytest.raises(DataError, match=r"several splits .* --data_dir: .*/emnist-letters, .*/emnist-digits"):
        open_split("mnist", "test", str(tmp_path))
    assert open_split("mnist", "test", f"{tmp_path}/emnist-letters").info.num_classes == 26
    write_keras(tmp_path / "any.npz")  # which may be named itself
    assert len(open_split("mnist", "test", f"{tmp_path}/any.npz")) == 20


MNISTS = np.array([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, *[0] * 8], np.uint8)
OTHERS = {
    "MNIST's IDX files": (lambda f: write_idx(f, IMAGES, MNISTS, "test"), "MNIST"),
    "mnist.npz": (lambda f: write_keras(f / "mnist.npz"), "MNIST"),
    "mnist_test.csv": (lambda f: write_csv(f, "mnist", heading=True), "MNIST"),
    "EMNIST letters": FORMS["EMNIST letters"],
}


@pytest.mark.parametrize("other", OTHERS)
def test_files_of_another_relative_are_not_taken_for_the_wanted_one(other, tmp_path):
    write, name = OTHERS[other]
    write(tmp_path / "d")
    with pytest.raises(DataError, match=f"has {name}, not Fashion-MNIST"):
        open_split("fashion_mnist", "test", str(tmp_path / "d"))
    write_idx(tmp_path / "d/fashion-mnist", IMAGES[:5], LABELS[:5], "test")
    assert len(open_split("fashion_mnist", "test", str(tmp_path / "d"))) == 5
    assert len(open_split("mnist", "test", str(tmp_path / "d"))) == 20


FASHIONS = np.array([9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, *[0] * 8], np.uint8)


@pytest.mark.parametrize(
    ("folder", "labels", "name"),
    [
        ("fashion/data", LABELS, "MNIST"),
        ("my_fashion_shop/kmnist/digits", LABELS, "MNIST"),
        ("fashion", MNISTS, "MNIST"),
        ("fashion", LABELS, "Fashion-MNIST"),
        ("data", FASHIONS, "Fashion-MNIST"),
    ],
)
def test_first_labels_and_the_files_own_folder_name_the_data_but_not_the_folders_above(folder, labels, name, tmp_path):
    write_idx(tmp_path / folder, IMAGES, labels, "test")
    assert open_split("mnist", "test", str(tmp_path / folder)).info.name == name


def test_of_kaggles_digits_the_last_seventh_is_the_test(tmp_path):
    write_csv(tmp_path / "both", "mnist", heading=True)
    (tmp_path / "both/mnist_train.csv").rename(tmp_path / "train.csv")
    splits = {name: open_split("mnist", name, str(tmp_path)) for name in ("train", "test", "valid_train", "valid_test")}
    assert [len(split) for split in splits.values()] == [18, 2, 15, 3]
    np.testing.assert_array_equal(splits["test"].images[..., 0], IMAGES[18:])
    np.testing.assert_array_equal(splits["train"].images[..., 0], IMAGES[:18])
    assert "last seventh" in splits["test"].note


@pytest.mark.parametrize(
    ("names", "place"), [(None, 0), (None, 784), (("label", "pixel{}"), 784), (('"C"', '"1x{}"'), 0)]
)
def test_the_label_is_found_in_the_first_and_in_the_last_column(names, place, tmp_path):
    pixels = IMAGES.reshape(20, -1).copy()
    pixels[:, [0, -1]] = 0  # as at the edge of every digit
    table = np.insert(pixels.astype(int), place, LABELS, axis=1)
    heading = np.insert([names[1].format(i) for i in range(784)], place, names[0]).tolist() if names else []
    np.savetxt(tmp_path / "mnist_test.csv", table, "%d", ",", header=",".join(heading), comments="")
    split = open_split("mnist", "test", str(tmp_path))
    np.testing.assert_array_equal(split.images.reshape(20, -1), pixels)
    assert split.labels.tolist() == LABELS.tolist()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="TFRecords of 2017, train-images-idx3.*mnist.npz.*train.csv.*emnist-"):
        open_split("mnist", "test", str(tmp_path))
    write_csv(tmp_path / "csv", "mnist", heading=False)
    (tmp_path / "csv/mnist_test.csv").unlink()
    with pytest.raises(DataError, match="mnist_test.csv is missing"):
        open_split("mnist", "test", str(tmp_path / "csv"))


def test_pictures_of_garments_keep_their_frame_and_those_of_letters_are_laid_out():
    garment = np.full((28, 28, 1), 60, np.uint8)
    garment[:, 8:20] = 200
    for picture, error, done in (
        (garment.repeat(2, 0).repeat(2, 1), 60, ["resized 56x56 to 28x28"]),
        (255 - garment, 1e-4, ["inverted: dark on light"]),
    ):
        prepared, notes = prepare("mnist", picture, (28, 28, 1), mnist_input.FASHION.class_names)
        np.testing.assert_allclose(prepared * 255, garment, atol=error)
        assert notes == done
    stroke = np.zeros((60, 60, 1), np.uint8)
    stroke[10:50, 25:31] = 255
    assert "centred" in prepare("mnist", stroke, (28, 28, 1), mnist_input.EMNIST["letters"].class_names)[1][-1]
