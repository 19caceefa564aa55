"""Own images: `train/CLASS/*.png|jpg` and `test/CLASS/*`; the classes are the names of the folders."""

from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays
from input_data.dataset import DataError, Info, Options, Split
from input_data.formats.pictures import decode, resized, with_depth
from input_data.images import scaled

REACH = 2  # pixels each way, in training
_ENDINGS = (".png", ".jpg", ".jpeg")


def _fit(picture: np.ndarray, depth: int, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    picture, notes = with_depth(picture, depth)
    picture, changed = resized(picture, *size)
    return np.round(picture).astype(np.uint8), [*notes, *changed]


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """Any picture as one of the folder: with the network's depth and size, in [0, 1]. See `input_data.prepare`."""
    *size, depth = image_shape
    picture, notes = _fit(picture, depth, size)
    return scaled(picture), notes


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read(folder: Path, classes: list[str], options: Options) -> tuple[np.ndarray, np.ndarray]:
    """All images of a part, uint8 [n, rows, columns, depth], and their labels; unreadable files are named together."""
    images, labels, unreadable = [], [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).glob("*")):
            if path.suffix.lower() not in _ENDINGS:
                continue
            try:
                picture = decode(path.read_bytes())
            except DataError:
                unreadable.append(str(path))
                continue
            size = (options.image_size, options.image_size) if options.image_size else picture.shape[:2]
            images.append(_fit(picture, 1 if options.grayscale else 3, size)[0])
            labels.append(label)
            if images[-1].shape != images[0].shape:
                raise DataError(
                    f"{path} is {'x'.join(map(str, images[-1].shape))}, the images before it are "
                    f"{'x'.join(map(str, images[0].shape))}. Give --image_size=N to make them all NxN."
                )
    if unreadable:
        raise DataError(f"{len(unreadable)} file(s) are no readable PNG or JPEG: {', '.join(unreadable[:10])}.")
    if not images:
        raise DataError(f"{folder} has no folder of PNG or JPEG images for each class, as in train/cat/1.png.")
    return np.stack(images), np.array(labels)


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """A split of a folder of images; validation holds out every sixth image of each class.

    Args:
        data_dir: the folder that has `train` and `test`.
        split: train, test, valid_train or valid_test.
        options: image_size and grayscale; num_targets must be 1.

    Raises:
        DataError: missing folders, classes in test that train lacks, unreadable files, sizes that differ.
    """
    folder = options.folder("folder", data_dir, "train/CLASS/*.png and test/CLASS/*.png")
    part = folder / ("test" if split == "test" else "train")
    for needed in {folder / "train", part}:
        if not needed.is_dir():
            raise DataError(f"{needed} does not exist: --data_dir should have train/CLASS/*.png and test/CLASS/*.png.")
    classes = _classes(folder / "train")
    unknown = sorted(set(_classes(part)) - set(classes))
    if unknown:
        raise DataError(f"{part}/{unknown[0]} is no class of {folder}/train, which has: {', '.join(classes)}.")
    images, labels = _read(part, classes, options)
    if split.startswith("valid"):
        place = np.arange(len(labels)) - np.searchsorted(labels, labels)  # within the image's class
        chosen = (place % 6 == 0) == (split == "valid_test")
        images, labels = images[chosen], labels[chosen]
    info = Info("own images", images.shape[1:], len(classes), 1, tuple(classes))
    return ImageArrays(info, images, labels, REACH if split in ("train", "valid_train") else 0)
