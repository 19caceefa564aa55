"""What the routing choices cost and bring: milliseconds a step and test error of small networks, several seeds each.

    python benchmarks/routing_choices.py [--data_dir=FOLDER_OF_MNIST] [--steps=400] [--seeds=3]
        [--hparams=conv_channels=64,num_prime_capsules=8]

All see the same batches. The time of a step leaves out the first, which compiles. Prints a table and a line of JSON.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from input_data import evaluation_batches, open_split, training_batches
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner.devices import Machines
from runner.evaluation import evaluate
from runner.steps import make_evaluation_step, make_train_step

CHOICES = {
    "3 iterations": "",
    "1 iteration": "routing=1",
    "2 iterations": "routing=2",
    "5 iterations": "routing=5",
    "3, gradient of the last only": "routing_gradient=last",
    "3, leaky": "leaky=true",
}


def run(hparams: HParams, data_dir: str | None, steps: int, seed: int) -> tuple[float, float]:
    """Seconds a step and test error in percent of one network."""
    keras.utils.set_random_seed(seed)
    split, test = (open_split("mnist", part, data_dir) for part in ("train", "test"))
    model = make_model("capsule", split.info.image_shape, split.info.num_classes, hparams)
    optimizer = make_optimizer(hparams)
    optimizer.build(model.trainable_variables)
    step, times = make_train_step(model, optimizer, Machines(tf.distribute.get_strategy())), []
    for batch in training_batches(split, 128, seed):
        start = time.perf_counter()
        step([batch])[0]["total"].numpy()
        times.append(time.perf_counter() - start)
        if len(times) == steps:
            break
    result = evaluate(make_evaluation_step(model), evaluation_batches(test, 100), len(test))
    return statistics.median(times[1:]), result.percent


def main() -> None:
    """Trains every choice with every seed and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of MNIST (default: the embedded sample)")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hparams", default="conv_channels=64,num_prime_capsules=8", help="of all networks")
    flags = parser.parse_args()
    found = {}
    print(f"{'':30} {'ms a step':>10} {'error %':>9} {'of each seed'}")
    for name, override in CHOICES.items():
        hparams = HParams().override(flags.hparams).override(override)
        times, errors = zip(
            *(run(hparams, flags.data_dir, flags.steps, seed) for seed in range(flags.seeds)), strict=True
        )
        found[name] = {"seconds_a_step": times, "error_percent": errors}
        each = ", ".join(f"{error:.2f}" for error in errors)
        print(f"{name:30} {statistics.median(times) * 1e3:10.1f} {statistics.mean(errors):9.2f} {each}", flush=True)
    print(json.dumps({"benchmark": "routing_choices", "flags": vars(flags), "choices": found}))


if __name__ == "__main__":
    main()
