"""Own images: classes from folders, sizes, colours, and files that cannot be read."""

import os
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_data import DataError, Options, evaluation_batches, evaluation_indices, open_split
from input_data.dataset import SPLITS
from input_data.folder.folder_input import view

RNG = np.random.RandomState(6)


def write(path, size=(10, 12), depth=3, ending=".png"):
    image = RNG.randint(0, 256, (*size, depth)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if ending == ".png" else tf.io.encode_jpeg
    path.with_suffix(ending).write_bytes(encode(image).numpy())
    return image


@pytest.fixture
def pets(tmp_path):
    for part, count in (("train", 7), ("test", 2)):
        for name in ("cat", "dog"):
            for index in range(count):
                write(tmp_path / part / name / str(index))
    return tmp_path


def test_classes_are_folders_and_pixels_those_of_the_files_unless_sizes_and_colours_are_made_alike(pets):
    image = write(pets / "test" / "cat" / "0")
    split = open_split("folder", "test", str(pets))
    assert split.info.class_names == ("cat", "dog") and split.info.image_shape == (10, 12, 3)
    (batch,) = evaluation_batches(split, 10)
    assert batch["labels"][:, 0].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(batch["images"][0] * 255, image, atol=1e-4)
    write(pets / "test" / "dog" / "photo", size=(30, 20), ending=".jpg")
    with pytest.raises(DataError, match=r"photo.jpg should be 10x12x3, .* Received 30x20x3. Give --image_size"):
        open_split("folder", "test", str(pets))
    split = open_split("folder", "test", str(pets), Options(image_size=16, grayscale=True))
    assert split.info.image_shape == (16, 16, 1) and len(split) == 5


def test_a_shifted_picture_is_filled_with_the_colour_of_its_border():
    images = np.full((3, 8, 6, 3), 230, np.uint8)
    images[1] = (10, 60, 200)
    images[:, 3:5, 2:4] = 90
    moved = view(images, np.array([[0, 0.99], [0.99, 0], [0.5, 0.5]])) * 255
    for image, (row, column), colour in zip(moved, [(1, 4), (5, 0), (3, 2)], (230, (10, 60, 200), 230), strict=True):
        expected = np.full((8, 6, 3), colour)
        expected[row : row + 2, column : column + 2] = 90
        np.testing.assert_allclose(image, expected, atol=1e-4)


def test_unreadable_files_are_all_named(pets):
    folder = pets / "train" / "cat"
    write(folder / "photo", ending=".jpg")
    damaged = {"a.png": b"no picture", "b.png": b"", "c.png": (folder / "0.png").read_bytes()[:-30]}
    damaged["d.jpg"] = (folder / "photo.jpg").read_bytes()[:-30]
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=r"4 picture\(s\) cannot be read: .*a.png .*b.png .*c.png .*d.jpg"):
        open_split("folder", "train", str(pets))


def test_missing_and_unknown_folders_are_named(pets):
    write(pets / "test" / "bird" / "0")
    with pytest.raises(DataError, match="bird is not a class .*cat, dog"):
        open_split("folder", "test", str(pets))
    (pets / "test").rename(pets / "val")
    with pytest.raises(DataError, match=r"/test does not exist: .*It has: .*train, .*val"):
        open_split("folder", "test", str(pets))
    with pytest.raises(DataError, match="has no folder of pictures"):
        open_split("folder", "train", str(pets / "train/cat"))


def test_what_is_left_out_is_said_and_what_a_mac_adds_is_not_read(pets):
    cat = pets / "train" / "cat"
    write(cat / "holiday" / "2024" / "0")
    for ending in (".webp", ".tif", ".bmp"):
        Image.fromarray(RNG.randint(0, 256, (10, 12, 3)).astype(np.uint8)).save(cat / f"other{ending}")
    (cat / "._0.png").write_bytes(b"\0\5\x16\7")
    (pets / "train" / "__MACOSX" / "cat").mkdir(parents=True)
    (pets / "train" / "__MACOSX" / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    (cat / "folder.png").mkdir()
    for name in ("notes.txt", "photo.heic", "README"):
        (cat / name).write_text("no picture")
    split = open_split("folder", "train", str(pets))
    assert split.labels.tolist() == [0] * 11 + [1] * 7 and split.info.class_names == ("cat", "dog")
    assert "3 file(s) that are not pictures (.heic, .txt, README)" in split.note
    (cat / "dead.png").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"dead.png \(No such file or directory\)"):
        open_split("folder", "train", str(pets))


def test_without_train_and_test_every_sixth_picture_is_the_test(tmp_path):
    images = {name: [write(tmp_path / name / f"{index:02}") for index in range(13)] for name in ("a", "b")}
    splits = {name: open_split("folder", name, str(tmp_path)) for name in SPLITS}
    assert [len(split) for split in splits.values()] == [20, 6, 16, 4]
    np.testing.assert_array_equal(splits["test"].images[:3], images["a"][::6])
    contents = [{image.tobytes() for image in splits[name].images} for name in ("valid_train", "valid_test", "test")]
    assert len(set.union(*contents)) == 26 and "every sixth picture" in splits["test"].note
    (tmp_path / "b").rename(tmp_path / "a" / "b")
    with pytest.raises(DataError, match="one class only, a: at least two"):
        open_split("folder", "train", str(tmp_path))


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_arrays_in_the_layouts_of_keras_and_medmnist_are_read(names, tmp_path):
    path = tmp_path / "any [1].npz"
    arrays = {}
    for part, count in (("train", 12), ("val", 4), ("test", 5)):
        arrays[names[0].format(part)] = RNG.randint(0, 256, (count, 9, 7, 3)).astype(np.uint8)
        arrays[names[1].format(part)] = (np.arange(count) % 3)[:, None]
    np.savez_compressed(path, **arrays)
    sizes = [len(open_split("folder", name, str(path))) for name in SPLITS]
    assert sizes == ([12, 5, 12, 4] if "labels" in names[1] else [12, 5, 10, 2])
    split = open_split("folder", "test", str(path))
    assert split.info.image_shape == (9, 7, 3) and split.info.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(split.images, arrays[names[0].format("test")])
    assert split.labels.tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("name", ["a@1 *[x]?{}$$\udcff" + "x" * 200, "三毛　猫 می‌روم"])
def test_folders_and_classes_of_any_name_are_read_and_accents_in_two_forms_are_one_class(name, tmp_path):
    write(tmp_path / "0")
    accents = [unicodedata.normalize(form, "M\u00f6bel") for form in ("NFC", "NFD")]
    old_japanese = map(os.fsdecode, (b"\x8c\xa2", b"\x92\xb9"))
    for kind in (name, *accents, f"{name}2", *old_japanese):
        for part in ("train", "test"):
            (tmp_path / name / part / kind).mkdir(parents=True)
            (tmp_path / name / part / kind / f"{name}.png").write_bytes((tmp_path / "0.png").read_bytes())
    split = open_split("folder", "test", str(tmp_path / name))
    assert len(split) == 6 and len(set(split.info.class_names)) == 5 and accents[0] in split.info.class_names
    "".join(split.info.class_names).encode()  # no surrogates: they could not be printed


@pytest.mark.parametrize("names", [("training", "testing"), ("Train", "TEST", "val")])
def test_the_parts_of_a_data_set_are_never_taken_for_classes(names, tmp_path):
    (tmp_path / "notes").mkdir()
    for part, count in zip(names, (7, 2, 3), strict=False):
        for index in range(count):
            for kind in ("cat", "dog"):
                write(tmp_path / part / kind / str(index))
    splits = [open_split("folder", name, str(tmp_path)) for name in SPLITS]
    assert [len(split) for split in splits] == [14, 4, *((14, 6) if len(names) == 3 else (10, 4))]
    assert all(split.info.class_names == ("cat", "dog") for split in splits)


def test_a_part_of_a_sorted_folder_has_all_classes():
    for limit in (5, 11, 20, 40, 100):
        labels = np.arange(40)[evaluation_indices(40, limit)] // 8
        counts = np.bincount(labels, minlength=5)
        assert len(labels) == min(limit, 40) and counts.max() - counts.min() <= 1 and (np.diff(labels) >= 0).all()
    assert evaluation_indices(40, None).tolist() == list(range(40)) and evaluation_indices(5, 0).size == 0
    cyclic = np.arange(24_300) % 5  # smallNORB's order: every fifth example would be of one class
    assert np.bincount(cyclic[evaluation_indices(24_300, 4_860)]).min() > 850
