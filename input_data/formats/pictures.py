"""Single pictures as people have them: decoded, in grey or colour, of the size that a network takes.

TensorFlow decodes and resizes; it is loaded when it is needed.
"""

import numpy as np

from input_data.dataset import DataError

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601, as JPEG has it)


def decode(content: bytes) -> np.ndarray:
    """The picture in a PNG, JPEG, BMP or GIF (its first frame): uint8 [rows, columns, depth], depth 1, 3 or 4.

    Raises:
        DataError: content that is none of these, or damaged.
    """
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):
            picture = tf.io.decode_image(content, expand_animations=False).numpy()
    except Exception as error:  # TensorFlow raises whatever the damage leads to
        raise DataError(
            "Expected a readable PNG, JPEG, BMP or GIF. Received something else or a damaged one."
        ) from error
    return picture[..., [0, 0, 0, 1]] if picture.shape[2] == 2 else picture  # grey with transparency


def check(picture: np.ndarray) -> None:
    """Raises DataError unless a picture is uint8 [rows, columns, 1, 3 or 4]."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
        raise DataError(
            "A picture is uint8 [rows, columns, depth] of depth 1 (grey), 3 (RGB) or 4 (RGBA). "
            f"Received: {picture.dtype} {list(picture.shape)}."
        )


def opaque(picture: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A picture without transparency, and what was done: white is put under it, or black under bright ink."""
    if picture.shape[2] != 4:
        return picture, []
    cover = picture[..., 3:].astype(np.float32) / 255
    if cover.min() == 1:
        return picture[..., :3], []
    shown = picture[..., :3] * cover
    paper = "black" if shown.sum() > 3 * 127 * cover.sum() else "white"
    shown += {"white": 255, "black": 0}[paper] * (1 - cover)
    return np.round(shown).astype(np.uint8), [f"transparent on {paper}"]


def with_depth(picture: np.ndarray, depth: int) -> tuple[np.ndarray, list[str]]:
    """A picture in grey (depth 1) or RGB (3), uint8 and opaque, and what was done to it."""
    picture, notes = opaque(picture)
    if picture.shape[2] == depth:
        return picture, notes
    if depth == 3:
        return picture.repeat(3, axis=2), [*notes, "grey to colour"]
    if (picture == picture[..., :1]).all():
        return picture[..., :1], notes  # grey already, written as RGB
    return np.round(picture.astype(np.float32) @ _LUMA).astype(np.uint8)[..., None], [*notes, "colour to grey"]


def resized(picture: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, list[str]]:
    """A picture [rows, columns, depth] of another size, smoothed where it shrinks, float32 in the same unit.

    One that has the size already keeps its exact values. The second result says what was done.
    """
    if picture.shape[:2] == (rows, columns):
        return picture.astype(np.float32), []
    import tensorflow as tf

    with tf.device("CPU:0"):
        changed = tf.image.resize(picture, (rows, columns), antialias=True).numpy()
    return changed, [f"resized {picture.shape[0]}x{picture.shape[1]} to {rows}x{columns}"]
