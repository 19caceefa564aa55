"""smallNORB: pairs of 96x96 images of toys in five classes, from its own `.mat` files or 2017's TFRecords.

The images are halved by taking every second pixel, which is what TF 1's bilinear resize does at this ratio. The `.mat`
files are no files of MATLAB: https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/ — a magic number for the type, the number
of dimensions, at least three dimensions, then the values, all little-endian.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from input_data.arrays import Arrays, centre, crop, distort, integers, standardised
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, checked
from input_data.formats.files import find, matrix
from input_data.formats.pictures import fitted
from input_data.formats.records import Records

SIZE = 32  # of the crops that the network sees
RAW = 96  # of the images in the files
EFFICIENT_SIZE, EFFICIENT_CROP = 64, 48  # of the resized images and their crops for Efficient-CapsNet
INFO = Info("smallNORB", (SIZE, SIZE, 2), 5, 1, ("animal", "human", "airplane", "truck", "car"))
_NAME = "smallnorb-5x{}x9x18x6x2x96x96-{}ing-{{}}.mat"
NAMES = {"train": _NAME.format("46789", "train"), "test": _NAME.format("01235", "test")}
_MAGIC = {"u1": 0x1E3D4C55, "<i4": 0x1E3D4C54}

# Views of both eyes uint8 [n, 2, 96, 96], labels [n], and facts [n, 4] that begin with the number of the toy.
Examples = tuple[np.ndarray, np.ndarray, np.ndarray]


def view(images: np.ndarray, random: np.ndarray | None, options: Options = Options()) -> np.ndarray:
    """What the network sees of pairs of views [n, 48, 48, 2], or [n, 96, 96, 2] for Efficient-CapsNet.

    2017: brightness and contrast and a random crop in training, the centre in evaluation; standardised.
    Efficient-CapsNet: standardised for each eye by the options' statistics (without them, by the images' own), resized
    to 64x64; in training a random crop of 48x48, brightness ±2 and contrast 0.5 to 1.5; in evaluation the centre.
    """
    if options.preparation != "efficient":
        if random is None:
            return standardised(centre(images, SIZE))
        images = distort(images.astype(np.float32), random[:, 0], random[:, 1])
        corners = integers(random[:, 2:], 0, images.shape[1] - SIZE)
        return standardised(crop(images, *corners.T, (SIZE, SIZE)))
    statistics = options.statistics or 2 * (float(images.mean()),) + 2 * (max(float(images.std()), 1.0),)
    mean, deviation = np.array(statistics, np.float32).reshape(2, 2)
    images = _resized((images - mean) / deviation)
    if random is None:
        return np.ascontiguousarray(centre(images, EFFICIENT_CROP))
    corners = integers(random[:, 2:], 0, EFFICIENT_SIZE - EFFICIENT_CROP)
    images = crop(images, *corners.T, (EFFICIENT_CROP, EFFICIENT_CROP))
    return np.ascontiguousarray(distort(images, random[:, 0], random[:, 1], reach=2, spread=0.5))


def _resized(images: np.ndarray) -> np.ndarray:
    """Images [n, 96, 96, 2] as float32 [n, 64, 64, 2], bilinear without smoothing, as TensorFlow 2 resizes."""
    places = (np.arange(EFFICIENT_SIZE) + 0.5) * RAW / EFFICIENT_SIZE - 0.5
    low = places.astype(np.int64)
    share = (places - low).astype(np.float32)
    rows = images[:, low] * (1 - share)[:, None, None] + images[:, low + 1] * share[:, None, None]
    return (rows[:, :, low] * (1 - share)[:, None] + rows[:, :, low + 1] * share[:, None]).astype(np.float32)


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture grey and 96x96, for both eyes; halved unless for Efficient-CapsNet."""
    picture, notes = fitted(picture, (RAW, RAW, 1))
    efficient = options.preparation == "efficient"
    notes.append("resized to 64x64, centre 48x48" if efficient else "halved, centre 32x32")
    if efficient and not options.statistics:
        notes.append("standardised by itself: config.json has no statistics of the training images")
    picture = picture if efficient else picture[::2, ::2]
    return picture.repeat(2, axis=2), [*notes, "the one view is used for both eyes"]


def _read_records(path: Path) -> Examples:
    parsed = Records([path]).parse({"image_raw": (2, RAW, RAW), "label": 1, "meta": 4})
    return *checked(path, parsed["image_raw"], parsed["label"][:, 0], (2, RAW, RAW), 5), parsed["meta"]


def _read_matrices(dat: Path, cat: Path, info: Path) -> Examples:
    images = _read_matrix(dat, "u1", None, 2, RAW, RAW)
    labels, facts = _read_matrix(cat, "<i4", len(images)), _read_matrix(info, "<i4", len(images), 4)
    return *checked(cat, images, labels, (2, RAW, RAW), 5), facts


def _read_matrix(path: Path, dtype: str, *shape: int | None) -> np.ndarray:
    return matrix(path, np.array([_MAGIC[dtype], len(shape)], "<u4").tobytes(), "<", dtype, shape, least=3)


def _statistics(images: np.ndarray) -> tuple[float, ...]:
    """The means of each eye's pixels, and their deviations, of images [n, 96, 96, 2]."""
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64)
    square = [np.square(images[..., eye], dtype=np.uint16).mean(dtype=np.float64) for eye in (0, 1)]
    return (*mean.tolist(), *np.sqrt(square - mean**2).tolist())


class SmallNorb(Arrays):
    """Pairs of views of `examples`, which `read` views [n, 48, 48, 2], or [n, 96, 96, 2] for Efficient-CapsNet.

    `statistics`, for Efficient-CapsNet, are the two means of each eye's pixels of all training images, then their two
    deviations.
    """

    def __init__(self, examples: Any, split_name: str, statistics: tuple[float, ...] = (), preparation: str = "2017"):
        size = EFFICIENT_CROP if preparation == "efficient" else SIZE
        self.info = replace(INFO, image_shape=(size, size, 2))
        self.examples, self.read, self.statistics = examples, examples.read, statistics
        self.view = partial(view, options=Options(preparation=preparation, statistics=statistics))
        self.noise = 4 if split_name in ("train", "valid_train") else 0

    def __len__(self):
        return len(self.examples)

    def checksum(self):
        return self.examples.checksum()


EfficientNorb = partial(SmallNorb, preparation="efficient")


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens smallNORB's split from a folder with 2017's TFRecords, or else with the original `.mat` files.

    Validation holds out one toy of each class, that with the highest number.
    """
    folder = options.folder("smallNORB", data_dir, "its .mat files, or trainduo.tfrecords and testduo.tfrecords")
    name, efficient = "test" if split == "test" else "train", options.preparation == "efficient"
    records = find(folder, f"{name}duo.tfrecords")
    names = [NAMES[name].format(kind) for kind in ("dat", "cat", "info")]
    paths = [path for path in (find(folder, name) for name in names) if path]
    if not records and len(paths) < 3:
        raise DataError(f"{folder} needs {name}duo.tfrecords, or {', '.join(names)} (also .gz). It lacks some of them.")
    images, labels, facts = _read_records(records) if records else _read_matrices(*paths)
    images = images.transpose(0, 2, 3, 1)[:, :: 1 if efficient else 2, :: 1 if efficient else 2]
    statistics = (options.statistics or _statistics(images)) if efficient else ()
    if split.startswith("valid"):
        own = (facts[:, 0] == facts[:, 0].max()) == (split == "valid_test")
        images, labels = images[own], labels[own]
    examples = Arrays(INFO, images, labels, view, 0)
    return SmallNorb(examples, split, statistics, options.preparation)
