"""Trains, evaluates, ensembles and uses capsule networks: one program, whose flags say the job.

    python experiment.py                                             # a few minutes on the embedded digits
    python experiment.py --data_dir=D --summary_dir=S --max_steps=300000
    python experiment.py --data_dir=D --summary_dir=S --train=false --checkpoint=S/train/model.ckpt-300000

`--help` lists the flags. Exit codes: 0 done, 1 a clear error, 2 wrong flags, 130 and 143 interrupted by
Ctrl-C or SIGTERM after saving.
"""

import os
import shlex
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from input_data import DATASETS
from models import MODELS
from runner.flags import make_parser

# With no flag at all: 8 types of primary capsules, which train four times as fast as the paper's 32.
QUICK_JOB = ["--summary_dir=runs/quick", "--hparams_override=num_prime_capsules=8", "--max_steps=240"]


def main(arguments: list[str]) -> int:
    """Runs the job that the flags describe and returns the exit code."""
    if not arguments:
        print(f"No flags given: python experiment.py {shlex.join(QUICK_JOB)}")
        arguments = QUICK_JOB
    parser = make_parser(list(DATASETS), list(MODELS))
    flags = parser.parse_args(arguments)
    use = bool(flags.predict or flags.export)
    if use and not flags.checkpoint:
        parser.error("--predict and --export take the --checkpoint of a trained network")
    flags.train = flags.train and not use
    members = not flags.train and flags.num_trials > 1
    if ("{}" in (flags.checkpoint or "")) != members:
        parser.error("--num_trials with --train=false takes a --checkpoint with {} for the member's number, and back")
    if flags.gpus == "cpu":  # before TensorFlow looks
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        return run_job(flags, use, members)
    except (ValueError, OSError) as error:
        print(f"experiment.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


def run_job(flags, use: bool, members: bool) -> int:
    """Runs one job; TensorFlow is loaded only now, so that --help and wrong flags answer at once.

    Args:
        flags: of `runner.flags`.
        use: predict or export.
        members: evaluate an ensemble.
    """
    from runner.check_data import check_data
    from runner.evaluate import evaluate_checkpoint, evaluate_ensemble, watch
    from runner.run import Run
    from runner.train import train, train_trials

    if flags.train and flags.num_trials > 1 and not flags.check_data:
        return train_trials(flags)
    run = Run(flags)
    if use:
        from explorer.use import use as use_network

        return use_network(run)
    if flags.check_data:
        return check_data(run)
    if flags.train:
        return train(run)[0]
    if members:
        return evaluate_ensemble(run)
    return evaluate_checkpoint(run) if flags.checkpoint else watch(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
