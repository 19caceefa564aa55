"""Pictures are read as a viewer shows them and become what networks see; what is done to them is said."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from input_data import DataError, Options, evaluation_batches, open_split, prepare
from input_data.formats.pictures import below, opaque, read, with_depth

RNG = np.random.RandomState(4)


def png(picture):
    return tf.io.encode_png(picture).numpy()


def decode(content):
    return read(io.BytesIO(content))


def saved(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, -1)])
def test_photos_are_turned_as_their_camera_noted(orientation, turns):
    upright = np.zeros((40, 30, 3), np.uint8)
    upright[:20, :10] = (200, 30, 30)  # one corner, so that every turn differs
    stored, exif = np.rot90(upright, turns), Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        picture = decode(saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif))
        assert picture.shape == (40, 30, 3), kind
        np.testing.assert_allclose(picture[5:15, 2:6].mean(axis=(0, 1)), (200, 30, 30), atol=12, err_msg=kind)
        assert picture[25:, 15:].max() < 40, kind


def test_palettes_other_colour_spaces_and_other_bits_become_eight_bits_of_grey_or_rgb():
    image = Image.fromarray(np.full((6, 5, 3), (204, 51, 51), np.uint8))
    for mode, kind in map(str.split, ("P PNG", "P BMP", "P GIF", "CMYK JPEG", "LAB TIFF", "RGB WEBP")):
        picture = with_depth(decode(saved(image.convert(mode), kind)), 3)[0]
        np.testing.assert_allclose(picture[0, 0], (204, 51, 51), atol=4, err_msg=f"{mode} {kind}")
    assert decode(saved(image.convert("P"), "PNG", transparency=0)).shape == (6, 5, 4)
    values = np.linspace(0, 65535, 60).reshape(6, 10).astype(np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        np.testing.assert_array_equal(decode(saved(Image.fromarray(values), kind))[..., 0], np.round(values / 257))
    real = np.linspace(0, 1, 30, dtype=np.float32).reshape(6, 5)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(real), "TIFF"))[..., 0], np.round(real * 255))


def test_of_moving_pictures_the_first_is_read():
    frames = [Image.fromarray(np.full((6, 5, 3), level, np.uint8)) for level in (10, 200)]
    for kind in ("GIF", "TIFF", "WEBP", "PNG"):
        picture = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        np.testing.assert_allclose(picture[..., 0], 10, atol=2)


def test_damaged_pictures_of_every_format_are_refused_or_read_but_nothing_else():
    random = np.random.RandomState(0)
    for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"):
        plain = saved(Image.fromarray(RNG.randint(0, 256, (12, 9, 3)).astype(np.uint8)), kind)
        for _ in range(40):
            content = bytearray(plain[: random.randint(1, len(plain) + 1)])
            for place in random.randint(0, len(content), random.randint(0, 9)):
                content[place] = random.randint(256)
            try:
                picture = decode(bytes(content))
            except DataError:
                continue
            assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] in (1, 3, 4)


def test_files_of_a_mac_and_hidden_ones_are_no_pictures_and_links_are_followed_once(tmp_path):
    names = ["1.PNG", "a/x.webp", "b/c/x.TIF", "IMG_2.HEIC", "notes.txt"]
    hidden = ["._1.png", "__MACOSX/1.png", ".cache/1.png"]
    for name in [*names, *hidden]:
        (tmp_path / "real" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "real" / name).write_bytes(b"")
    (tmp_path / "set").mkdir()
    for link, target in {"set/linked": "real", "real/b/back": "set"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    found, others = below(tmp_path / "set")
    assert [str(path.relative_to(tmp_path / "set/linked")) for path in found + others] == names


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_reading_gives_the_pixels_of_every_depth(depth):
    picture = RNG.randint(0, 256, (5, 7, depth)).astype(np.uint8)
    expected = picture[..., [0, 0, 0, 1]] if depth == 2 else picture  # grey with transparency
    np.testing.assert_array_equal(decode(png(picture)), expected)


def test_what_is_no_picture_is_refused(monkeypatch):
    picture = png(np.zeros((9, 9, 1), np.uint8))
    with pytest.raises(DataError, match="readable PNG, JPEG"):
        decode(picture[:20])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)
    with pytest.raises(DataError, match="of at most 0 million pixels"):
        decode(picture)


def test_transparent_parts_contrast_with_what_is_drawn():
    for ink, paper in ((0, 255), (255, 0)):
        picture = np.full((2, 2, 4), ink, np.uint8)
        picture[..., 3] = [[0, 0], [255, 255]]
        seen, notes = opaque(picture)
        assert seen[0].min() == seen[0].max() == paper and seen[1].min() == seen[1].max() == ink
        assert notes == [f"transparent on {'white' if paper else 'black'}"]


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
