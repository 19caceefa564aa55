"""CIFAR-10 with the crops and distortions of 2017, from its binary version, its Python version or TFRecords."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from input_data.arrays import Arrays
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, check_labels
from input_data.formats import pickled
from input_data.formats.files import find, read_bytes
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 24  # of the crops that the network sees
RAW = 32  # pixels of a side in the files
NOISE = 5  # random numbers for an image
_RECORD = 1 + 3 * RAW * RAW
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INFO = Info("CIFAR-10", (SIZE, SIZE, 3), 10, 1, _CLASSES)
_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = {
    "train": _TRAINING,
    "test": ("test_batch",),
    "valid_train": _TRAINING[:4],
    "valid_test": _TRAINING[4:],
}
_GENERATED = {  # the TensorFlow models' generator puts data_batch_5 into validation.tfrecords
    "train": ("train", "validation"),
    "test": ("eval",),
    "valid_train": ("train",),
    "valid_test": ("validation",),
}

Examples = tuple[np.ndarray, np.ndarray]  # images uint8 [n, 32, 32, 3] and labels int32 [n]


def view(images: np.ndarray, random: np.ndarray | None, options: Options = Options()) -> np.ndarray:
    """What the network sees of images [n, 32, 32, 3], standardised: [n, 24, 24, 3].

    Training: random crop, flip, brightness and contrast; evaluation: the centre.
    """
    if random is None:
        return standardised(centre(images, SIZE))
    corners = integers(random[:, :2], 0, RAW - SIZE)
    images = crop(images, *corners.T, (SIZE, SIZE))
    images = np.where((random[:, 2] < 0.5)[:, None, None, None], images[:, :, ::-1], images)
    return standardised(distort(images.astype(np.float32), random[:, 3], random[:, 4]))


def fit(picture: np.ndarray, image_shape: Shape, class_names: tuple[str, ...], options: Options) -> Fitted:
    """Makes any picture RGB and 32x32."""
    picture, notes = with_depth(picture, 3)
    picture, changed = resized(picture, RAW, RAW)
    return picture, [*notes, *changed, f"centre {SIZE}x{SIZE}"]


class Cifar10(Arrays):
    """Images in memory: uint8 [n, 32, 32, 3] and labels [n]."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, training: bool):
        super().__init__(INFO, images, labels, view, NOISE if training else 0)


def _from_planes(values: np.ndarray) -> np.ndarray:
    """Returns [n, 3072], planes of red, green and blue, as images [n, 32, 32, 3]."""
    return values.reshape(-1, 3, RAW, RAW).transpose(0, 2, 3, 1)


def read_binary(path: Path) -> Examples:
    """Returns the images and labels of a file of CIFAR-10's binary version, plain or `.gz`.

    Format: https://www.cs.toronto.edu/~kriz/cifar.html — records of 3,073 bytes: the label, then 32x32 planes of red,
    green and blue.
    """
    content = np.frombuffer(read_bytes(path), np.uint8)
    if not content.size or content.size % _RECORD:
        raise DataError(
            f"{path} should hold records of {_RECORD:,} bytes. Received {content.size:,} bytes: it is cut short or "
            "not CIFAR-10's binary version."
        )
    records = content.reshape(-1, _RECORD)
    return _from_planes(records[:, 1:]), check_labels(records[:, 0], 10, str(path))


def read_pickled(path: Path) -> Examples:
    """Returns the images and labels of a file of CIFAR-10's Python version."""
    content = pickled.load(path)
    planes, labels = (np.asarray(content.get(name)) for name in ("data", "labels"))
    if planes.dtype != np.uint8 or planes.ndim != 2 or planes.shape[1] != _RECORD - 1:
        raise DataError(f"{path}: data should be uint8 [n, 3072]. Received {planes.dtype} {list(planes.shape)}.")
    if labels.shape != (len(planes),) or labels.dtype.kind not in "iuf":
        raise DataError(f"{path}: labels should be a list of {len(planes)} whole numbers.")
    return _from_planes(planes), check_labels(labels, 10, str(path))


def read_records(path: Path) -> Examples:
    """Returns the images and labels of a TFRecord file that the TensorFlow models' generator wrote."""
    records, images, labels = Records([path]), [], []
    for block in records.blocks():
        parsed = records.parse(block, {"image": 0, "label": 1})
        images.append(records.pixels(parsed["image"], block, (3, RAW, RAW)))
        labels.append(parsed["label"][:, 0])
    return _from_planes(np.concatenate(images)), check_labels(np.concatenate(labels), 10, str(path))


def read(folder: Path, split: str) -> Examples:
    """Returns the images and labels of a split; the validation split is data_batch_5.

    Args:
        folder: the folder of the files, or the one above it.
    """
    forms: tuple[tuple[str, str, tuple[str, ...], Callable[[Path], Examples]], ...] = (
        ("cifar-10-batches-bin", "{}.bin", _BATCHES[split], read_binary),
        ("", "{}.bin", _BATCHES[split], read_binary),
        ("cifar-10-batches-py", "{}", _BATCHES[split], read_pickled),
        ("", "{}", _BATCHES[split], read_pickled),
        ("", "{}.tfrecords", _GENERATED[split], read_records),
    )
    for inside, form, names, reader in forms:
        paths = [find(folder / inside, form.format(name)) for name in names]
        if all(paths):
            images, labels = zip(*(reader(path) for path in paths if path), strict=True)
            return np.concatenate(images), np.concatenate(labels)
        if any(paths):
            missing = [form.format(name) for name, path in zip(names, paths, strict=True) if path is None]
            raise DataError(f"{folder / inside} lacks {', '.join(missing)}.")
    raise DataError(
        f"{folder} has no CIFAR-10. Looked for: {_BATCHES[split][0]}.bin (binary form), {_BATCHES[split][0]} (Python "
        f"version), both also in cifar-10-batches-bin and cifar-10-batches-py; {_GENERATED[split][0]}.tfrecords "
        "(generator of the TensorFlow models). (For files of TensorFlow Datasets see docs/data.md.)"
    )


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens CIFAR-10's split; validation holds out data_batch_5.

    Args:
        data_dir: a folder with one of the forms in `read`.
    """
    folder = options.folder("CIFAR-10", data_dir, "cifar-10-batches-bin, cifar-10-batches-py or TFRecords")
    return Cifar10(*read(folder, split), split in ("train", "valid_train"))
