"""How many training images a second each input pipeline gives on its own.

    python benchmarks/input_speed.py [--mnist=FOLDER_OF_IDX_FILES] [--cifar10=FOLDER] [--seconds=3]

Without --mnist the embedded sample is used. What is not given is made, in a temporary folder. Each measurement is made
five times; the two ways of writing records take turns. Prints a table of medians and spreads, and a line of JSON.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from input_data import Split, open_split, training_batches
from input_data.made_data import make_all
from input_data.mnist import mnist_shift
from input_data.mnist.mnist_input import SAMPLE, load
from runner.config import NetworkConfig
from runner.flags import parse
from runner.run_config import RunConfig

BATCH, ROUNDS = 128, 5


def open_training(arguments: list[str]) -> Split:
    """The training split that flags of `experiment.py` name."""
    config = parse(RunConfig, arguments, "experiment.py", "")
    network = NetworkConfig().with_flags(config)
    return open_split(network.dataset, "train", config.data_dir, network.options())


def rate(split: Split, seconds: float) -> list[float]:
    """Images a second, measured ROUNDS times."""
    stream = training_batches(split, BATCH, seed=0)
    rates = []
    for _ in range(ROUNDS):
        next(stream)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / ROUNDS:
            count += len(next(stream)["labels"])
        rates.append(count / (time.perf_counter() - start))
    stream.close()
    return rates


def plain_generator(folder: Path, target: Path, digits: int) -> float:
    """Examples a second of the obvious loop: shift one digit, build one tf.train.Example, write it."""
    import tensorflow as tf

    examples = load(folder, "train")
    images, labels = examples.images, examples.labels
    start, count = time.perf_counter(), 0
    with tf.io.TFRecordWriter(str(target)) as writer:
        for image, label in zip(np.pad(images[:digits], ((0, 0), (2, 2), (2, 2))), labels[:digits], strict=True):
            for row in range(5):
                for column in range(5):
                    moved = image[row : row + 28, column : column + 28]
                    numbers = {"label": int(label), "height": 28, "width": 28, "depth": 1}
                    feature = {
                        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
                        for name, value in numbers.items()
                    }
                    content = tf.train.BytesList(value=[moved.tobytes()])
                    feature["image_raw"] = tf.train.Feature(bytes_list=content)
                    example = tf.train.Example(features=tf.train.Features(feature=feature))
                    writer.write(example.SerializeToString())
                    count += 1
    return count / (time.perf_counter() - start)


def our_generator(folder: Path) -> float:
    """Examples a second of mnist_shift.py on all digits, its reading of them included."""
    (folder / "train_2shifted_mnist.tfrecords").unlink(missing_ok=True)
    start = time.perf_counter()
    (path,) = mnist_shift.generate(str(folder))
    seconds = time.perf_counter() - start
    return len(open_split("mnist", "train", str(path.parent))) / seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, default=SAMPLE, help="folder of gzipped IDX files")
    parser.add_argument("--cifar10", type=Path, help="folder of CIFAR-10's binary files")
    parser.add_argument("--seconds", type=float, default=3, help="of each pipeline")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, contextlib.redirect_stdout(io.StringIO()):
        pipelines = make_all(Path(made), chosen.mnist, chosen.cifar10)
        rates = {name: rate(open_training(flags), chosen.seconds) for name, flags in pipelines.items()}
        folder = Path(made) / "records"
        turns = [(plain_generator(folder, folder / "plain", 400), our_generator(folder)) for _ in range(ROUNDS)]
    rates["writing records, plain loop"], rates["writing records, mnist_shift.py"] = map(list, zip(*turns, strict=True))
    print(f"{'images/s':40} {'median':>10} {'min':>10} {'max':>10}")
    for name, values in rates.items():
        print(f"{name:40} {statistics.median(values):10,.0f} {min(values):10,.0f} {max(values):10,.0f}")
    ratios = [ours / plain for plain, ours in turns]
    spread = f"from {min(ratios):.1f} to {max(ratios):.1f}"
    print(f"mnist_shift.py over the plain loop: {statistics.median(ratios):.1f}x ({spread})")
    print(json.dumps({"benchmark": "input_speed", "batch": BATCH, "rates": rates}))


if __name__ == "__main__":
    main()
