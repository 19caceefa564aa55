"""Single pictures as people have them: decoded, in grey or colour, of the size that a network takes."""

import io
import warnings
from pathlib import Path

import numpy as np

from input_data.dataset import DataError
from input_data.formats.files import limit_of_environment

FORMATS = {  # Pillow's names of what is read, and the endings of such files
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
    """Returns the most pixels of a picture: 64 million, or what INPUT_DATA_LIMIT_MEGAPIXELS in the environment says.

    Raises:
        DataError: the variable is not a number above 0.
    """
    return int(limit_of_environment(_LIMIT_VARIABLE, "64", "megapixels", 1e6) * 1e6)


def is_hidden(path: Path) -> bool:
    """Whether a path below a folder is hidden, or one of the companion files that a Mac puts into zip files."""
    return any(name[0] == "." or name == "__MACOSX" for name in path.parts)


def is_picture(path: Path) -> bool:
    """Whether a path below a folder names a picture: by its ending, and not hidden."""
    return path.suffix.lower() in ENDINGS and not is_hidden(path)


def read(path: Path) -> np.ndarray:
    """Returns the picture in a file, see `decode`.

    Raises:
        DataError: a file that cannot be read or is too large, or content that is no picture.
    """
    try:
        size = path.stat().st_size
        if size > _BYTES_PER_PIXEL * pixel_limit():
            raise DataError(_too_large(f"{size / 2**30:.1f} GiB"))
        return decode(path.read_bytes())
    except OSError as error:
        raise DataError(error.strerror or str(error)) from None


def decode(content: bytes) -> np.ndarray:
    """Returns the picture in the content of a file, upright, as a viewer shows it (the first of several).

    Palettes, CMYK and other colour spaces become RGB, 16 bits become 8, and a photo that its camera noted as turned is
    turned back.

    Args:
        content: a PNG, JPEG, BMP, GIF, WebP, TIFF or PPM file.

    Returns:
        uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA).

    Raises:
        DataError: content that is none of these, is damaged, or has more pixels than `pixel_limit`.
    """
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = pixel_limit()  # Pillow warns beyond it, and refuses beyond twice as many
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
            "Received something else or a damaged one."
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
    """Returns grey values of 16 bits or more, or real ones, as 0 to 255."""
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("values that are no numbers")
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
    if (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all():
        return picture[..., :1], notes  # grey already, written as RGB
    grey = sum(picture[..., channel] * weight for channel, weight in enumerate(_LUMA))  # little memory for large photos
    return np.round(grey).astype(np.uint8)[..., None], [*notes, "colour to grey"]


def resized(picture: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, list[str]]:
    """Returns a picture in another size, smoothed where it shrinks, and what was done.

    One that has the size already keeps its exact values.

    Args:
        picture: uint8 or float32 [rows, columns, depth].
        rows, columns: the new size.

    Returns:
        float32 [rows, columns, depth] in the same unit.

    Raises:
        DataError: a size beyond `pixel_limit`.
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
