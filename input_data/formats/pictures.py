"""Decodes single pictures, converts them to grey or colour, and resizes them."""

import io
import warnings
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import limit_of_environment

FORMATS = {  # Pillow's names of the formats that are read, and their file endings
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".mpo"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
_LIMIT_VARIABLE = "INPUT_DATA_LIMIT_MEGAPIXELS"
_BYTES_PER_PIXEL = 16  # no format that is read takes more on disk
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601, as JPEG has it)


def pixel_limit() -> int:
    """Returns the most pixels that a picture may have: 64 million, or as INPUT_DATA_LIMIT_MEGAPIXELS says.

    Raises:
        DataError: the variable is not a number above 0.
    """
    return int(limit_of_environment(_LIMIT_VARIABLE, "64", "megapixels", 1e6) * 1e6)


def is_hidden(path: Path) -> bool:
    """Whether a path below a folder is hidden or a companion file that a Mac adds to zip files."""
    return any(name[0] == "." or name == "__MACOSX" for name in path.parts)


def is_picture(path: Path) -> bool:
    """Whether a path below a folder has the ending of a picture and is not hidden."""
    return path.suffix.lower() in ENDINGS and not is_hidden(path)


def read(path: Path) -> np.ndarray:
    """Returns the picture in a file, see `decode`.

    Raises:
        DataError: the file cannot be read, is too large, or is not a picture.
    """
    try:
        size = path.stat().st_size
        if size > _BYTES_PER_PIXEL * pixel_limit():
            raise DataError(_too_large(f"{size / 2**30:.1f} GiB"))
        return decode(path.read_bytes())
    except OSError as error:
        raise DataError(error.strerror or str(error)) from None


def decode(content: bytes) -> np.ndarray:
    """Returns the picture in the content of a file as a viewer shows it (the first one if there are several).

    Palettes, CMYK and other colour spaces become RGB, 16 bits become 8, and photos are turned upright by the
    orientation that the camera recorded.

    Args:
        content: a PNG, JPEG, BMP, GIF, WebP, TIFF or PPM file.

    Returns:
        uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        DataError: the content is of another kind, is damaged, or has more pixels than `pixel_limit`.
    """
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = pixel_limit()  # Pillow warns above this, and refuses above twice as many
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # also of harmless oddities of TIFF files
            with Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as image:
                if image.width * image.height > pixel_limit():
                    raise DataError(_too_large(f"{image.width}x{image.height}"))
                return _pixels(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(_too_large("more than twice as many")) from None
    except Exception:  # Pillow raises whatever the damage leads to
        raise DataError(
            "Expected a readable PNG, JPEG, BMP, GIF, WebP, TIFF or PPM picture. "
            "Received another kind of file or a damaged one."
        ) from None


def _too_large(size: str) -> str:
    return (
        f"The picture is too large: at most {pixel_limit() / 1e6:g} million pixels are read. Received {size}. "
        f"Make it smaller, or set {_LIMIT_VARIABLE} in the environment."
    )


def _pixels(image) -> np.ndarray:
    """Returns a Pillow image as uint8 [rows, columns, 1, 3 or 4]."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _as_bytes(np.asarray(image))[..., None]
    transparent = image.has_transparency_data
    if image.mode in ("1", "L") and not transparent:
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """Returns grey values of 16 bits or more, or floats, scaled to 0 to 255."""
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    low, high = values.min(), values.max()
    if low >= 0 and high <= 1:
        values = values * 255
    elif low >= 0 and high <= 65535 and high > 255:
        values = values / 257
    elif low < 0 or high > 65535:
        values = (values - low) * (255 / (high - low))
    return np.round(values).astype(np.uint8)


def check(picture: np.ndarray) -> None:
    """Raises DataError unless a picture is uint8 [rows, columns, 1, 3 or 4]."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size:
        raise DataError(
            "A picture must be uint8 [rows, columns, depth] of depth 1 (grey), 3 (RGB) or 4 (RGBA). "
            f"Received: {picture.dtype} {list(picture.shape)}."
        )


def opaque(picture: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A picture without transparency, on white or, for bright ink, on black; and a list of what was done."""
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
    """A picture in grey (depth 1) or RGB (3), uint8 and opaque, and a list of what was done."""
    picture, notes = opaque(picture)
    if picture.shape[2] == depth:
        return picture, notes
    if depth == 3:
        return picture.repeat(3, axis=2), [*notes, "grey to colour"]
    if (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all():
        return picture[..., :1], notes  # grey already, written as RGB
    grey = sum(picture[..., channel] * weight for channel, weight in enumerate(_LUMA))  # little memory for large photos
    return np.round(grey).astype(np.uint8)[..., None], [*notes, "colour to grey"]


def resized(picture: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, list[str]]:
    """Returns a picture in another size, smoothed if it shrinks, and a list of what was done.

    A picture that already has the size keeps its exact values.

    Args:
        picture: uint8 or float32 [rows, columns, depth].
        rows, columns: the new size.

    Returns:
        float32 [rows, columns, depth] in the same unit.

    Raises:
        DataError: the new size exceeds `pixel_limit`.
    """
    if picture.shape[:2] == (rows, columns):
        return picture.astype(np.float32), []
    if rows * columns > pixel_limit():
        raise DataError(_too_large(f"{columns}x{rows}"))
    from PIL import Image

    channels = [
        Image.fromarray(channel.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR)
        for channel in np.moveaxis(picture, -1, 0)
    ]
    changed = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    return changed, [f"resized {picture.shape[0]}x{picture.shape[1]} to {rows}x{columns}"]
