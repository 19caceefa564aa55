"""Pictures as networks see them: a test image's picture gives that image, and what is done is said."""

import io

import numpy as np
import pytest
import tensorflow as tf

from input_data import DataError, Options, evaluation_batches, open_split, prepare
from input_data.formats.pictures import opaque, read, resized

RNG = np.random.RandomState(4)


def png(picture):
    return tf.io.encode_png(picture).numpy()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_reading_gives_the_pixels_of_every_depth(depth):
    picture = RNG.randint(0, 256, (5, 7, depth)).astype(np.uint8)
    expected = picture[..., [0, 0, 0, 1]] if depth == 2 else picture  # grey with transparency
    np.testing.assert_array_equal(read(io.BytesIO(png(picture))), expected)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(DataError, match="readable PNG, JPEG"):
        read(io.BytesIO(png(np.zeros((9, 9, 1), np.uint8))[: 10 * len(shape)]))
    with pytest.raises(DataError, match=r"uint8 \[rows, columns, depth\]"):
        prepare("mnist", np.zeros(shape, np.uint8), (28, 28, 1))


def test_transparent_parts_contrast_with_what_is_drawn():
    for ink, paper in ((0, 255), (255, 0)):
        picture = np.full((2, 2, 4), ink, np.uint8)
        picture[..., 3] = [[0, 0], [255, 255]]
        seen, notes = opaque(picture)
        assert seen[0].min() == seen[0].max() == paper and seen[1].min() == seen[1].max() == ink
        assert notes == [f"transparent on {'white' if paper else 'black'}"]


def test_shrinking_averages_and_does_not_skip():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[..., None]  # of one pixel: a skipping resize sees one
    small, notes = resized(stripes, 8, 8)
    np.testing.assert_allclose(small, 127.5, atol=8)
    assert notes == ["resized 64x64 to 8x8"]


def test_own_images_are_prepared_as_they_are_read_for_training(tmp_path):
    pictures = RNG.randint(0, 256, (2, 30, 20, 3)).astype(np.uint8)
    for part in ("train", "test"):
        for index, picture in enumerate(pictures):
            (tmp_path / part / f"class{index}").mkdir(parents=True)
            (tmp_path / part / f"class{index}" / "1.png").write_bytes(png(picture))
    for options, depth in ((Options(image_size=12), 3), (Options(image_size=12, grayscale=True), 1)):
        (batch,) = evaluation_batches(open_split("folder", "test", str(tmp_path), options), 9)
        prepared, notes = prepare("folder", pictures[1], (12, 12, depth))
        np.testing.assert_array_equal(prepared, batch["images"][1])
        assert notes == ["colour to grey"] * (depth == 1) + ["resized 30x20 to 12x12"]


def test_a_house_number_is_scaled_and_resized():
    picture = RNG.randint(0, 256, (32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(prepare("svhn", picture, (32, 32, 3))[0] * 255, picture, atol=1e-4)
    prepared, notes = prepare("svhn", np.full((64, 48, 3), 51, np.uint8), (32, 32, 3))
    np.testing.assert_allclose(prepared, 0.2, atol=1e-5)
    assert notes == ["resized 64x48 to 32x32"]
