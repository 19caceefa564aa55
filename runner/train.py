"""Trains a run from its last checkpoint to `max_steps` and evaluates it, or several such runs with different seeds."""

import os
import shlex
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from input_data import Split, training_batches
from input_data.formats.files import atomic_write
from input_data.progress import Progress, say
from models.optimizer import make_optimizer
from runner import checkpoints, config, results
from runner.config import NetworkConfig, RunConfig, conflicts, flag_lines
from runner.devices import Machines, connect, in_use
from runner.evaluate import draw, run_network
from runner.evaluation import write_predictions
from runner.flags import UserError
from runner.loader import begin, build, open_data
from runner.steps import PENDING, make_evaluation_step, make_train_step, read_metrics
from runner.stopping import Stop, is_locked, lock
from runner.summaries import TrainSummaries, write_hparams


def train_all(flags: RunConfig) -> int:
    """Trains a run, or `num_trials` runs with consecutive seeds, and prints the mean and the spread of their errors."""
    if flags.num_trials == 1:
        return train(flags)[0]
    errors, root = [], Path(flags.summary_dir or "runs/trials")
    for trial in range(flags.num_trials):
        predictions = flags.predictions and flags.predictions.replace("{}", str(trial))
        checkpoint = flags.checkpoint and flags.checkpoint.replace("{}", str(trial))
        own = replace(flags, num_trials=1, seed=flags.seed + trial, summary_dir=f"{root}/trial{trial}",
                      predictions=predictions, checkpoint=checkpoint)  # fmt: skip
        say(f"Trial {trial} of {flags.num_trials}, seed {own.seed}")
        code, row = train(own)
        if row is None:
            return code
        if connect(flags.num_gpus).number == 0:
            results.append(root, replace(row, checkpoint=f"trial{trial}/{row.checkpoint}"), "trials.csv")
        errors.append(row.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


def train(flags: RunConfig) -> tuple[int, results.Row | None]:
    """Trains to `max_steps` from the last checkpoint, then evaluates the final one.

    It returns the exit code and the row of the evaluation, which is None after an interruption.
    """
    # 1. Devices: everything after this may be put on them, and TensorFlow waits here for the other machines.
    machines = connect(flags.num_gpus)
    chief, devices = machines.number == 0, machines.strategy.num_replicas_in_sync
    if flags.batch_size % devices:
        raise UserError(f"--batch_size={flags.batch_size} is not divisible by the {devices} devices.")

    # 2. Data: what is wrong with them is said before hours of training, for the test split as well.
    begun, first = begin(flags)
    split = open_data(flags, training=True).open(begun)
    saved = begun.for_run(flags, split)
    test = open_data(flags).for_network(saved)
    machines.check_same(saved.facts("job") | {"devices of a machine": machines.local})

    # 3. The folder: it is ours alone, and holds this run or none. Nothing was written until here.
    flags.train_dir.mkdir(parents=True, exist_ok=True)
    flags.test_dir.mkdir(exist_ok=True)
    with lock(flags.train_dir) if chief else nullcontext():
        if chief:
            results.read(flags.test_dir)  # a table that cannot be read is an error now, not after the training
            old = config.read(flags.train_dir) if checkpoints.steps(flags.train_dir) else None
            if old and (words := conflicts(old.facts("run"), saved.facts("run"))):
                advice = "Resume it with the same flags, or give another --summary_dir."
                raise UserError(f"The run in {flags.train_dir} differs: {words}. {advice}")

        # 4. Weights: the newest good checkpoint, else --checkpoint, else the seed.
        with machines.strategy.scope():
            training = Training(flags, saved, machines, split, test)
            training.load(first)

        # 5. The loop, which ends with a checkpoint.
        interrupted = training.loop()
    if interrupted:
        last = checkpoints.prefix(flags.train_dir, training.step) if chief else f"step {training.step} on the chief"
        say(f"Interrupted: saved {last}. The same command resumes from there.")
        return 128 + interrupted, None
    say(f"Trained to step {training.step}. Checkpoints: {flags.train_dir}")
    if saved.hparams.average:
        training.evaluate(last=True)
    row, predictions = training.evaluate()
    if chief:
        write_predictions(flags.predictions, saved.class_names, **predictions)
        with checkpoints.averaged(training.model, training.optimizer):
            draw(flags.test_dir, training.model, training.step, test)
        _say_what_next(flags, saved)
    return 0, row


class Training:
    """A training run: trains on `split` and evaluates on `test`.

    Until `load`, the weights are fresh ones from the run's seed. `step` counts the steps that are done, and `minutes`
    is the time that they took, without evaluations.
    """

    def __init__(self, flags: RunConfig, saved: NetworkConfig, machines: Machines, split: Split, test: Split):
        self.flags, self.saved, self.machines, self.split, self.test = flags, saved, machines, split, test
        self.step, self.minutes = 0, 0.0
        keras.utils.set_random_seed(flags.seed)
        self.model = build(saved)
        self.optimizer = make_optimizer(saved.hparams, scale_loss=flags.precision == "float16")
        self.optimizer.build(self.model.trainable_variables)
        self.run_batch = make_evaluation_step(self.model)
        say(f"{self.model.name}: {self.model.count_weights():,} trainable weights, trained by {in_use(machines)}")

    @property
    def records(self) -> bool:
        """Whether this process records evaluations: the chief does, unless another process watches the run."""
        return self.machines.number == 0 and not is_locked(self.flags.test_dir)

    def load(self, first: str | None) -> None:
        """Loads the weights that the run begins or goes on with, on all machines, and writes what describes it."""
        flags, folder = self.flags, self.flags.train_dir
        if self.machines.number == 0:
            resumes = bool(checkpoints.steps(folder))
            if self.records:
                self._make_up_evaluations()
            self.step = checkpoints.restore_latest(folder, self.model, self.optimizer)
            if resumes:
                self.minutes = checkpoints.minutes(checkpoints.prefix(folder, self.step))
                results.keep_best(flags.test_dir)
            else:
                self.step = checkpoints.restore(first, self.model, self.optimizer) if first else 0
                results.begin(flags.test_dir)
            config.write(folder, self.saved)
            with atomic_write(folder / "flags.txt") as (draft,):
                draft.write_text(flag_lines(dict(self.saved.flags)), encoding="utf-8")
            write_hparams(flags.root, self.saved)
        variables = [*checkpoints.state(self.model, self.optimizer).values(), self.optimizer.iterations]
        self.step = self.machines.share(self.step, variables)
        if self.step:
            say(f"Resuming at step {self.step} of {flags.max_steps}")

    def _make_up_evaluations(self) -> None:
        """Evaluates the checkpoints whose evaluation was cut off; the network has other weights afterwards."""
        done = results.steps(self.flags.test_dir, self.flags.part)
        for step in checkpoints.steps(self.flags.train_dir):
            if step > max(done, default=0) and _evaluation_is_due(self.flags, step):
                with suppress(checkpoints.DamagedCheckpoint):  # it is renamed when the newest is loaded
                    prefix = checkpoints.prefix(self.flags.train_dir, step)
                    self.step = checkpoints.restore(prefix, self.model, self.optimizer)
                    self.evaluate()

    def evaluate(self, last: bool = False) -> tuple[results.Row, dict]:
        """Evaluates the network, with its averaged weights if there are some and not its last ones are asked for."""
        weights = "last" if last else self.saved.weights
        what = f"Step {self.step}{weights and f', {weights} weights'}"
        with nullcontext() if last else checkpoints.averaged(self.model, self.optimizer):
            result = run_network(self.flags, self.run_batch, self.test, what)
        prefix = checkpoints.prefix(self.flags.train_dir, self.step)
        row = results.make_row(self.flags.root, prefix, self.step, self.flags.part, result, weights)
        if self.records:
            results.record(self.flags.test_dir, row)
        return row, result.predictions

    def loop(self) -> int:
        """Trains to `max_steps`, and returns 0, or the signal that ended the training early; saves in any case."""
        flags, machines, chief, leaving = self.flags, self.machines, self.machines.number == 0, 0
        train_step = make_train_step(self.model, self.optimizer, machines, flags.xla)
        worker = machines.number, len(machines.names)
        batches = training_batches(self.split, flags.batch_size, flags.seed, self.step, worker)
        with Stop() as stop, Progress(flags.max_steps, "step", flags.batch_size) as progress:
            summaries = TrainSummaries(flags.train_dir, self.model, flags.batch_size, self.step) if chief else None
            intervals = [each for each in (flags.max_steps, flags.save_step, flags.eval_every) if each]
            pending: dict[int, dict] = {}

            def look() -> str:
                """Checks the losses since the last call, writes a summary if it is due, and puts the last in words."""
                metrics = read_metrics(pending, flags.train_dir)
                pending.clear()
                if summaries and is_written:
                    summaries.write(self.step, metrics, batch)
                return f"loss {metrics['total']:.4f}, {metrics['correct'] / flags.batch_size:.0%} right"

            while self.step < flags.max_steps and not leaving:
                began, batch = time.monotonic(), next(batches)
                with machines.together():
                    metrics = train_step(batch)
                leaving = int(machines.gather(np.array([stop.signal], np.int32)).max())  # all stop after the same step
                self.step += 1
                pending[self.step] = metrics
                due = leaving or any(self.step % interval == 0 for interval in intervals)
                is_written = self.step % flags.summary_step == 0 or self.step == flags.max_steps
                if due or is_written or len(pending) >= PENDING:
                    progress.update(self.step, look())  # raises before a checkpoint of a broken network is saved
                else:
                    progress.update(self.step, look)  # calls `look` only when it prints something
                self.minutes += (time.monotonic() - began) / 60
                if chief and due:
                    what = self.model, self.optimizer, flags.max_to_keep, self.minutes
                    checkpoints.save(flags.train_dir, self.step, *what)
                if not leaving and _evaluation_is_due(flags, self.step) and self.records:
                    self.evaluate()
            machines.leave()  # no machine ends while the chief is still saving
        return leaving


def _evaluation_is_due(flags: RunConfig, step: int) -> bool:
    """Whether to evaluate the network at a step before the last one, after which it is always evaluated."""
    interval = flags.eval_every or (flags.save_step if flags.validate else None)
    return interval is not None and step % interval == 0 and step < flags.max_steps


def _say_what_next(flags: RunConfig, saved: NetworkConfig) -> None:
    python = os.path.relpath(sys.executable)
    given = flag_lines({"checkpoint": flags.root, "data_dir": flags.data_dir}).splitlines()
    say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {flags.root}")
    if saved.model in ("capsule", "efficient") and saved.hparams.routing_type in ("dynamic", "uniform"):
        say(f"Try it on a page: {python} explore.py {shlex.join(given)} --serve")
