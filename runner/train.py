"""Trains a run from its last checkpoint to `max_steps` and evaluates it, or several such runs with different seeds."""

import itertools
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from input_data import Split, open_split, training_batches
from input_data.progress import Progress, say
from models.network import Classifier
from models.optimizer import make_optimizer
from runner import beginning, checkpoints, results
from runner.config import NetworkConfig
from runner.devices import LOST, Machines, connect, in_use, lost, machines_in_tf_config, show_devices
from runner.evaluate import download_data, draw, make_folder, run_network, set_precision, write_predictions
from runner.evaluation import Result
from runner.flags import UserError
from runner.loader import Data, build
from runner.run_config import RunConfig, flag_lines
from runner.steps import PendingMetrics, check_xla, make_evaluation_step, make_train_step
from runner.stopping import Stop, is_locked
from runner.summaries import TrainSummaries


def train_trials(flags: RunConfig) -> int:
    """Trains `num_trials` runs with consecutive seeds and prints the mean and the spread of their errors."""
    errors, root = [], Path(flags.summary_dir or "runs/trials")
    for trial in range(flags.num_trials):
        own = replace(
            flags, num_trials=1, seed=flags.seed + trial, summary_dir=f"{root}/trial{trial}",
            predictions=flags.predictions and flags.predictions.replace("{}", str(trial)),
        )  # fmt: skip
        say(f"Trial {trial} of {flags.num_trials}, seed {own.seed}")
        code, result = train(own)
        if result is None:
            return code
        last = checkpoints.prefix(own.train_dir, checkpoints.steps(own.train_dir)[-1])
        row = results.make_row(root, last, own.max_steps, own.part, result)
        results.append(root, row, "trials.csv")
        errors.append(result.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


def train_once(flags: RunConfig) -> int:
    """Trains a run; returns the exit code."""
    return train(flags)[0]


@dataclass(frozen=True)
class Training:
    """A training run that is ready to start.

    Attributes:
        flags: the flags of the run.
        machines: the devices and machines that share it.
        split: the training split.
        model: the network.
        optimizer: the optimizer, built on the network's variables.
        evaluate: a function that evaluates the network at a step, and takes which weights.
        minutes: of training before.
        averaged: a context in which the network has its averaged weights.
    """

    flags: RunConfig
    machines: Machines
    split: Split
    model: Classifier
    optimizer: keras.optimizers.Optimizer
    evaluate: Callable[..., Result]
    minutes: float = 0.0
    averaged: Any = None


def train(flags: RunConfig) -> tuple[int, Result | None]:
    """Trains to `max_steps` from the last checkpoint, then evaluates the final one.

    Returns:
        The exit code and the evaluation's result, which is None after an interruption.
    """
    # 1. Devices: everything after this may be put on them, and TensorFlow waits here for the other machines.
    show_devices(flags.gpus, flags.gpu_memory, flags.num_gpus if machines_in_tf_config() > 1 else None)
    machines = connect(flags.num_gpus)
    chief, devices = machines.number == 0, machines.strategy.num_replicas_in_sync
    if flags.batch_size % devices:
        raise UserError(f"--batch_size={flags.batch_size} is not divisible by the {devices} devices.")

    # 2. Data: what is wrong with them is said before hours of training, for the test split as well.
    download_data(flags)
    data = Data(flags.data_dir, flags.split_name(training=False), flags.num_pairs)
    begun, first = beginning.begin(flags, data)
    split = open_split(begun.dataset, flags.split_name(True), flags.data_dir, begun.options(flags.num_pairs))
    if split.note:
        say(split.note)
    saved = begun.for_run(asdict(flags), split)
    test = data.for_network(saved)
    machines.check_same(beginning.common_facts(flags, saved, machines))

    # 3. The folder: it is ours alone, and holds this run or none. Nothing was written until here.
    lock = beginning.claim_folder(flags, saved, chief)

    try:
        # 4. Weights: the newest good checkpoint, else --checkpoint, else the seed.
        training, start = _load(flags, saved, machines, split, test, first)
        # 5. The loop, which ends with a checkpoint.
        train_steps = make_train_step(training.model, training.optimizer, machines, flags.xla)
        step, interrupted = train_loop(training, train_steps, start)
    finally:
        if lock:
            lock.release()
    if interrupted:
        last = checkpoints.prefix(flags.train_dir, step) if chief else f"step {step} on {machines.names[0]}"
        say(f"Interrupted: saved {last}. The same command resumes from there.")
        return 128 + interrupted, None
    say(f"Trained to step {step}. Checkpoints: {flags.train_dir}")
    if training.averaged.exist:
        training.evaluate(step, "last")
    result = training.evaluate(step)
    if chief:
        write_predictions(flags.predictions, result, saved.class_names)
        make_folder(flags.test_dir)
        with training.averaged:
            draw(flags.test_dir, training.model, step, test)
        _say_what_next(flags)
    return 0, result


def _load(
    flags: RunConfig, saved: NetworkConfig, machines: Machines, split: Split, test: Split, first: str | None
) -> tuple[Training, int]:
    """The training with the weights that it begins or goes on with, and its step; writes what describes the run."""
    chief, resumes = machines.number == 0, bool(checkpoints.steps(flags.train_dir))
    with machines.strategy.scope():
        model, optimizer = _make_network(flags, saved)
        run_batch = make_evaluation_step(model)
        say(f"{model.name}: {model.count_weights():,} trainable weights, trained by {in_use(machines)}")
        if chief:
            _make_up_evaluations(flags, model, run_batch, test)
        start = checkpoints.restore_latest(flags.train_dir, model, optimizer, say) if chief else 0
        minutes = checkpoints.minutes(checkpoints.prefix(flags.train_dir, start)) if resumes else 0.0
        if chief and not resumes and first:
            start = checkpoints.restore(first, model, optimizer)
        start = machines.share(start, checkpoints.state(model, optimizer) | {"iterations": optimizer.iterations})
    if chief:
        checkpoints.tidy(flags.train_dir, flags.max_to_keep)
        if not resumes:
            results.begin(flags.test_dir)
        beginning.write_config(flags, saved)
    if start:
        say(f"Resuming at step {start} of {flags.max_steps}")
    averaged = checkpoints.Averaged(model, optimizer)

    def evaluate(step: int, weights: str = "averaged" if averaged.exist else "") -> Result:
        with averaged if weights == "averaged" else ExitStack():
            result = run_network(flags, run_batch, test, f"Step {step}{weights and f', {weights} weights'}")
        if chief and not is_locked(flags.test_dir):  # else another process watches the run and records its results
            make_folder(flags.test_dir)
            results.record(flags.test_dir, checkpoints.prefix(flags.train_dir, step), step, flags.part, result, weights)
        return result

    return Training(flags, machines, split, model, optimizer, evaluate, minutes, averaged), start


def _make_network(flags: RunConfig, saved: NetworkConfig) -> tuple[Classifier, keras.optimizers.Optimizer]:
    """A network with fresh weights from the run's seed, and its optimizer."""
    keras.utils.set_random_seed(flags.seed)
    set_precision(flags.precision)
    model = build(saved)
    if flags.xla:
        check_xla(model)
    optimizer = make_optimizer(saved.hparams, scale_loss=flags.precision == "float16")
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _make_up_evaluations(flags: RunConfig, model: Classifier, run_batch: Callable, test: Split) -> None:
    """Evaluates the checkpoints whose evaluation was cut off; the network has other weights afterwards."""
    if is_locked(flags.test_dir):
        return
    done = results.steps(flags.test_dir, flags.part)
    for step in checkpoints.steps(flags.train_dir):
        if step not in done and _evaluation_is_due(flags, step):
            prefix = checkpoints.prefix(flags.train_dir, step)
            try:
                checkpoints.restore(prefix, model)
            except checkpoints.DamagedCheckpoint:
                continue  # it is renamed when the newest is loaded
            make_folder(flags.test_dir)
            result = run_network(flags, run_batch, test, f"Step {step}, whose evaluation was cut off")
            weights = checkpoints.weights_of(prefix, averaged=True)
            results.record(flags.test_dir, prefix, step, flags.part, result, weights)


def _say_what_next(flags: RunConfig) -> None:
    python = os.path.relpath(sys.executable)
    given = flag_lines({"checkpoint": flags.root, "data_dir": flags.data_dir}).splitlines()
    say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {flags.root}")
    say(f"Try it on a page: {python} explore.py {shlex.join(given)} --serve")


def train_loop(training: Training, train_steps: Callable, start: int) -> tuple[int, int]:
    """The training loop; returns the last step, which is saved, and the signal that ended it early, or 0."""
    flags, machines, model, step, leaving = training.flags, training.machines, training.model, start, 0
    chief, began = machines.number == 0, time.monotonic() - 60 * training.minutes
    batches = training_batches(training.split, flags.batch_size, flags.seed, start, machines.worker)
    with Stop() as stop, Progress(flags.max_steps, "step", flags.batch_size, done=start) as progress:
        summaries = TrainSummaries(flags.train_dir, model, flags.batch_size, start) if chief else None
        pending, group = PendingMetrics(flags.train_dir), list[dict]()

        def look() -> str:
            """Reads the metrics since the last call, writes those that are due, and returns the last in words."""
            metrics: dict[str, float] = {}
            for at, metrics in pending.read().items():
                if summaries and (at % flags.summary_step == 0 or at == flags.max_steps):
                    summaries.write(at, metrics, group[at - step - 1])
            return f"loss {metrics['total']:.4f}, {metrics['correct'] / flags.batch_size:.0%} right"

        while step < flags.max_steps:
            # A call ends where a checkpoint is due, so that checkpoints lie at whole multiples of save_step.
            group = list(itertools.islice(batches, min(flags.steps_per_call, _to_next_checkpoint(flags, step))))
            try:
                metrics_of_steps = train_steps(group)
            except LOST as error:
                raise lost(error) if len(machines.names) > 1 else error from None
            leaving = int(machines.gather(np.array([stop.signal], np.int32)).max())  # all stop after the same step
            for metrics in metrics_of_steps:
                step += 1
                pending.add(step, metrics)
            due = _to_next_checkpoint(flags, step - 1) == 1
            is_written = step // flags.summary_step > (step - len(group)) // flags.summary_step
            if due or leaving or is_written or len(pending) >= pending.LIMIT:
                progress.update(step, look())  # raises before a checkpoint of a broken network is saved
            else:
                progress.update(step, look)  # calls `look` only when it prints something
            if chief and (due or leaving):
                minutes = (time.monotonic() - began) / 60
                checkpoints.save(flags.train_dir, step, model, training.optimizer, flags.max_to_keep, minutes)
            if leaving:
                break
            if chief and _evaluation_is_due(flags, step) and not is_locked(flags.test_dir):
                paused = time.monotonic()
                training.evaluate(step)
                began += time.monotonic() - paused
        machines.gather(np.zeros(1, np.int32))  # no machine ends while the chief is still saving
    if summaries:
        summaries.close()
    return step, leaving


def _to_next_checkpoint(flags: RunConfig, step: int) -> int:
    """The number of steps to the next checkpoint: a multiple of save_step or of eval_every, or the last step."""
    intervals = [interval for interval in (flags.save_step, flags.eval_every) if interval]
    return min(flags.max_steps - step, *(interval - step % interval for interval in intervals))


def _evaluation_is_due(flags: RunConfig, step: int) -> bool:
    """Whether to evaluate the network at a step before the last one, after which it is always evaluated."""
    interval = flags.eval_every or (flags.save_step if flags.validate else None)
    return interval is not None and step % interval == 0 and step < flags.max_steps
