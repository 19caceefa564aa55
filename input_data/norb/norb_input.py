"""smallNORB: pairs of 96x96 images of toys in five classes, from its own `.mat` files or 2017's TFRecords.

The images are halved by taking every second pixel, which is what TF 1's bilinear resize does at this ratio. The `.mat`
files are no files of MATLAB: https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/ — a magic number for the type, the number
of dimensions, at least three dimensions, then the values, all little-endian.
"""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_labels, labels_checksum
from input_data.formats.files import GZIPPED, find, read_bytes
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import RecordSplit
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 32  # of the crops that the network sees
RAW = 96  # of the images in the files
EFFICIENT_SIZE, EFFICIENT_CROP = 64, 48  # of the resized images and their crops for Efficient-CapsNet
NOISE = 4  # random numbers for an image
INFO = Info("smallNORB", (SIZE, SIZE, 2), 5, 1, ("animal", "human", "airplane", "truck", "car"))
NAMES = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training-{}.mat",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing-{}.mat",
}
_TYPES = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}


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
    picture, notes = with_depth(picture, 1)
    picture, changed = resized(picture, RAW, RAW)
    notes += changed
    if options.preparation == "efficient":
        notes.append(f"resized to {EFFICIENT_SIZE}x{EFFICIENT_SIZE}, centre {EFFICIENT_CROP}x{EFFICIENT_CROP}")
        if not options.statistics:
            notes.append("standardised by itself: config.json has no statistics of the training images")
    else:
        picture = picture[::2, ::2]
        notes.append(f"halved, centre {SIZE}x{SIZE}")
    return picture.repeat(2, axis=2), [*notes, "the one view is used for both eyes"]


class _Records(RecordSplit):
    """The records of 2017, read at random; `step` is 2 for every second pixel of every second row."""

    def __init__(self, path: Path, step: int):
        super().__init__([path])
        self.step = step

    def read(self, indices):
        (pixels,), labels = self.records.examples(indices, (RAW, RAW, 2), 5)
        return _views(pixels.reshape(-1, 2, RAW, RAW), self.step), labels

    def instances(self):
        parsed = (self.records.parse(block, {"meta": 4}) for block in self.records.blocks())
        return np.concatenate([values["meta"][:, 0] for values in parsed])


class _Matrices(Split):
    """The original files, read at random unless they are gzipped."""

    def __init__(self, paths: list[Path], step: int):
        self.images = read_matrix(paths[0], "u1", (None, 2, RAW, RAW))
        self.labels = check_labels(read_matrix(paths[1], "<i4", (len(self.images),)), 5, str(paths[1]))
        self.meta = read_matrix(paths[2], "<i4", (len(self.images), 4))
        self.step = step

    def __len__(self):
        return len(self.images)

    def read(self, indices):
        return _views(np.asarray(self.images[indices]), self.step), self.labels[indices, None]

    def instances(self):
        return np.asarray(self.meta[:, 0])

    def checksum(self):
        return labels_checksum(self.labels)


def _views(pixels: np.ndarray, step: int) -> np.ndarray:
    """Pixels [n, eye, 96, 96] as images [n, 96/step, 96/step, eye]."""
    return pixels.transpose(0, 2, 3, 1)[:, ::step, ::step]


def read_matrix(path: Path, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns the array in a binary-matrix file, mapped, or in memory if the file is gzipped.

    Raises:
        DataError: the type ("u1" or "<i4"), the shape (where None is any size) or the length is another one.
    """
    with path.open("rb") as file:
        packed = file.read(2) == GZIPPED
    content = np.frombuffer(read_bytes(path), np.uint8) if packed else np.memmap(path, np.uint8, "r")
    start = 4 * (2 + max(3, len(shape)))  # at least three dimensions are written
    numbers = np.frombuffer(content[:start].tobytes().ljust(start, b"\0"), "<u4").tolist()
    actual = tuple(numbers[2 : 2 + min(numbers[1], len(numbers))])
    if _TYPES.get(numbers[0]) != np.dtype(dtype):
        raise DataError(f"{path} should begin with the magic number of type {dtype}. Received {numbers[0]:#010x}.")
    if len(actual) != len(shape) or any(size not in (None, got) for size, got in zip(shape, actual, strict=True)):
        raise DataError(f"{path} should have the dimensions {shape}. Received {actual}.")
    expected = start + math.prod(actual) * np.dtype(dtype).itemsize
    if len(content) != expected:
        raise DataError(
            f"{path} should hold {expected:,} bytes, as its header says. Received {len(content):,}: it is cut short or "
            "damaged. Fetch it again."
        )
    return content[start:].view(dtype).reshape(actual)


class SmallNorb(Split):
    """Pairs of views as in 2017. Validation holds out one toy of each class, that with the highest number.

    `examples` have `__len__`, `read`, which gives views [n, 96/step, 96/step, 2] and labels [n, 1], `instances`, which
    toy of its class each shows, and `checksum` and `verify` as a split.
    """

    info = INFO

    def __init__(self, examples: Any, split_name: str, options: Options = Options()):
        self.examples, self.view = examples, partial(view, options=options)
        self.indices = np.arange(len(examples))
        if split_name.startswith("valid"):
            instances = examples.instances()
            self.indices = np.flatnonzero((instances == instances.max()) == (split_name == "valid_test"))
        self.noise = NOISE if split_name in ("train", "valid_train") else 0

    def __len__(self):
        return len(self.indices)

    def checksum(self):
        return self.examples.checksum()

    def verify(self):
        self.examples.verify()

    def read(self, indices):
        return self.examples.read(self.indices[indices])


class EfficientNorb(SmallNorb):
    """Pairs of views for Efficient-CapsNet.

    `statistics` are the two means of each eye's pixels, then their two deviations; empty: those of all `examples`.
    """

    info = replace(INFO, image_shape=(EFFICIENT_CROP, EFFICIENT_CROP, 2))

    def __init__(self, examples: Any, split_name: str, statistics: tuple[float, ...] = ()):
        self.statistics = statistics or _statistics(examples)
        super().__init__(examples, split_name, Options(preparation="efficient", statistics=self.statistics))


def _statistics(examples: Any) -> tuple[float, ...]:
    blocks = np.array_split(np.arange(len(examples)), -(-len(examples) // 500))
    sums = np.zeros((2, 2))  # of pixels and of their squares, for each eye
    for block in blocks:
        images = examples.read(block)[0].astype(np.float64)
        sums += images.sum(axis=(0, 1, 2)), (images**2).sum(axis=(0, 1, 2))
    mean, square = sums / (len(examples) * RAW * RAW)
    return (*mean.tolist(), *np.sqrt(square - mean**2).tolist())


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens smallNORB's split.

    Args:
        data_dir: the folder with 2017's trainduo.tfrecords and testduo.tfrecords, or with the original `.mat` files.
        options: num_targets must be 1; preparation chooses `SmallNorb` or `EfficientNorb`.
    """
    folder = options.folder("smallNORB", data_dir, "its .mat files, or trainduo.tfrecords and testduo.tfrecords")
    name = "test" if split == "test" else "train"
    efficient = options.preparation == "efficient"
    step = 1 if efficient else 2
    records = find(folder, f"{name}duo.tfrecords")
    paths = {kind: find(folder, NAMES[name].format(kind)) for kind in ("dat", "cat", "info")}
    missing = [NAMES[name].format(kind) for kind, path in paths.items() if path is None]
    if records is None and missing:
        raise DataError(
            f"{folder} has no smallNORB: it lacks {missing[0]}[.gz], and {name}duo.tfrecords does not exist."
        )
    examples = _Records(records, step) if records else _Matrices([path for path in paths.values() if path], step)
    return EfficientNorb(examples, split, options.statistics) if efficient else SmallNorb(examples, split)
