"""CIFAR-10 with the crops and distortions of 2017, from its binary version, its Python version or TFRecords."""

from pathlib import Path

import numpy as np

from input_data.arrays import Arrays, centre, crop, distort, integers, standardised
from input_data.dataset import DataError, Fitted, Info, Options, Shape, Split, checked, unfit
from input_data.formats.arrays import read
from input_data.formats.files import find, read_bytes
from input_data.formats.pictures import fitted
from input_data.formats.records import Records

SIZE = 24  # of the crops that the network sees
RAW = 32  # pixels of a side in the files
_PIXELS = 3 * RAW * RAW
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
INFO = Info("CIFAR-10", (SIZE, SIZE, 3), 10, 1, _CLASSES)
_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = {"train": _TRAINING, "test": ("test_batch",), "valid_train": _TRAINING[:4], "valid_test": _TRAINING[4:]}
# The TensorFlow models' generator puts data_batch_5 into validation.tfrecords.
_GENERATED = {"train": ("train", "validation"), "test": ("eval",), "valid_train": ("train",)}
_GENERATED |= {"valid_test": ("validation",)}

Examples = tuple[np.ndarray, np.ndarray]  # planes of red, green and blue, uint8 [n, 3072], and labels [n]


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
    picture, notes = fitted(picture, (RAW, RAW, 3))
    return picture, [*notes, f"centre {SIZE}x{SIZE}"]


class Cifar10(Arrays):
    """Images in memory: uint8 [n, 32, 32, 3] and labels [n]."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, training: bool):
        super().__init__(INFO, images, labels, view, 5 if training else 0)


def _read_binary(path: Path) -> Examples:
    """Records of a label and planes of red, green and blue (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    content = np.frombuffer(read_bytes(path), np.uint8)
    if not content.size or content.size % (1 + _PIXELS):
        raise unfit(path, f"hold records of {1 + _PIXELS:,} bytes", f"{content.size:,} bytes", "Fetch it again.")
    records = content.reshape(-1, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


def _read_python(path: Path) -> Examples:
    content = read(path, "data", "labels")
    return np.asarray(content["data"]), np.asarray(content["labels"])


def _read_records(path: Path) -> Examples:
    parsed = Records([path]).parse({"image": (_PIXELS,), "label": 1})
    return parsed["image"], parsed["label"][:, 0]


# The folder of each form, the names of its files for each split, their ending, and what reads them.
_FORMS = (
    ("cifar-10-batches-bin", _BATCHES, ".bin", _read_binary),
    ("cifar-10-batches-py", _BATCHES, "", _read_python),
    ("", _GENERATED, ".tfrecords", _read_records),
)


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens CIFAR-10's split; validation holds out data_batch_5."""
    folder = options.folder("CIFAR-10", data_dir, "cifar-10-batches-bin, cifar-10-batches-py or TFRecords")
    for inside, names, ending, reader in _FORMS:
        files = [f"{name}{ending}" for name in names[split]]
        for place in (folder / inside, folder):
            paths = [path for file in files if (path := find(place, file))]
            if 0 < len(paths) < len(files):
                raise DataError(f"{place} lacks some of {', '.join(files)}.")
            if paths:
                parts = [checked(path, *reader(path), (_PIXELS,), 10) for path in paths]
                planes, labels = map(np.concatenate, zip(*parts, strict=True))
                images = planes.reshape(-1, 3, RAW, RAW).transpose(0, 2, 3, 1)
                return Cifar10(images, labels, split in ("train", "valid_train"))
    wanted = ", ".join(str(Path(inside, names[split][0] + ending)) for inside, names, ending, _ in _FORMS)
    raise DataError(f"{folder} has no CIFAR-10. Looked for: {wanted} (docs/data.md: TensorFlow Datasets).")
