"""smallNORB from the TFRecords of 2017: pairs of 96x96 images of toys in five classes.

The images are halved by taking every second pixel, which is what TF 1's bilinear resize does at this ratio.
"""

from pathlib import Path

import numpy as np

from input_data.dataset import DataError, Info, Options, Split
from input_data.formats.pictures import resized, with_depth
from input_data.formats.records import Records, RecordSplit
from input_data.images import centre, crop, distort, integers, standardised

SIZE = 32  # of the crops that the network sees
RAW = 96  # of the images in the files


class SmallNorb(RecordSplit):
    """Records by random access. Training: brightness, contrast, random crop; test: the centre; both standardised."""

    info = Info("smallNORB", (SIZE, SIZE, 2), 5, 1, ("animal", "human", "airplane", "truck", "car"))

    def __init__(self, path: Path, split: str):
        super().__init__([path])
        self.chosen = np.arange(len(self.records))
        if split.startswith("valid"):
            instances = _instances(self.records)
            self.chosen = np.flatnonzero((instances == instances.max()) == (split == "valid_test"))
        self.noise = 4 if split in ("train", "valid_train") else 0

    def __len__(self):
        return len(self.chosen)

    def batch(self, indices, noise):
        places = self.chosen[indices]
        (pixels,), labels = self.records.examples(places, (RAW, RAW, 2), 5)
        images = _halved(pixels.reshape(-1, 2, RAW, RAW).transpose(0, 2, 3, 1))  # the file has [n, eye, row, column]
        if self.noise:
            images = distort(images.astype(np.float32), noise[:, 0], noise[:, 1])
            corners = integers(noise[:, 2:], 0, images.shape[1] - SIZE)
            images = crop(images, *corners.T, (SIZE, SIZE))
        else:
            images = centre(images, SIZE)
        return {"images": standardised(images), "labels": labels}


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


def _instances(records: Records) -> np.ndarray:
    """Which toy of its class each record shows: the first number of its `meta`."""
    blocks = np.array_split(np.arange(len(records)), -(-len(records) // 1000))
    return np.concatenate([records.parse(block, {"meta": 4})["meta"][:, 0] for block in blocks])


def open_split(data_dir: str | None, split: str, options: Options = Options()) -> Split:
    """smallNORB's split; validation holds out one toy of each class, the one with the highest number.

    Args:
        data_dir: the folder with trainduo.tfrecords and testduo.tfrecords.
        split: train, test, valid_train or valid_test.
        options: num_targets must be 1.

    Raises:
        DataError: files that are missing or damaged.
    """
    folder = options.folder("smallNORB", data_dir, "trainduo.tfrecords and testduo.tfrecords")
    path = folder / f"{'test' if split == 'test' else 'train'}duo.tfrecords"
    if not path.is_file():
        raise DataError(f"{path} does not exist. --data_dir should have smallNORB's records of 2017.")
    return SmallNorb(path, split)
