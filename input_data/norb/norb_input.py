"""smallNORB: pairs of 96x96 images of toys in five classes, from 2017's TFRecords or those of TensorFlow Datasets.

The images are halved by taking every second pixel, which is what TF 1's bilinear resize does at this ratio.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from input_data.dataset import DataError, Info, Options, Split, check_labels, labels_checksum
from input_data.formats import tfds
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import RecordSplit, plain_or_packed
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 32  # of the crops that the network sees
RAW = 96  # of the images in the files
EFFICIENT_SIZE, EFFICIENT_CROP = 64, 48  # of the resized images and their crops for Efficient-CapsNet


class SmallNorb(Split):
    """Pairs of views. Training: brightness, contrast, random crop; test: the centre; both standardised.

    Args:
        examples: the records of 2017, or the arrays from TensorFlow Datasets.
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


class EfficientNorb(SmallNorb):
    """Pairs of views for Efficient-CapsNet: standardised for each eye, resized to 64x64, and cropped to 48x48.

    Training: a random crop, brightness ±2, contrast 0.5 to 1.5; test: the centre.

    Args:
        examples, split_name: see `SmallNorb`.
        statistics: the two means of each eye's pixels, then their two deviations; empty: those of the split's own
            images, including held-out ones.
    """

    info = replace(SmallNorb.info, image_shape=(EFFICIENT_CROP, EFFICIENT_CROP, 2))

    def __init__(self, examples: "_RecordPairs | _ArrayPairs", split_name: str, statistics: tuple[float, ...] = ()):
        super().__init__(examples, split_name)
        self.statistics = statistics or _statistics(examples)

    def batch(self, indices, noise):
        images, labels = self.examples.read(self.indices[indices])
        images = _standardised_and_resized(images, self.statistics)
        if self.noise:
            corners = integers(noise[:, 2:], 0, EFFICIENT_SIZE - EFFICIENT_CROP)
            images = crop(images, *corners.T, (EFFICIENT_CROP, EFFICIENT_CROP))
            images = distort(images, noise[:, 0], noise[:, 1], reach=2, spread=0.5)
        else:
            images = centre(images, EFFICIENT_CROP)
        return {"images": np.ascontiguousarray(images), "labels": labels}


def _statistics(examples: "_RecordPairs | _ArrayPairs") -> tuple[float, ...]:
    blocks = np.array_split(np.arange(len(examples)), -(-len(examples) // 500))
    sums = np.zeros((2, 2))  # of pixels and of their squares, for each eye
    for block in blocks:
        images = examples.read(block)[0].astype(np.float64)
        sums += images.sum(axis=(0, 1, 2)), (images**2).sum(axis=(0, 1, 2))
    mean, square = sums / (len(examples) * RAW * RAW)
    return (*mean.tolist(), *np.sqrt(square - mean**2).tolist())


def _standardised_and_resized(images: np.ndarray, statistics: tuple[float, ...]) -> np.ndarray:
    """Images [n, 96, 96, 2] as float32 [n, 64, 64, 2]."""
    mean, deviation = np.array(statistics, np.float32).reshape(2, 2)
    return _resized((images - mean) / deviation)


def _resized(images: np.ndarray) -> np.ndarray:
    """Images [n, 96, 96, 2] as float32 [n, 64, 64, 2], bilinear without smoothing, as TensorFlow 2 resizes."""
    places = (np.arange(EFFICIENT_SIZE) + 0.5) * RAW / EFFICIENT_SIZE - 0.5
    low = places.astype(np.int64)
    share = (places - low).astype(np.float32)
    rows = images[:, low] * (1 - share)[:, None, None] + images[:, low + 1] * share[:, None, None]
    return (rows[:, :, low] * (1 - share)[:, None] + rows[:, :, low + 1] * share[:, None]).astype(np.float32)


class _RecordPairs(RecordSplit):
    """Examples in the records of 2017, read at random.

    Args:
        paths: the files.
        step: 1 for every pixel, 2 for every second pixel of every second row.
    """

    def __init__(self, paths: list[Path], step: int):
        super().__init__(paths)
        self.step = step

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the views uint8 [n, 96/step, 96/step, 2] and labels int32 [n, 1]."""
        (pixels,), labels = self.records.examples(indices, (RAW, RAW, 2), 5)
        views = pixels.reshape(-1, 2, RAW, RAW).transpose(0, 2, 3, 1)  # the file has one eye after the other
        return views[:, :: self.step, :: self.step], labels

    def instances(self) -> np.ndarray:
        """Returns which toy of its class each record shows: the first number of its `meta`."""
        parsed = (self.records.parse(block, {"meta": 4}) for block in self.records.blocks())
        return np.concatenate([values["meta"][:, 0] for values in parsed])


class _ArrayPairs(Split):
    """Examples of TensorFlow Datasets, in memory. Arguments as `_RecordPairs`."""

    def __init__(self, paths: list[Path], step: int):
        views, numbers = tfds.read(paths, (RAW, RAW, 1), ("image", "image2"), ("label_category", "instance"))
        self._images = views[..., 0].transpose(0, 2, 3, 1)[:, ::step, ::step].copy()  # [n, 96/step, 96/step, eye]
        self._labels = check_labels(numbers[:, 0], 5, str(paths[0]))[:, None]
        self._instances = numbers[:, 1]

    def __len__(self):
        return len(self._images)

    def checksum(self):
        return labels_checksum(self._labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the views uint8 [n, 96/step, 96/step, 2] and labels int32 [n, 1]."""
        return self._images[indices], self._labels[indices]

    def instances(self) -> np.ndarray:
        """Returns which toy of its class each example shows."""
        return self._instances


def _halved(images: np.ndarray) -> np.ndarray:
    return images[:, ::2, ::2]


def prepare(
    picture: np.ndarray, image_shape: tuple[int, int, int], class_names: tuple[str, ...], options: Options
) -> tuple[np.ndarray, list[str]]:
    """Prepares any picture, resized to 96x96, as `SmallNorb` or `EfficientNorb` does. See `input_data.prepare`."""
    picture, notes = with_depth(picture, 1)
    picture, changed = resized(picture, RAW, RAW)
    views = picture.repeat(2, axis=2)[None]
    notes = [*notes, *changed]
    if options.preparation == "efficient":
        notes.append(f"resized to {EFFICIENT_SIZE}x{EFFICIENT_SIZE}, centre {EFFICIENT_CROP}x{EFFICIENT_CROP}")
        if not options.statistics:
            notes.append("standardised by itself: config.json has no statistics of the training images")
        statistics = options.statistics or 2 * (float(views.mean()),) + 2 * (max(float(views.std()), 1.0),)
        image = centre(_standardised_and_resized(views, statistics), EFFICIENT_CROP)[0]
    else:
        notes.append(f"halved, centre {SIZE}x{SIZE}")
        image = standardised(centre(_halved(views), SIZE))[0]
    return image, [*notes, "the one view is used for both eyes"]


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """Opens smallNORB's split; validation holds out one toy of each class, that with the highest number.

    Args:
        data_dir: the folder with trainduo.tfrecords and testduo.tfrecords, or with TensorFlow Datasets' smallnorb.
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1; preparation chooses `SmallNorb` or `EfficientNorb`.

    Raises:
        DataError: files are missing or damaged.
    """
    folder = options.folder("smallNORB", data_dir, "trainduo.tfrecords and testduo.tfrecords")
    name = "test" if split == "test" else "train"
    path = plain_or_packed(folder, f"{name}duo.tfrecords")
    efficient = options.preparation == "efficient"
    paths = [path] if path is not None else tfds.locate(folder, "smallnorb", name)
    if paths:
        examples = (_RecordPairs if path is not None else _ArrayPairs)(paths, 1 if efficient else 2)
        return EfficientNorb(examples, split, options.statistics) if efficient else SmallNorb(examples, split)
    raise DataError(
        f"{folder} has no smallNORB: {name}duo.tfrecords does not exist, nor does "
        f"smallnorb-{name}.tfrecord-00000-of-00001 (TensorFlow Datasets). norb_convert.py makes the former from the "
        "original files."
    )
