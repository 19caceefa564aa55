"""What real input and the runner's loop (figures, summaries, progress) cost over the bare training step.

    python benchmarks/loop_overhead.py [--hparams=num_prime_capsules=8,conv_channels=64] [--steps=12] [--pairs=5]
        [--mnist=FOLDER_OF_IDX_FILES] [--cifar10=FOLDER] [--only=MNIST]

For each input pipeline, bare: the compiled step on one batch that is there already; loop: `experiment.py`'s own loop
on the pipeline. The two take turns; the ratio is taken pair by pair. Saving checkpoints is left out: it depends on
--save_step. Prints a table and a line of JSON.
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
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf

from input_data import open_split, training_batches
from input_data.made_data import make_all
from input_data.mnist.mnist_input import SAMPLE
from models.optimizer import make_optimizer
from runner import checkpoints
from runner.config import NetworkConfig
from runner.devices import Machines
from runner.flags import parse
from runner.loader import build
from runner.run_config import RunConfig
from runner.steps import make_train_step
from runner.train import Training, train_loop


def measure(arguments: list[str], steps: int, pairs: int) -> list[tuple[float, float]]:
    """Seconds a step, bare and in the loop, `pairs` times.

    Args:
        arguments: flags of `experiment.py` that name data and network.
        steps: of one measurement.
        pairs: measurements.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = [*arguments, f"--summary_dir={folder}", f"--max_steps={steps}"]
        config = parse(RunConfig, arguments, "experiment.py", "")
        config.train_dir.mkdir()
        network = NetworkConfig().with_flags(config)
        split = open_split(network.dataset, "train", config.data_dir, network.options())
        model, optimizer = build(network.for_data(split)), make_optimizer(network.hparams)
        optimizer.build(model.trainable_variables)
        machines = Machines(tf.distribute.get_strategy())
        training = Training(config, machines, split, model, optimizer, evaluate=mock.Mock())
        step = make_train_step(model, optimizer, machines)
        batch = next(training_batches(split, config.batch_size, 0))
        step([batch])

        def bare() -> float:
            start = time.perf_counter()
            for _ in range(steps):
                (metrics,) = step([batch])
            float(metrics["total"])  # waits for the device once, at the end
            return (time.perf_counter() - start) / steps

        def loop() -> float:
            start = time.perf_counter()
            train_loop(training, step, 0)
            return (time.perf_counter() - start) / steps

        with mock.patch.object(checkpoints, "save"):
            loop()
            return [(bare(), loop()) for _ in range(pairs)]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hparams", default="num_prime_capsules=32", help="as --hparams_override takes them")
    parser.add_argument("--steps", type=int, default=12, help="steps of one measurement")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each")
    parser.add_argument("--mnist", type=Path, default=SAMPLE, help="folder of gzipped IDX files")
    parser.add_argument("--cifar10", type=Path, help="folder of CIFAR-10's binary files")
    parser.add_argument("--only", default="", help="pipelines whose name begins so")
    chosen = parser.parse_args()
    print(f"{'':28} {'bare, ms':>9} {'loop, ms':>9} {'ratio':>7} {'min':>7} {'max':>7}")
    found = {}
    with tempfile.TemporaryDirectory() as made:
        with contextlib.redirect_stdout(io.StringIO()):
            pipelines = make_all(Path(made), chosen.mnist, chosen.cifar10)
        for name, data in pipelines.items():
            if not name.startswith(chosen.only):
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                pairs = measure([*data, f"--hparams_override={chosen.hparams}"], chosen.steps, chosen.pairs)
            found[name] = ratios = [in_loop / alone for alone, in_loop in pairs]
            bare, loop = (statistics.median(times) * 1e3 for times in zip(*pairs, strict=True))
            spread = f"{statistics.median(ratios):7.3f} {min(ratios):7.3f} {max(ratios):7.3f}"
            print(f"{name:28} {bare:9.1f} {loop:9.1f} {spread}", flush=True)
    print(json.dumps({"benchmark": "loop_overhead", "hparams": chosen.hparams, "ratios": found}))


if __name__ == "__main__":
    main()
