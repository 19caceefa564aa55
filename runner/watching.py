"""Waits for the checkpoints of a training job that runs in another process."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runner import checkpoints, config
from runner.stopping import is_locked


def new_checkpoints(train_dir: Path, evaluated: Callable[[], set[int]], timeout: float) -> Iterator[int]:
    """Yields the step of each checkpoint once, in order, as it appears.

    Ends after the last step of the training, or when no checkpoint has appeared for `timeout` seconds.

    Args:
        train_dir: `summary_dir/train`, which need not exist yet.
        evaluated: gives the steps that have a result; a new training in the folder begins without results.
        timeout: seconds.
    """
    given, since = set[int](), time.monotonic()
    while True:
        ended = _training_ended(train_dir)  # asked before the checkpoints are listed, so that none is missed
        fresh = next((step for step in checkpoints.steps(train_dir) if step not in given | evaluated()), None)
        if fresh is not None:
            given.add(fresh)
            yield fresh
            since = time.monotonic()
        elif ended or time.monotonic() - since > timeout:
            return
        else:
            time.sleep(1)


def _training_ended(train_dir: Path) -> bool:
    """Whether no process trains and the last checkpoint is at the last step of the training."""
    run, steps = config.read(train_dir), checkpoints.steps(train_dir)
    goal = run.flags["max_steps"] if run and "max_steps" in run.flags else float("inf")
    return not is_locked(train_dir) and bool(steps) and steps[-1] >= goal
