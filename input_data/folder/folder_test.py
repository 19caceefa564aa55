"""Own images: classes from folders, sizes, colours, and files that cannot be read."""

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split

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


def test_classes_are_folders_and_pixels_those_of_the_files(pets):
    image = write(pets / "test" / "cat" / "0")
    split = open_split("folder", "test", str(pets))
    assert split.info.class_names == ("cat", "dog") and split.info.image_shape == (10, 12, 3)
    (batch,) = evaluation_batches(split, 10)
    assert batch["labels"][:, 0].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(batch["images"][0] * 255, image, atol=1e-4)


def test_sizes_and_colours_are_made_alike_when_asked(pets):
    write(pets / "test" / "dog" / "photo", size=(30, 20), ending=".jpg")
    with pytest.raises(DataError, match=r"photo.jpg is 30x20x3, the images before it are 10x12x3. Give --image_size"):
        open_split("folder", "test", str(pets))
    split = open_split("folder", "test", str(pets), Options(image_size=16, grayscale=True))
    assert split.info.image_shape == (16, 16, 1) and len(split) == 5


def test_validation_holds_out_every_sixth_of_each_class(pets):
    held_out, rest = (open_split("folder", name, str(pets)) for name in ("valid_test", "valid_train"))
    assert held_out.labels.tolist() == [0, 0, 1, 1] and len(rest) == 10


def test_unreadable_files_are_all_named(pets):
    folder = pets / "train" / "cat"
    write(folder / "photo", ending=".jpg")
    damaged = {"a.png": b"no picture", "b.png": b"", "c.png": (folder / "0.png").read_bytes()[:-30]}
    damaged["d.jpg"] = (folder / "photo.jpg").read_bytes()[:-30]
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=r"4 file\(s\) are no readable PNG or JPEG: .*a.png, .*b.png, .*c.png, .*d.jpg"):
        open_split("folder", "train", str(pets))


def test_missing_and_unknown_folders_are_named(pets, tmp_path):
    (pets / "test" / "bird").mkdir()
    with pytest.raises(DataError, match="bird is no class .*cat, dog"):
        open_split("folder", "test", str(pets))
    (tmp_path / "empty" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="has no folder of PNG or JPEG"):
        open_split("folder", "train", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="empty/test does not exist"):
        open_split("folder", "test", str(tmp_path / "empty"))
