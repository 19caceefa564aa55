"""CIFAR-10 from its binary files, with the crops and distortions of 2017.

Format: https://www.cs.toronto.edu/~kriz/cifar.html — records of 3,073 bytes: the label, then 32x32 planes of red,
green and blue.
"""

from pathlib import Path

import numpy as np

from input_data.dataset import DataError, Info, Options, Split, check_labels, labels_checksum
from input_data.formats.files import check_size
from input_data.formats.pictures import resized, with_depth
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 24  # of the crops that the network sees
RAW = 32  # of the images in the files
_RECORD = 1 + 3 * 32 * 32
_FILES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
    "valid_train": [f"data_batch_{number}.bin" for number in range(1, 5)],
    "valid_test": ["data_batch_5.bin"],
}
_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10(Split):
    """Images in memory. Training: random crop, flip, brightness and contrast; test: the centre; both standardised."""

    info = Info("CIFAR-10", (SIZE, SIZE, 3), 10, 1, _CLASSES)

    def __init__(self, images: np.ndarray, labels: np.ndarray, training: bool):
        self.images, self.labels = images, labels.astype(np.int32)
        self.noise = 5 if training else 0

    def __len__(self):
        return len(self.images)

    def batch(self, indices, noise):
        images = self.images[indices]
        if self.noise:
            corners = integers(noise[:, :2], 0, images.shape[1] - SIZE)
            images = crop(images, *corners.T, (SIZE, SIZE))
            images = np.where((noise[:, 2] < 0.5)[:, None, None, None], images[:, :, ::-1], images)
            images = distort(images.astype(np.float32), noise[:, 3], noise[:, 4])
        else:
            images = centre(images, SIZE)
        return {"images": standardised(images), "labels": self.labels[indices, None]}

    def checksum(self):
        return labels_checksum(self.labels)


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """Any picture as a test image: resized to 32x32, its centre, standardised. See `input_data.prepare`."""
    picture, notes = with_depth(picture, 3)
    picture, changed = resized(picture, RAW, RAW)
    return standardised(centre(picture[None], SIZE))[0], [*notes, *changed, f"centre {SIZE}x{SIZE}"]


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 32, 32, 3] and labels uint8 [n] of one file.

    Raises:
        DataError: a size that is no multiple of 3,073 bytes, an empty file, or a label above 9.
    """
    check_size(path, path.stat().st_size)
    content = np.fromfile(path, np.uint8)
    if not content.size or content.size % _RECORD:
        raise DataError(
            f"{path} should hold records of {_RECORD:,} bytes. Received {content.size:,} bytes: it is cut short or "
            "not CIFAR-10's binary version."
        )
    records = content.reshape(-1, _RECORD)
    check_labels(records[:, 0], 10, str(path))
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """CIFAR-10's split; validation holds out data_batch_5.

    Args:
        data_dir: the folder of the files, or the one that has `cifar-10-batches-bin`.
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1.

    Raises:
        DataError: files that are missing or damaged.
    """
    folder = options.folder("CIFAR-10", data_dir, "cifar-10-batches-bin")
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    missing = [name for name in _FILES[split] if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}. --data_dir should have CIFAR-10's binary version.")
    images, labels = zip(*(read(folder / name) for name in _FILES[split]), strict=True)
    return Cifar10(np.concatenate(images), np.concatenate(labels), split in ("train", "valid_train"))
