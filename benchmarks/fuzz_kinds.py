"""What `fuzz.py` damages: small whole files of each format, and values of flags and TF_CONFIG."""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from input_data import Options, open_split
from input_data.formats import idx
from input_data.mnist import mnist_shift
from input_data.norb import norb_convert

TEXTS = (
    "",
    "-1",
    "0",
    "1e9",
    "9" * 30,
    "nan",
    "inf",
    "null",
    "true",
    "[]",
    "{}",
    '"x"',
    "\0",
    "٣",
    ",",
    ";",
    "<b>",
    "../",
)
_SIZE = 30  # examples of each data set


@dataclass(frozen=True)
class Kind:
    """What is damaged and how it is read.

    Attributes:
        files: paths of which one is damaged at a time; none: `use` gets a random generator and damages a value itself.
        use: reads it all.
        text: whether the files are text, in which whole words are exchanged, too.
    """

    files: list[Path]
    use: Callable[[random.Random], None]
    text: bool = False


def kinds(folder: Path) -> dict[str, Kind]:
    """Everything that is damaged, by name, with whole files in `folder`."""
    return picture_kinds(folder) | data_kinds(folder) | checkpoint_kinds(folder) | value_kinds()


def picture_kinds(folder: Path) -> dict[str, Kind]:
    """The formats of pictures."""
    from PIL import Image

    from input_data.formats.pictures import read

    def reading(path: Path) -> Callable:
        return lambda draw: _none(read(path))

    paths = [folder / f"picture.{ending}" for ending in ("png", "jpg", "bmp", "gif", "webp", "tiff")]
    for path in paths:
        Image.fromarray(_pixels(40, 30, 3)).save(path)
    return {f"picture, {path.suffix[1:]}": Kind([path], reading(path)) for path in paths}


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _opening(dataset: str, data_dir: Path | str, split_name: str = "train", **options) -> Callable:
    """Opens a split and reads it all."""

    def use(draw: random.Random) -> None:
        split = open_split(dataset, split_name, str(data_dir), Options(**options))
        split.checksum()
        split.verify()
        for start in range(0, len(split), 500):
            indices = np.arange(start, min(start + 500, len(split)))
            split.batch(indices, np.zeros((len(indices), split.noise)))

    return use


def data_kinds(folder: Path) -> dict[str, Kind]:
    """The formats of data sets."""
    from scipy.io import savemat

    labels = np.arange(_SIZE, dtype=np.uint8) % 10
    digits, svhn, cifar, norb, records = (folder / name for name in ("digits", "svhn", "cifar", "norb", "records"))
    for each in (digits, svhn, cifar, norb, records):
        each.mkdir()
    for split_name in ("train", "t10k"):
        for name, array in (("images-idx3", _pixels(_SIZE, 28, 28)), ("labels-idx1", labels)):
            packed = records / f"{split_name}-{name}-ubyte.gz"
            idx.write(packed, array)
            (digits / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    mnist_shift.generate(str(records), shift=0)
    mnist_shift.generate(str(records), shift=4, pad=4, multi_targets=True, num_pairs=1, max_shard=0)
    savemat(svhn / "train_32x32.mat", {"X": _pixels(32, 32, 3, _SIZE), "y": labels[:, None] + 1}, do_compression=True)
    batch = _pixels(_SIZE, 3073)
    batch[:, 0] = labels
    for number in range(1, 6):
        batch.tofile(cifar / f"data_batch_{number}.bin")
    parts = {
        "dat": (_pixels(_SIZE, 2, 96, 96), 0x1E3D4C55),
        "cat": (labels.astype("<i4") % 5, 0x1E3D4C54),
        "info": (np.zeros((_SIZE, 4), "<i4"), 0x1E3D4C54),
    }
    for part, (array, magic) in parts.items():
        head = np.array([magic, array.ndim, *array.shape, *[1] * (3 - array.ndim)], "<u4")
        (norb / norb_convert.NAMES["train"].format(part)).write_bytes(head.tobytes() + array.tobytes())
    images = _pixels(_SIZE, 20, 20)
    np.savez_compressed(folder / "own.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    packed_files = [records / f"train-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")]
    (record_file,) = records.glob("train_0shifted_mnist*")
    record_file.rename(records / "train_2shifted_mnist.tfrecords")

    def convert(draw: random.Random) -> None:
        (norb / "trainduo.tfrecords").unlink(missing_ok=True)
        norb_convert.convert(norb, "train")

    return {
        "IDX": Kind(sorted(digits.glob("train*")), _opening("mnist", digits)),
        "IDX, two digits": Kind(sorted(digits.glob("train*")), _opening("mnist", digits, num_targets=2)),
        "IDX, gzipped": Kind(packed_files, _opening("affnist", records)),
        "TFRecords": Kind([records / "train_2shifted_mnist.tfrecords"], _opening("mnist", records)),
        "MATLAB, SVHN": Kind([svhn / "train_32x32.mat"], _opening("svhn", svhn)),
        "CIFAR-10": Kind(sorted(cifar.glob("*.bin")), _opening("cifar10", cifar)),
        "smallNORB's matrices": Kind(sorted(norb.glob("*.mat*")), convert),
        "NPZ": Kind([folder / "own.npz"], _opening("folder", folder / "own.npz")),
    }


def checkpoint_kinds(folder: Path) -> dict[str, Kind]:
    """A run's own files, and those of a network that ships."""
    from models import make_model, pretrained
    from models.hparams import HParams
    from models.optimizer import make_optimizer
    from runner import checkpoints, config, results

    train, test = folder / "train", folder / "test"
    for each in (train, test, test / "best"):
        each.mkdir()
    hparams = HParams(num_prime_capsules=1, conv_channels=2, remake=False)
    model = make_model("capsule", (20, 20, 1), 3, hparams)
    optimizer = make_optimizer(hparams)
    optimizer.build(model.trainable_variables)
    prefix = checkpoints.save(train, 5, model, optimizer)
    config.write(train, config.NetworkConfig({}, hparams, (20, 20, 1), ("a", "b", "c")))
    table = "".join(f"{step},test,50,{step},0,{2 * step},0.25\n" for step in range(1, 9))
    (test / "results.csv").write_text(f"step,split,size,wrong,almost_wrong,percent,loss\n{table}")
    checkpoints.save(test / "best", 5, model, optimizer)
    shipped = folder / "shipped"
    shipped.mkdir()
    (shipped / pretrained.CONFIG).write_bytes((train / "config.json").read_bytes())
    pretrained.write_weights(shipped / pretrained.WEIGHTS, {"bias": np.zeros(9, np.float16)}, 5)
    files = [shipped / pretrained.CONFIG, shipped / pretrained.WEIGHTS]
    (shipped / pretrained.SUMS).write_text("".join(map(pretrained.checksum_line, files)))

    def read_shipped(draw: random.Random) -> None:
        pretrained.read_config(shipped)
        pretrained.read_weights(shipped)

    return {
        "network that ships": Kind([*files, shipped / pretrained.SUMS], read_shipped),
        "checkpoint's index": Kind([Path(f"{prefix}.index")], lambda draw: _restore(prefix, model, optimizer)),
        "checkpoint's data": Kind(
            [Path(f"{prefix}.data-00000-of-00001")], lambda draw: _restore(prefix, model, optimizer)
        ),
        "config.json": Kind([train / "config.json"], lambda draw: _none(config.read(train)), text=True),
        "results.csv": Kind([test / "results.csv"], lambda draw: _none(results.read(test)), text=True),
    }


def _restore(prefix: str, model, optimizer) -> None:
    """Loads a checkpoint; a network that was changed by a damaged one is a failure."""
    from runner import checkpoints

    before = model.get_weights()
    try:
        checkpoints.restore(prefix, model, optimizer)
    finally:
        if any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True)):
            raise AssertionError("a damaged checkpoint changed the network")


def _none(_: object) -> None:
    """Takes what is read and is not wanted."""


def value_kinds() -> dict[str, Kind]:
    """Flags of the programs and what TF_CONFIG may hold."""
    from runner.devices import _read_tf_config
    from runner.flags import parse
    from runner.run_config import RunConfig

    names = [field.name for field in fields(RunConfig)]

    def flags(draw: random.Random) -> None:
        arguments = [f"--{draw.choice(names)}={_value(draw)}" for _ in range(draw.randrange(1, 4))]
        parse(RunConfig, arguments, "experiment.py", "")

    def tf_config(draw: random.Random) -> None:
        text = json.dumps({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}})
        words = text.split('"')
        for _ in range(draw.randrange(1, 3)):
            words[draw.randrange(len(words))] = _value(draw)
        _read_tf_config('"'.join(words))

    return {"flags": Kind([], flags), "TF_CONFIG": Kind([], tf_config)}


def _value(draw: random.Random) -> str:
    odd = ("1", "3", "true", "mnist", "capsule", "a" * 5000, "~", "routing=1e9", "-" * 9, "=", "[" * 2000)
    return draw.choice([*TEXTS, *odd])
