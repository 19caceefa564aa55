"""Pictures of real digits before a trained network: enlarged, dark on light, in colour, they are the same digits."""

import numpy as np
import pytest
import tensorflow as tf

from explorer.reading import prepare, read_image
from input_data import open_split


def scan(digit, seed):
    """A JPEG of a digit, ten times enlarged, in blue ink on a grainy, unevenly lit sheet."""
    large = np.clip(tf.image.resize(digit, (280, 280), "bicubic").numpy(), 0, 255)
    page = np.zeros((520, 410, 1), np.float32)
    page[150:430, 60:340] = large
    sheet = 235 - page * np.array([0.85, 0.8, 0.5], np.float32) + np.linspace(-12, 12, 410)[None, :, None]
    grain = np.random.RandomState(seed).normal(0, 4, sheet.shape)
    return tf.io.encode_jpeg(np.clip(sheet + grain, 0, 255).astype(np.uint8), quality=70).numpy()


def test_scans_of_test_digits_are_recognised_as_the_digits_are(network):
    split = open_split("mnist", "test", None)
    digits, labels = split.images[:100], split.labels[:100]
    prepared = np.stack([prepare(read_image(scan(digit, seed)), network)[0] for seed, digit in enumerate(digits)])
    plain, scanned = (
        np.argmax(network.model(images)["logits"], axis=1) for images in (np.float32(digits / 255), prepared)
    )
    assert (plain == labels).sum() >= 85, "the network of this test should have learned to read"
    assert (scanned == labels).sum() >= 85 and (scanned == plain).sum() >= 90


def test_what_was_done_is_said_and_files_are_read_as_their_content(network, tmp_path):
    content = scan(open_split("mnist", "test", None).images[0], 0)
    (tmp_path / "7.jpg").write_bytes(content)
    image = read_image(tmp_path / "7.jpg")
    np.testing.assert_array_equal(image, read_image(content))
    assert image.shape == (520, 410, 3) and image.dtype == np.uint8
    prepared, notes = prepare(image, network)
    assert prepared.shape == (28, 28, 1) and prepared.dtype == np.float32
    assert notes == ["colour to grey", "inverted: dark on light", "cut from 520x410 to its ink and centred"]


def test_what_cannot_be_read_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="readable PNG, JPEG"):
        read_image(scan(np.zeros((28, 28, 1)), 0)[:500])
