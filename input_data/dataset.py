"""A data set's facts and options, and random access to its examples.

A data set is three functions: one reads files into uint8 arrays, `view` makes what the network sees of them, and `fit`
makes any picture an image as in the files. Training, evaluation and pictures of a user share `view`. Everything here is
NumPy, so it serves any backend and starts without TensorFlow.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "test", "valid_train", "valid_test")
Shape = tuple[int, int, int]  # (rows, columns, depth)
Fitted = tuple[np.ndarray, list[str]]  # a picture as an image of a data set, and what was done to it


class DataError(ValueError):
    """Data that is missing, damaged or of another kind than expected; the message says what to do."""


def unfit(where: object, should: str, received: object, hint: str = "") -> DataError:
    """The error for data that are not as they should be."""
    return DataError(f"{where} should {should}. Received {received}. {hint}".strip())


@dataclass(frozen=True)
class Info:
    """Facts of a data set."""

    name: str  # in messages
    image_shape: Shape  # of the images that the network sees
    num_classes: int
    num_targets: int  # labels per image, 1 or 2
    class_names: tuple[str, ...]  # one for each class


@dataclass(frozen=True)
class Options:
    """The user's options for the data, besides the folder; each data set uses those that concern it.

    `preparation` is "2017" or "efficient": the training images of MNIST, MultiMNIST and smallNORB are then varied, and
    smallNORB's images are resized, as for Efficient-CapsNet.
    """

    num_targets: int = 1  # labels per image, 1 or 2
    num_pairs: int = 1  # MultiMNIST: test pairs for each test digit
    image_size: int | None = None  # own images: side of the square to which they are resized; None keeps their size
    grayscale: bool = False  # own images: whether to read them with one channel
    preparation: str = "2017"
    statistics: tuple[float, ...] = ()  # `Split.statistics` of a network's training images; empty: the images' own

    def folder(self, name: str, data_dir: str | None, content: str) -> Path:
        """The folder of a data set whose images have one label; DataError if there is none or num_targets is 2."""
        if self.num_targets != 1:
            raise DataError(f"--num_targets=2 works only for MNIST and its relatives: images of {name} have one label.")
        if data_dir is None or not Path(data_dir).is_dir():
            raise DataError(f"{name} needs a --data_dir: the folder with {content}. Received: {data_dir}")
        return Path(data_dir)


class Split:
    """One part of a data set, by random access. Subclasses define `__len__`, `batch` and `checksum`."""

    info: Info
    noise: int = 0  # how many uniform random numbers in [0, 1) the augmentation of one image needs; 0: it has none
    note: str = ""  # what the user should know about this data
    statistics: tuple[float, ...] = ()  # of all images, with which each image is prepared; empty if it needs none

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, indices: np.ndarray, random: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The examples at `indices`, augmented by `random`, float64 [n, noise] in [0, 1); None is evaluation.

        Returns:
            "images" float32 [n, rows, columns, depth], "labels" int32 [n, num_targets] and, if each label has its own
            image to reconstruct, "reconstruction_targets" float32 [n, num_targets, rows, columns, depth].
        """
        raise NotImplementedError

    def checksum(self) -> int:
        """A checksum of the examples, by which a resumed run recognises its data."""
        raise NotImplementedError


def labels_checksum(labels: np.ndarray) -> int:
    """The CRC-32 of integer labels in their order."""
    return zlib.crc32(labels.astype("<i4").tobytes())


def checked(
    where: Path, images: np.ndarray, labels: np.ndarray, shape: tuple[int | None, ...], num_classes: int, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 [n, *shape], where None is any size, and labels int32 [n], checked and counted from 0.

    `labels` may be of any kind of number, of which `first` is the first class. DataError: something is otherwise.
    """
    sizes = images.ndim == 1 + len(shape) and all(a in (None, b) for a, b in zip(shape, images.shape[1:], strict=True))
    if not (sizes and images.size and images.dtype == np.uint8):
        numbers = ", ".join("any" if size is None else str(size) for size in shape)
        raise unfit(where, f"have images uint8 [n, {numbers}], 0 to 255", f"{images.dtype} {list(images.shape)}")
    if labels.shape != (len(images),) or labels.dtype.kind not in "biuf":
        should = f"have one number for each of {len(images):,} images"
        raise unfit(where, should, f"{labels.dtype} {list(labels.shape)}")
    for wrong in np.flatnonzero(~np.isin(labels, np.arange(first, first + num_classes))):
        should = f"have labels that are whole numbers from {first} to {first + num_classes - 1}"
        raise unfit(where, should, f"{labels[wrong]} at index {wrong}", "Is this another data set?")
    return images, labels.astype(np.int32) - first
