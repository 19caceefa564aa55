"""CIFAR-10 with the crops and distortions of 2017."""

import numpy as np

from input_data.cifar10 import sources
from input_data.cifar10.sources import RAW
from input_data.dataset import Info, Options, Split, labels_checksum
from input_data.formats.pictures import resized, with_depth
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 24  # of the crops that the network sees
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
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...], options: Options
) -> tuple[np.ndarray, list[str]]:
    """Prepares any picture like a test image: resized to 32x32, cropped, standardised. See `input_data.prepare`."""
    picture, notes = with_depth(picture, 3)
    picture, changed = resized(picture, RAW, RAW)
    return standardised(centre(picture[None], SIZE))[0], [*notes, *changed, f"centre {SIZE}x{SIZE}"]


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens CIFAR-10's split; validation holds out data_batch_5.

    Args:
        data_dir: a folder with one of the formats in `sources`.
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1.

    Raises:
        DataError: files are missing or damaged.
    """
    folder = options.folder("CIFAR-10", data_dir, "cifar-10-batches-bin, cifar-10-batches-py or TFRecords")
    return Cifar10(*sources.load(folder, split), split in ("train", "valid_train"))
