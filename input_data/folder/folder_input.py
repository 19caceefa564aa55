"""Reads the user's own images from a folder of pictures for each class, or from a `.npz` file."""

import os
import unicodedata
from pathlib import Path

import numpy as np

from input_data.arrays import Arrays, border_colours, hold_out, shifted
from input_data.dataset import DataError, Info, Options, Split, checked, unfit
from input_data.formats import pictures
from input_data.formats.arrays import npz_examples, read

REACH = 2  # pixels each way, in training
_HELD_OUT = 6  # every sixth picture of a class is held out for validation, and as the test if there is no test folder
_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing"), "valid": ("val", "valid", "validation")}
_LAYOUT = "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"

Opened = tuple[np.ndarray, np.ndarray, list[str], str]  # images, labels [n], the names of all classes, and a note


def view(images: np.ndarray, random: np.ndarray | None, options: Options = Options()) -> np.ndarray:
    """What the network sees of images [n, rows, columns, depth]: scaled, and in training shifted.

    The gap has the colour of the image's border, since a dark bar on light paper would be a feature of its own.
    """
    return shifted(images, random, REACH, 0 if random is None else border_colours(images))


def _classes(folder: Path) -> tuple[dict[str, list[Path]], str]:
    """The pictures of each class of a folder, sorted, and a note on what was skipped, which may be empty.

    A class has a folder, which may have folders below it. Hidden files and a Mac's companion files are skipped.
    """
    files, others = pictures.below(folder)
    found: dict[str, list[Path]] = {}
    for path in files:
        place, *inside = path.relative_to(folder).parts
        # A Mac takes letters with accents apart, and old names are not UTF-8.
        name = unicodedata.normalize("NFC", os.fsencode(place).decode("utf-8", "backslashreplace"))
        if inside:
            found.setdefault(name, []).append(path)
    note = f"Skipped in {folder}: {pictures.not_pictures(others)}." if others else ""
    return dict(sorted(found.items())), note


def _read(
    folder: Path, found: dict[str, list[Path]], names: list[str], options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Returns all pictures, uint8 [n, rows, columns, depth], and labels [n]; the error names all unreadable files."""
    paths = [path for files in found.values() for path in files]
    if not paths:
        raise DataError(f"{folder} has no folder of pictures for each class, as in train/cat/1.png.")
    images, unreadable = np.empty(0, np.uint8), []
    for index, path in enumerate(paths):
        try:
            picture = pictures.read(path)
        except DataError as error:
            unreadable.append(f"{path} ({error})")
            continue
        size = (options.image_size, options.image_size) if options.image_size else picture.shape[:2]
        image = pictures.fitted(picture, (*size, 1 if options.grayscale else 3))[0]
        if not images.size:
            images = np.empty((len(paths), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            should, received = ("x".join(map(str, shape)) for shape in (images.shape[1:], image.shape))
            hint = "Give --image_size=N to make them all NxN."
            raise unfit(path, f"be {should}, as the images before it", received, hint)
        images[index] = image
    if unreadable:
        raise DataError(f"{len(unreadable)} picture(s) cannot be read: {'; '.join(unreadable[:10])}")
    return images, np.repeat([names.index(name) for name in found], [len(files) for files in found.values()])


def _part(images: np.ndarray, labels: np.ndarray, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """The held-out pictures, every sixth of each class, or the others, and their sorted labels [n]."""
    own = ((np.arange(len(labels)) - np.searchsorted(labels, labels)) % _HELD_OUT == 0) == held_out
    return images[own], labels[own]


def _open_pictures(folder: Path, split_name: str, options: Options) -> Opened:
    there = sorted(item for item in folder.iterdir() if item.is_dir())
    parts = {part: item for part, words in _FOLDERS.items() for item in there if item.name.lower() in words}
    if flat := not parts.keys() & {"train", "test"}:  # the folder has the classes themselves
        parts = {"train": folder, "test": folder}
    own_validation = split_name == "valid_test" and "valid" in parts
    wanted = "test" if split_name == "test" else "valid" if own_validation else "train"
    if missing := [part for part in ("train", wanted) if part not in parts]:
        found = f"It has: {', '.join(map(str, there))}."
        raise DataError(f"{folder}/{missing[0]} does not exist: --data_dir should have {_LAYOUT}. {found}")
    training, place = parts["train"], parts[wanted]
    classes, note = _classes(training)
    names = list(classes)
    if len(names) == 1:
        raise DataError(f"{training} has pictures of one class only, {names[0]}: at least two are needed.")
    found, note = (classes, note) if place == training else _classes(place)
    if unknown := sorted(found.keys() - set(names)):
        raise DataError(f"{place}/{unknown[0]} is not a class of {training}, which has: {', '.join(names)}.")
    arrays = _read(place, found, names, options)
    if flat:
        arrays = _part(*arrays, split_name == "test")
        note += f" {folder} has no train and test folders: every sixth picture of a class is held out as the test."
    if split_name.startswith("valid") and "valid" not in parts:
        arrays = _part(*arrays, split_name == "valid_test")
    return *arrays, names, note.strip()


def _open_arrays(path: Path, split_name: str, options: Options) -> Opened:
    """Reads a split of a `.npz` file; --validate uses the file's own validation split if it has one (MedMNIST)."""
    if options.image_size or options.grayscale:
        raise DataError(f"--image_size and --grayscale are for pictures. {path} holds images of one size and depth.")
    own_validation = "val_images" in read(path)
    part = "test" if split_name == "test" else "val" if split_name == "valid_test" and own_validation else "train"
    images, labels = npz_examples(path, part)
    images = images[..., None] if images.ndim == 3 else images
    count = int(npz_examples(path, "train")[1].max()) + 1
    images, labels = checked(path, images, labels, (None, None, None), count)
    if not own_validation:
        images, labels = hold_out(split_name, images, labels)
    return images, labels, list(map(str, range(count))), ""


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens a split of the user's own images.

    `data_dir` is a folder with train/CLASS/* and test/CLASS/* (or training and testing); a folder with CLASS/*, where
    every sixth picture belongs to the test; or a `.npz` file in the layout of Keras or MedMNIST. Validation holds out
    the folder val or validation, MedMNIST's own validation split, or every sixth picture of a class.
    """
    if data_dir and data_dir.endswith(".npz") and Path(data_dir).is_file() and options.num_targets == 1:
        images, labels, names, note = _open_arrays(Path(data_dir), split, options)
    else:
        folder = options.folder("folder", data_dir, _LAYOUT)
        images, labels, names, note = _open_pictures(folder, split, options)
    info = Info("own images", images.shape[1:], len(names), 1, tuple(names))
    return Arrays(info, images, labels, view, 2 if split in ("train", "valid_train") else 0, note)
