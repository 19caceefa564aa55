"""What the runner's loop (input, figures, summaries, progress) costs over the bare training step.

    python benchmarks/loop_overhead.py [--types=32] [--steps=12] [--pairs=5]

Bare: the compiled step on one batch that is there already. Loop: `experiment.py`'s own loop on real input.
The two take turns; the ratio is taken pair by pair. Saving checkpoints is left out: it depends on --save_step.
Prints a table and a line of JSON.
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

import experiment
from input_data import DATASETS, training_batches
from models import MODELS
from models.optimizer import make_optimizer
from models.runner import checkpoints
from models.runner.flags import make_parser
from models.runner.training import make_train_step


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", type=int, default=32, help="types of primary capsules")
    parser.add_argument("--steps", type=int, default=12, help="steps of one measurement")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = make_parser(list(DATASETS), list(MODELS)).parse_args(
            [
                f"--summary_dir={folder}",
                f"--max_steps={chosen.steps}",
                f"--hparams_override=num_prime_capsules={chosen.types}",
            ]
        )
        run = experiment.Run(flags)
        run.make_folder(run.train_dir)
        split = run.split(training=True)
        model = run.make_model(split.info)
        optimizer = make_optimizer(run.hparams)
        optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, run.strategy)
        batch = next(training_batches(split, flags.batch_size, 0))
        step([batch])

        def bare() -> float:
            start = time.perf_counter()
            for _ in range(chosen.steps):
                float(step([batch])[0]["total"])
            return time.perf_counter() - start

        def loop() -> float:
            with contextlib.redirect_stdout(io.StringIO()):
                start = time.perf_counter()
                run.train_loop(step, split, model, optimizer, 0)
                return time.perf_counter() - start

        with mock.patch.object(checkpoints, "save"):
            loop()
            pairs = [(bare(), loop()) for _ in range(chosen.pairs)]
    ratios = [in_loop / alone for alone, in_loop in pairs]
    print(f"{'ms a step':>12} {'bare':>9} {'loop':>9} {'ratio':>7}")
    for alone, in_loop in pairs:
        print(f"{'':>12} {alone / chosen.steps * 1e3:9.1f} {in_loop / chosen.steps * 1e3:9.1f} {in_loop / alone:7.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
    print(json.dumps({"benchmark": "loop_overhead", "types": chosen.types, "steps": chosen.steps, "ratios": ratios}))


if __name__ == "__main__":
    main()
