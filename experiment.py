"""Trains, evaluates, ensembles and uses capsule networks; the flags select the job.

    python experiment.py                                             # a few minutes on the embedded digits
    python experiment.py --data_dir=D --summary_dir=S --max_steps=300000
    python experiment.py --data_dir=D --summary_dir=S --train=false --checkpoint=S/train/model.ckpt-300000

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 and 143 saved and ended after
Ctrl-C or SIGTERM.
"""

import json
import shlex
import sys
from dataclasses import fields
from importlib import import_module

from models.hparams import PRESETS, HParams
from runner.config import NetworkFlags, RunConfig
from runner.flags import exit_code, parse
from runner.startup import use_tensorflow

PROGRAM = "experiment.py"
# The job when there are no flags: 8 types of primary capsules, which train four times as fast as the paper's 32, at the
# rate of --preset=mnist.
QUICK_HPARAMS = "num_prime_capsules=8,learning_rate=0.003,schedule=linear,decay_steps=240,warmup_steps=24"
QUICK_JOB = ["--summary_dir=runs/quick", f"--hparams_override={QUICK_HPARAMS}", "--max_steps=240"]
HPARAMS = ", ".join(f"{field.name}={json.dumps(field.default)}" for field in fields(HParams))

_ALL = {field.name for field in fields(RunConfig)}
_USE = {"predict", "export"}
_NETWORK = {field.name for field in fields(NetworkFlags)} | {"data_dir", "summary_dir", "train"}
JOBS = {  # the function of each job, which takes the flags and returns the exit code, and the flags that it heeds
    "train": ("runner.train.train_all", _ALL - _USE - {"check_data", "eval_timeout"}),
    # A run's command may be repeated with --train=false, so evaluation takes the flags of training, too.
    "evaluate": ("runner.evaluate.evaluate", _ALL - _USE - {"check_data", "eval_timeout"}),
    "watch": ("runner.evaluate.watch", _ALL - _USE - {"check_data", "predictions"}),
    "check_data": ("runner.evaluate.check_data",
                   _NETWORK | {"check_data", "validate", "download", "num_pairs", "seed"}),
    "use": ("explorer.predict.use", _NETWORK | _USE | {"checkpoint", "eval_batch_size", "predictions"}),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    if not arguments:
        print(f"No flags given: python {PROGRAM} {shlex.join(QUICK_JOB)}")
    presets = "".join(f" --preset={name} is {override}." for name, override in PRESETS.items())
    about = "Trains and evaluates capsule networks (Sabour, Frosst, Hinton 2017); without flags, the embedded digits."
    notes = f"Hparams for --hparams_override, with their defaults: {HPARAMS}.{presets}"
    config = parse(RunConfig, arguments or QUICK_JOB, PROGRAM, about, notes, JOBS)
    return exit_code(PROGRAM, lambda: run_job(config))


def run_job(config: RunConfig) -> int:
    """Runs one job; TensorFlow is imported only here, so that --help and errors in flags are immediate."""
    use_tensorflow(config.precision)
    module, _, function = JOBS[config.job][0].rpartition(".")
    return getattr(import_module(module), function)(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
