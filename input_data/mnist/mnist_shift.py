"""Writes shifted, expanded and paired MNIST as the TFRecords of 2017.

    python input_data/mnist/mnist_shift.py --data_dir=D --split=train --shift=2                    # single digits
    python input_data/mnist/mnist_shift.py --data_dir=D --split=test --shift=6 --pad=4 --num_pairs=1000 \
        --max_shard=100000 --multi_targets=true                                                    # MultiMNIST

Reads the IDX files in `--data_dir` and writes the records beside them. The same seed writes the same bytes.
"""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from absl.flags import FlagValues

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from input_data.arrays import integers, shift
from input_data.dataset import SPLITS, DataError
from input_data.formats.records import FOOTER, checksums, write
from input_data.mnist.mnist_input import load
from input_data.mnist.multi_input import Partners
from input_data.startup import stderr_held_back

_BLOCK = 1000  # examples at a time: about a megabyte, which stays in the cache


def _frame(values: dict[str, bytes | int]) -> np.ndarray:
    """A record of a tf.train.Example without its payload's checksum, uint8 [HEADER + bytes + FOOTER]."""
    with stderr_held_back():
        from tensorflow.train import Example

    kinds = {name: "bytes_list" if isinstance(value, bytes) else "int64_list" for name, value in values.items()}
    feature = {name: {kind: {"value": [values[name]]}} for name, kind in kinds.items()}
    payload = Example(features={"feature": feature}).SerializeToString(deterministic=True)
    length = np.array([len(payload)], "<u8").tobytes()
    return np.frombuffer(length + checksums([length]).tobytes() + payload + bytes(FOOTER), np.uint8)


class Template:
    """Serialized tf.train.Examples of one size (height, width), which differ only in the pixels and the labels, 0 to 9.

    The positions of pixels and labels are determined once, by serializing Examples that differ. A block of records is
    then one array.
    """

    def __init__(self, images: tuple[str, ...], labels: tuple[str, ...], shape: tuple[int, int]):
        sizes = {"height": shape[0], "width": shape[1], "depth": 1}
        empty = dict.fromkeys(images, bytes(math.prod(shape))) | dict.fromkeys(labels, 0) | sizes
        full = dict.fromkeys(images, b"\xff" * math.prod(shape)) | dict.fromkeys(labels, 1)
        self.blank = _frame(empty)
        offsets = [np.flatnonzero(self.blank != _frame(empty | {name: value}))[0] for name, value in full.items()]
        formats = [(np.uint8, shape)] * len(images) + [np.uint8] * len(labels)
        self.layout = np.dtype({"names": [*full], "formats": formats, "offsets": offsets, "itemsize": len(self.blank)})

    def blanks(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Blank frames uint8 [count, bytes], and the same as records [count] of images and labels to write to."""
        frames = np.tile(self.blank, (count, 1))
        return frames, frames.view(self.layout)[:, 0]


def single(images: np.ndarray, labels: np.ndarray, template: Template, chosen: FlagValues) -> Iterator[np.ndarray]:
    """Blocks of frames: every digit at all (2·shift+1)² positions."""
    reach, places = chosen.shift, (2 * chosen.shift + 1) ** 2
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    digits = max(1, _BLOCK // places)
    for start in range(0, len(images), digits):
        own = slice(start, start + digits)
        windows = np.lib.stride_tricks.sliding_window_view(padded[own], images.shape[1:], axis=(1, 2))
        frames, records = template.blanks(len(windows) * places)
        records["image_raw"].reshape(windows.shape)[:] = windows[:, ::-1, ::-1]  # [n, side, side, height, width]
        records["label"] = np.repeat(labels[own], places)
        yield frames


def multi(images: np.ndarray, labels: np.ndarray, template: Template, chosen: FlagValues) -> Iterator[np.ndarray]:
    """Blocks of frames: each digit, shifted once at random, with `num_pairs` others of other classes, shifted too."""
    reach, total, partners = chosen.shift, len(images) * chosen.num_pairs, Partners(labels, 10)
    own = integers(np.random.default_rng([chosen.seed, 0]).random((len(images), 2)), -reach, reach)
    noise = np.random.default_rng([chosen.seed, 1])
    for start in range(0, total, _BLOCK):
        digit = np.arange(start, min(start + _BLOCK, total)) // chosen.num_pairs
        drawn = noise.random((len(digit), 3))
        other = partners.choose(digit, drawn[:, 0])
        first = shift(images[digit], *own[digit].T)
        second = shift(images[other], *integers(drawn[:, 1:], -reach, reach).T)
        frames, records = template.blanks(len(digit))
        records["image_raw_1"], records["image_raw_2"] = first, second
        records["merged_raw"] = np.minimum(first.astype(np.uint16) + second, 255)
        records["label_1"], records["label_2"] = labels[digit], labels[other]
        yield frames


def generate(chosen: FlagValues) -> list[Path]:
    """Writes a split's records beside its IDX files, as the flags say, and returns the files' paths."""
    if chosen.multi_targets and not chosen.num_pairs:
        raise DataError("--multi_targets=true needs --num_pairs, 1 or more.")
    folder = Path(os.path.expanduser(chosen.data_dir))
    images, labels, _ = load(folder, chosen.split)
    images = np.pad(images, ((0, 0), *2 * [(chosen.pad, chosen.pad)]))
    name, size = f"{chosen.split}_{chosen.shift}shifted_mnist.tfrecords", images.shape[1:]
    if chosen.multi_targets:
        total, examples = len(images) * chosen.num_pairs, multi
        template = Template(("image_raw_1", "image_raw_2", "merged_raw"), ("label_1", "label_2"), size)
        count = -(-total // chosen.max_shard) if chosen.max_shard else 1
        paths = [folder / f"multi{name}-{index:05}-of-{count:05}" for index in range(count)]
    else:
        total, examples = len(images) * (2 * chosen.shift + 1) ** 2, single
        template, paths = Template(("image_raw",), ("label",), size), [folder / name]
    blocks = examples(images, labels, template, chosen)
    write(paths, total, len(template.blank), blocks, chosen.seed, chosen.overwrite)
    return paths


def _make_flags() -> FlagValues:
    """The flags of this program, apart from those of programs that import it."""
    own = FlagValues()
    flags.DEFINE_string("data_dir", None, "folder of the IDX files; the records go there too", own, required=True)
    flags.DEFINE_enum("split", "train", SPLITS, "the digits to use", own)
    flags.DEFINE_integer("shift", 2, "largest shift in pixels each way", 0, 19, own)
    flags.DEFINE_integer("pad", 0, "width of the margin of zeros around the digits", 0, 49, own)
    flags.DEFINE_bool("multi_targets", False, "write pairs of digits instead of single ones", own)
    flags.DEFINE_integer("num_pairs", 0, "number of pairs for each digit", 0, 10**6, own)
    flags.DEFINE_integer("max_shard", 0, "the most pairs in a file; 0: one file", 0, 10**9, own)
    flags.DEFINE_integer("seed", 0, "seed of shifts, partners and the choice of files", 0, 2**32 - 1, own)
    flags.DEFINE_bool("overwrite", False, "replace existing files", own)
    return own


def main(arguments: list[str]) -> int:
    """Runs the script and returns its exit code."""
    program, chosen = "mnist_shift.py", _make_flags()
    if {"--help", "-help", "-h"} & set(arguments):
        print(f"{__doc__}\n{chosen.get_help(include_special_flags=False)}")
        return 0
    try:
        unknown = chosen([program, *arguments])[1:]
        if unknown:
            raise flags.Error(f"unrecognized arguments: {' '.join(unknown)}")
        paths = generate(chosen)
    except (flags.Error, DataError, OSError, KeyboardInterrupt) as error:
        print(f"{program}: error: {' '.join(str(error).split()) or 'interrupted'}", file=sys.stderr)
        return 2 if isinstance(error, flags.Error) else 130 if isinstance(error, KeyboardInterrupt) else 1
    print(f"Wrote {paths[0]}" + f" and {len(paths) - 1} more" * (len(paths) > 1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
