"""smallNORB from the TFRecords of 2017: pairs of 96x96 images of toys in five classes.

The images are halved by taking every second pixel, which is what TF 1's bilinear resize does at this ratio.
"""

from pathlib import Path

import numpy as np

from input_data.dataset import DataError, Info, Options, Split, check_labels, labels_checksum
from input_data.formats import tfds
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import RecordSplit, plain_or_packed
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 32  # of the crops that the network sees
RAW = 96  # of the images in the files


class SmallNorb(Split):
    """Pairs of views. Training: brightness, contrast, random crop; test: the centre; both standardised.

    Args:
        examples: the records, or the arrays that are read from TensorFlow Datasets.
        split_name: train, test, valid_train or valid_test.
    """

    info = Info("smallNORB", (SIZE, SIZE, 2), 5, 1, ("animal", "human", "airplane", "truck", "car"))

    def __init__(self, examples: "_RecordPairs | _ArrayPairs", split_name: str):
        self.examples = examples
        self.indices = np.arange(len(examples))
        if split_name.startswith("valid"):
            instances = examples.instances()
            self.indices = np.flatnonzero((instances == instances.max()) == (split_name == "valid_test"))
        self.noise = 4 if split_name in ("train", "valid_train") else 0

    def __len__(self):
        return len(self.indices)

    def checksum(self):
        return self.examples.checksum()

    def verify(self):
        self.examples.verify()

    def batch(self, indices, noise):
        images, labels = self.examples.read(self.indices[indices])
        if self.noise:
            images = distort(images.astype(np.float32), noise[:, 0], noise[:, 1])
            corners = integers(noise[:, 2:], 0, images.shape[1] - SIZE)
            images = crop(images, *corners.T, (SIZE, SIZE))
        else:
            images = centre(images, SIZE)
        return {"images": standardised(images), "labels": labels}


class _RecordPairs(RecordSplit):
    """Examples in the records of 2017, read at random."""

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the halved views uint8 [n, 48, 48, 2] and labels int32 [n, 1]."""
        (pixels,), labels = self.records.examples(indices, (RAW, RAW, 2), 5)
        return _halved(pixels.reshape(-1, 2, RAW, RAW).transpose(0, 2, 3, 1)), labels  # the file has each eye in turn

    def instances(self) -> np.ndarray:
        """Returns which toy of its class each record shows: the first number of its `meta`."""
        parsed = (self.records.parse(block, {"meta": 4}) for block in self.records.blocks())
        return np.concatenate([values["meta"][:, 0] for values in parsed])


class _ArrayPairs(Split):
    """Examples of TensorFlow Datasets, halved, in memory."""

    def __init__(self, paths: list[Path]):
        views, numbers = tfds.read(paths, (RAW, RAW, 1), ("image", "image2"), ("label_category", "instance"))
        self._images = _halved(views[..., 0].transpose(0, 2, 3, 1)).copy()  # [n, 48, 48, eye]
        self._labels = check_labels(numbers[:, 0], 5, str(paths[0]))[:, None]
        self._instances = numbers[:, 1]

    def __len__(self):
        return len(self._images)

    def checksum(self):
        return labels_checksum(self._labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the halved views uint8 [n, 48, 48, 2] and labels int32 [n, 1]."""
        return self._images[indices], self._labels[indices]

    def instances(self) -> np.ndarray:
        """Returns which toy of its class each example shows."""
        return self._instances


def _halved(images: np.ndarray) -> np.ndarray:
    return images[:, ::2, ::2]


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """Any picture as a test image: 96x96 halved, the centre, standardised. See `input_data.prepare`."""
    picture, notes = with_depth(picture, 1)
    picture, changed = resized(picture, RAW, RAW)
    views = _halved(picture.repeat(2, axis=2)[None])
    done = [*notes, *changed, f"halved, centre {SIZE}x{SIZE}", "the one view is used for both eyes"]
    return standardised(centre(views, SIZE))[0], done


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """smallNORB's split; validation holds out one toy of each class, the one with the highest number.

    Args:
        data_dir: the folder with trainduo.tfrecords and testduo.tfrecords, or with TensorFlow Datasets' smallnorb.
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1.

    Raises:
        DataError: files that are missing or damaged.
    """
    folder = options.folder("smallNORB", data_dir, "trainduo.tfrecords and testduo.tfrecords")
    name = "test" if split == "test" else "train"
    path = plain_or_packed(folder, f"{name}duo.tfrecords")
    if path is not None:
        return SmallNorb(_RecordPairs([path]), split)
    paths = tfds.locate(folder, "smallnorb", name)
    if paths:
        return SmallNorb(_ArrayPairs(paths), split)
    raise DataError(
        f"{folder} has no smallNORB: {name}duo.tfrecords does not exist, nor does "
        f"smallnorb-{name}.tfrecord-00000-of-00001 (TensorFlow Datasets). norb_convert.py makes the former from the "
        "original files."
    )
