"""MultiMNIST: two overlapping digits of different classes, composed on the fly.

Paper, section 6: each digit is shifted by up to 4 pixels each way in a 36x36 frame, and the two are added,
min(255, a + b). (The bounding boxes of MNIST's ink then overlap by 73 % on average. The paper's 80 % is the overlap of
whole 28x28 frames: two such shifts differ by 80/27 pixels on average, and (1 - 80/27/28)² = 80.0 %.) Composed pairs
need no disk space. The test set is a fixed list: the first digit of pair p is digit p // num_pairs, and everything else
follows from row p % 1000 of `numpy.random.default_rng([2017, p // 1000])`.
"""

from dataclasses import replace

import numpy as np

from input_data.arrays import Arrays, integers, scaled, shift
from input_data.dataset import Info

REACH = 4  # largest shift in pixels each way, and the frame's margin
EFFICIENT_REACH = 6  # largest shift in pixels for Efficient-CapsNet, in the same frame
_BLOCK = 1000
_SEED = 2017


class Partners:
    """Chooses for each digit another one of a different class; `labels` [n] must be of at least two classes."""

    def __init__(self, labels: np.ndarray, num_classes: int):
        self.labels = labels.astype(np.int64)
        self._by_class = np.argsort(labels, kind="stable")
        self._counts = np.bincount(labels, minlength=num_classes)
        self._starts = np.cumsum(self._counts) - self._counts

    def choose(self, first: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The partners of the digits `first` [n], chosen by `noise` [n] uniformly among digits of other classes."""
        own = self.labels[first]
        choice = (noise * (len(self.labels) - self._counts[own])).astype(np.int64)
        choice += np.where(choice >= self._starts[own], self._counts[own], 0)  # jump over the digit's own class
        return self._by_class[choice]


class ComposedPairs(Arrays):
    """Pairs composed of single digits: images uint8 [n, rows, columns] with labels [n].

    There are `num_pairs` pairs for each digit of the fixed test set; None is training, where `noise` makes the pairs.
    A digit is shifted by up to `reach` pixels each way.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, info: Info, num_pairs: int | None, reach: int = REACH):
        rows, columns, depth = info.image_shape
        shape = (rows + 2 * REACH, columns + 2 * REACH, depth)
        info = replace(info, name="MultiMNIST", image_shape=shape, num_targets=2)
        images = np.pad(images, ((0, 0), (REACH, REACH), (REACH, REACH)))
        super().__init__(info, images, labels, scaled, 0 if num_pairs else 5)
        self.num_pairs, self.reach = num_pairs, reach
        self.partners = Partners(labels, info.num_classes)

    def __len__(self):
        return len(self.images) * (self.num_pairs or 1)

    def _test_noise(self, indices: np.ndarray) -> np.ndarray:
        noise = np.empty((len(indices), 5))
        for block in np.unique(indices // _BLOCK):
            here = indices // _BLOCK == block
            noise[here] = np.random.default_rng([_SEED, int(block)]).random((_BLOCK, 5))[indices[here] % _BLOCK]
        return noise

    def pair(self, indices: np.ndarray, noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The two digits of each pair, in the frame: uint8 [n, 2, rows, columns], and their labels [n, 2]."""
        first = indices // (self.num_pairs or 1)
        noise = self._test_noise(indices) if self.num_pairs or noise is None else noise
        both = np.stack([first, self.partners.choose(first, noise[:, 0])], axis=1)  # [n, 2]
        moves = integers(noise[:, 1:], -self.reach, self.reach).reshape(-1, 2)  # [n·2, (down, right)]
        shifted = shift(self.images[both.ravel()], *moves.T)
        return shifted.reshape(len(indices), 2, *shifted.shape[1:]), self.labels[both]

    def batch(self, indices, random=None):
        digits, labels = self.pair(indices, random)
        merged = np.minimum(digits.sum(axis=1, dtype=np.uint16), 255).astype(np.uint8)
        return {
            "images": scaled(merged)[..., None],
            "labels": labels,
            "reconstruction_targets": scaled(digits)[..., None],
        }
