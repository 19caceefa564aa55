"""Reads the user's own images from a folder of pictures for each class, or from a `.npz` file."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Info, Options, Split, check_labels
from input_data.formats import npz
from input_data.formats.files import check_size
from input_data.formats.pictures import is_hidden, is_picture, read, resized, with_depth
from input_data.images import scaled

REACH = 2  # pixels each way, in training
_HELD_OUT = 6  # every sixth picture of a class is held out for validation, and as the test if there is no test folder


def _fit(picture: np.ndarray, depth: int, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    picture, notes = with_depth(picture, depth)
    picture, changed = resized(picture, *size)
    return np.round(picture).astype(np.uint8), [*notes, *changed]


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...], options: Options
) -> tuple[np.ndarray, list[str]]:
    """Prepares any picture like one of the folder: with the network's depth and size. See `input_data.prepare`."""
    *size, depth = image_shape
    picture, notes = _fit(picture, depth, size)
    return scaled(picture), notes


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a folder with a folder for each class.

    Attributes:
        folder: the folder.
        classes: the sorted pictures of each class, including those in folders below the class's folder.
        note: the files that were skipped; may be empty.
    """

    folder: Path
    classes: dict[str, list[Path]]
    note: str

    @staticmethod
    def below(folder: Path) -> "_Pictures":
        """Finds the classes in a folder. Hidden files and a Mac's companion files are skipped."""
        classes, empty, others = {}, [], Counter()
        for place in sorted(item for item in folder.iterdir() if item.is_dir() and not is_hidden(Path(item.name))):
            files = sorted(
                path for path in place.rglob("*") if not path.is_dir() and not is_hidden(path.relative_to(place))
            )
            name = os.fsencode(place.name).decode("utf-8", "replace")
            classes[name] = [path for path in files if is_picture(path.relative_to(place))]
            others.update(path.suffix.lower() or path.name for path in files if not is_picture(path.relative_to(place)))
            if not classes[name]:
                empty.append(name)
                del classes[name]
        notes = (
            [f"{sum(others.values())} file(s) that are not pictures ({', '.join(sorted(others)[:10])})"]
            if others
            else []
        )
        notes += [f"folder(s) without a picture: {', '.join(empty[:10])}"] if empty else []
        return _Pictures(folder, classes, f"Skipped in {folder}: {'; '.join(notes)}." if notes else "")


def _read(pictures: _Pictures, classes: list[str], options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Returns all pictures, uint8 [n, rows, columns, depth], and labels [n]; the error names all unreadable files."""
    places = [(path, classes.index(name)) for name, paths in pictures.classes.items() for path in paths]
    if not places:
        raise DataError(f"{pictures.folder} has no folder of pictures for each class, as in train/cat/1.png.")
    images, labels, unreadable = np.empty(0, np.uint8), np.array([label for _, label in places]), []
    for index, (path, _) in enumerate(places):
        try:
            picture = read(path)
        except DataError as error:
            unreadable.append(f"{path} ({error})")
            continue
        size = (options.image_size, options.image_size) if options.image_size else picture.shape[:2]
        image = _fit(picture, 1 if options.grayscale else 3, size)[0]
        if not images.size:
            check_size(pictures.folder, len(places) * image.nbytes, f"{len(places):,} images of {image.shape}")
            images = np.empty((len(places), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise DataError(
                f"{path} is {'x'.join(map(str, image.shape))}, but the images before it are "
                f"{'x'.join(map(str, images.shape[1:]))}. Give --image_size=N to make them all NxN."
            )
        images[index] = image
    if unreadable:
        raise DataError(f"{len(unreadable)} picture(s) cannot be read: {'; '.join(unreadable[:10])}")
    return images, labels


def _held_out(labels: np.ndarray) -> np.ndarray:
    """For sorted labels [n]: whether each belongs to a held-out picture, every sixth of its class."""
    return (np.arange(len(labels)) - np.searchsorted(labels, labels)) % _HELD_OUT == 0


def _open_pictures(folder: Path, split_name: str, options: Options) -> ImageArrays:
    flat = not (folder / "train").is_dir() and not (folder / "test").is_dir()
    place = folder / ("test" if split_name == "test" else "train")
    for needed in () if flat else {folder / "train", place}:
        if not needed.is_dir():
            raise DataError(
                f"{needed} does not exist: --data_dir should have train/CLASS/*.png and test/CLASS/*.png, "
                "or CLASS/*.png."
            )
    training = _Pictures.below(folder if flat else folder / "train")
    pictures = training if flat or split_name != "test" else _Pictures.below(place)
    classes = list(training.classes)
    if len(classes) == 1:
        raise DataError(f"{training.folder} has pictures of one class only, {classes[0]}: at least two are needed.")
    unknown = sorted(pictures.classes.keys() - set(classes))
    if unknown:
        raise DataError(f"{place}/{unknown[0]} is not a class of {folder}/train, which has: {', '.join(classes)}.")
    images, labels = _read(pictures, classes, options)
    notes = [pictures.note]
    if flat:
        test = _held_out(labels)
        own = test if split_name == "test" else ~test
        images, labels = images[own], labels[own]
        notes.append(f"{folder} has no train and test folders: every sixth picture of a class is held out as the test.")
    if split_name.startswith("valid"):
        own = _held_out(labels) == (split_name == "valid_test")
        images, labels = images[own], labels[own]
    return _split(images, labels, tuple(classes), split_name, " ".join(filter(None, notes)))


def _split(
    images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], split_name: str, note: str = ""
) -> ImageArrays:
    info = Info("own images", images.shape[1:], len(class_names), 1, class_names)
    opened = ImageArrays(info, images, labels, REACH if split_name in ("train", "valid_train") else 0)
    opened.note = note
    return opened


def _open_arrays(path: Path, split_name: str, options: Options) -> ImageArrays:
    """Opens a split of a `.npz` file; --validate uses the file's own validation split if it has one (MedMNIST)."""
    if options.image_size or options.grayscale:
        raise DataError(f"--image_size and --grayscale are for pictures. {path} holds images of one size and depth.")
    parts = npz.parts(path)
    _, training_labels = npz.examples(path, *parts["train"])
    count = int(training_labels.max()) + 1
    part = "test" if split_name == "test" else "val" if split_name == "valid_test" and "val" in parts else "train"
    images, labels = npz.examples(path, *parts[part])
    labels = check_labels(labels, count, str(path))
    if "val" not in parts:
        images, labels = hold_out(split_name, images, labels)
    if images.ndim == 3:
        images = images[..., None]
    return _split(images, labels, tuple(map(str, range(count))), split_name)


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens a split of the user's own images.

    Args:
        data_dir: a folder with train/CLASS/* and test/CLASS/*; a folder with CLASS/*, where every sixth picture belongs
            to the test; or a `.npz` file in the layout of Keras or MedMNIST. Validation holds out every sixth picture
            of a class, or MedMNIST's own validation split.
        split: train, test, valid_train or valid_test.
        options: image_size and grayscale; num_targets must be 1.

    Raises:
        DataError: folders are missing, the test has classes that train lacks, files are unreadable, or sizes differ.
    """
    path = Path(data_dir) if data_dir is not None else None
    if path is not None and path.suffix == ".npz" and path.is_file() and options.num_targets == 1:
        return _open_arrays(path, split, options)
    folder = options.folder("folder", data_dir, "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png")
    return _open_pictures(folder, split, options)
