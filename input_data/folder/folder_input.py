"""Reads the user's own images from a folder of pictures for each class, or from a `.npz` file."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from input_data.arrays import ImageArrays, hold_out
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_labels
from input_data.formats import npz, pictures
from input_data.images import shifted

REACH = 2  # pixels each way, in training
_HELD_OUT = 6  # every sixth picture of a class is held out for validation, and as the test if there is no test folder
_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing"), "valid": ("val", "valid", "validation")}
_LAYOUT = "--data_dir should have train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"


def view(images: np.ndarray, random: np.ndarray | None, options: Options) -> np.ndarray:
    """What the network sees of images [n, rows, columns, depth]: scaled, and in training shifted."""
    return shifted(images, random, REACH)


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture uint8 with the network's depth and size."""
    picture, notes = pictures.with_depth(picture, image_shape[2])
    picture, changed = pictures.resized(picture, *image_shape[:2])
    return np.round(picture).astype(np.uint8), [*notes, *changed]


@dataclass(frozen=True)
class _Classes:
    """The pictures of a folder with a folder for each class, which may have folders below it."""

    folder: Path
    pictures: dict[str, list[Path]]  # of each class, sorted
    note: str  # the files that were skipped; may be empty


def _classes(folder: Path) -> _Classes:
    """Finds the classes in a folder. Hidden files and a Mac's companion files are skipped."""
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for place in sorted(item for item in folder.iterdir() if item.is_dir() and not pictures.is_hidden(Path(item.name))):
        files, skipped = pictures.below(place)
        found.setdefault(_class_name(place), []).extend(files)
        others += skipped
    empty = [name for name, files in found.items() if not files]
    notes = [pictures.not_pictures(others)] * bool(others)
    notes += [f"folder(s) without a picture: {', '.join(empty[:10])}"] * bool(empty)
    note = f"Skipped in {folder}: {'; '.join(notes)}." if notes else ""
    return _Classes(folder, {name: files for name, files in sorted(found.items()) if files}, note)


def _class_name(folder: Path) -> str:
    """The name of a class's folder in one form: a Mac takes letters with accents apart, and old names are no UTF-8."""
    return unicodedata.normalize("NFC", os.fsencode(folder.name).decode("utf-8", "backslashreplace"))


def _read(found: _Classes, names: list[str], options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Returns all pictures, uint8 [n, rows, columns, depth], and labels [n]; the error names all unreadable files."""
    places = [(path, names.index(name)) for name, paths in found.pictures.items() for path in paths]
    if not places:
        raise DataError(f"{found.folder} has no folder of pictures for each class, as in train/cat/1.png.")
    images, labels, unreadable = np.empty(0, np.uint8), np.array([label for _, label in places]), []
    for index, (path, _) in enumerate(places):
        try:
            picture = pictures.read(path)
        except DataError as error:
            unreadable.append(f"{path} ({error})")
            continue
        size = (options.image_size, options.image_size) if options.image_size else picture.shape[:2]
        image = fit(picture, (*size, 1 if options.grayscale else 3), (), options)[0]
        if not images.size:
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


def _parts(folder: Path) -> dict[str, Path]:
    """The folders of the parts that a folder has; none if it has the classes themselves."""
    there = sorted(item for item in folder.iterdir() if item.is_dir())
    found = {part: [item for item in there if item.name.lower() in words] for part, words in _FOLDERS.items()}
    for items in found.values():
        if len(items) > 1:
            raise DataError(f"{items[0]} and {items[1]} could both be meant. {_LAYOUT}.")
    parts = {part: items[0] for part, items in found.items() if items}
    return parts if parts.keys() & {"train", "test"} else {}


def _open_pictures(folder: Path, split_name: str, options: Options) -> ImageArrays:
    parts = _parts(folder)
    own_validation = split_name == "valid_test" and "valid" in parts
    wanted = "test" if split_name == "test" else "valid" if own_validation else "train"
    for part in ("train", wanted) if parts else ():
        if part not in parts:
            raise DataError(
                f"{folder}/{part} does not exist: {_LAYOUT}. It has: {', '.join(map(str, parts.values()))}."
            )
    training = _classes(parts.get("train", folder))
    found = _classes(parts[wanted]) if parts and wanted != "train" else training
    names = list(training.pictures)
    if len(names) == 1:
        raise DataError(f"{training.folder} has pictures of one class only, {names[0]}: at least two are needed.")
    unknown = sorted(found.pictures.keys() - set(names))
    if unknown:
        raise DataError(
            f"{found.folder}/{unknown[0]} is not a class of {training.folder}, which has: {', '.join(names)}."
        )
    images, labels = _read(found, names, options)
    notes = [found.note]
    if not parts:
        test = _held_out(labels)
        own = test if split_name == "test" else ~test
        images, labels = images[own], labels[own]
        notes.append(f"{folder} has no train and test folders: every sixth picture of a class is held out as the test.")
    if split_name.startswith("valid") and "valid" not in parts:
        own = _held_out(labels) == (split_name == "valid_test")
        images, labels = images[own], labels[own]
    return _split(images, labels, tuple(names), split_name, " ".join(filter(None, notes)))


def _split(
    images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], split_name: str, note: str = ""
) -> ImageArrays:
    info = Info("own images", images.shape[1:], len(class_names), 1, class_names)
    return ImageArrays(info, images, labels, REACH if split_name in ("train", "valid_train") else 0, note)


def _open_arrays(path: Path, split_name: str, options: Options) -> ImageArrays:
    """Opens a split of a `.npz` file; --validate uses the file's own validation split if it has one (MedMNIST)."""
    if options.image_size or options.grayscale:
        raise DataError(f"--image_size and --grayscale are for pictures. {path} holds images of one size and depth.")
    own_validation = "val" in npz.parts(path)
    count = int(npz.examples(path, "train")[1].max()) + 1
    part = "test" if split_name == "test" else "val" if split_name == "valid_test" and own_validation else "train"
    images, labels = npz.examples(path, part)
    labels = check_labels(labels, count, str(path))
    if not own_validation:
        images, labels = hold_out(split_name, images, labels)
    if images.ndim == 3:
        images = images[..., None]
    return _split(images, labels, tuple(map(str, range(count))), split_name)


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens a split of the user's own images.

    `data_dir` is a folder with train/CLASS/* and test/CLASS/* (or training and testing); a folder with CLASS/*, where
    every sixth picture belongs to the test; or a `.npz` file in the layout of Keras or MedMNIST. Validation holds out
    the folder val or validation, MedMNIST's own validation split, or every sixth picture of a class.
    """
    path = Path(data_dir) if data_dir is not None else None
    if path is not None and path.suffix == ".npz" and path.is_file() and options.num_targets == 1:
        return _open_arrays(path, split, options)
    folder = options.folder("folder", data_dir, "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png")
    return _open_pictures(folder, split, options)
