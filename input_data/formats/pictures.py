"""Decodes single pictures, converts them to grey or colour, and resizes them."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from input_data.dataset import DataError, Fitted, Options, Shape, unfit

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # Pillow's names of the formats that are read
ENDINGS = (".png", ".jpg", ".jpeg", ".mpo", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601, as JPEG has it)


def below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Finds the pictures in a folder, in the folders below it and in linked ones, and the files that are none, sorted.

    Hidden files and a Mac's companion files are in neither list.
    """
    shown = sorted(_files(folder))
    pictures = [path for path in shown if path.suffix.lower() in ENDINGS]
    return pictures, [path for path in shown if path.suffix.lower() not in ENDINGS]


def _files(folder: Path, *above: Path) -> Iterator[Path]:
    here = folder.resolve()
    readable = here not in above and os.access(folder, os.R_OK | os.X_OK)  # a link may lead back to a folder above
    for path in folder.iterdir() if readable else ():
        if path.name != "__MACOSX" and not path.name.startswith("."):
            yield from _files(path, here, *above) if path.is_dir() else [path]


def not_pictures(paths: list[Path]) -> str:
    """Files that are no pictures in words, by their endings."""
    endings = sorted({path.suffix.lower() or path.name for path in paths})
    return f"{len(paths)} file(s) that are not pictures ({', '.join(endings[:10])})"


def read(file: Path | BinaryIO) -> np.ndarray:
    """Returns the picture in a file as a viewer shows it (the first one if there are several).

    Palettes, CMYK and other colour spaces become RGB, 16 bits become 8, and photos are turned upright by the
    orientation that the camera recorded: uint8 [rows, columns, depth], depth 1 (grey), 3 (RGB) or 4 (RGBA). DataError:
    the file cannot be read, is of another kind, is damaged, or has more pixels than Pillow reads.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="ignore"):  # of harmless oddities of TIFF files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                return _pixels(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow raises whatever the damage leads to
        if isinstance(error, OSError) and error.strerror:  # of the file system: it is not there, or not to be read
            raise DataError(error.strerror) from None
        most = f"at most {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
        should = f"be a readable PNG, JPEG, BMP, GIF, WebP, TIFF or PPM picture of {most}"
        raise unfit("The file", should, "another kind, a damaged or a larger one") from None


def _pixels(image) -> np.ndarray:
    """Returns a Pillow image as uint8 [rows, columns, 1, 3 or 4]."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):  # 16 bits or more, or real numbers
        values = np.asarray(image, np.float32)[..., None]
        unit = 1 / 257 if values.max() > 255 else 1 if values.max() > 1 else 255
        return np.clip(np.round(values * unit), 0, 255).astype(np.uint8)
    transparent = image.has_transparency_data
    if image.mode in ("1", "L") and not transparent:
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def opaque(picture: np.ndarray) -> Fitted:
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


def with_depth(picture: np.ndarray, depth: int) -> Fitted:
    """A picture in grey (depth 1) or RGB (3), uint8 and opaque, and a list of what was done."""
    picture, notes = opaque(picture)
    if picture.shape[2] == depth:
        return picture, notes
    if depth == 3:
        return picture.repeat(3, axis=2), [*notes, "grey to colour"]
    if (picture == picture[..., :1]).all():  # grey already, written as RGB
        return picture[..., :1], notes
    grey = sum(picture[..., channel] * weight for channel, weight in enumerate(_LUMA))  # little memory for large photos
    return np.round(grey).astype(np.uint8)[..., None], [*notes, "colour to grey"]


def resized(picture: np.ndarray, rows: int, columns: int) -> Fitted:
    """Returns a picture [rows, columns, depth] in another size as float32 in the same unit, and what was done.

    It is smoothed if it shrinks; a picture that already has the size keeps its exact values.
    """
    if picture.shape[:2] == (rows, columns):
        return picture.astype(np.float32), []
    from PIL import Image

    channels = map(Image.fromarray, np.moveaxis(picture, -1, 0).astype(np.float32))
    changed = [np.asarray(channel.resize((columns, rows), Image.Resampling.BILINEAR)) for channel in channels]
    return np.stack(changed, axis=-1), [f"resized {picture.shape[0]}x{picture.shape[1]} to {rows}x{columns}"]


def fitted(
    picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...] = (), options: Options = Options()
) -> Fitted:
    """The `fit` of data sets whose pictures fill the frame: a picture in the images' depth and size, uint8."""
    picture, notes = with_depth(picture, image_shape[2])
    picture, changed = resized(picture, *image_shape[:2])
    return np.round(picture).astype(np.uint8), [*notes, *changed]
