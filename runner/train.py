"""Trains a run from its last checkpoint to `max_steps` and evaluates it, or several such runs with different seeds."""

import itertools
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np

from input_data import Split, training_batches
from input_data.progress import Progress, say
from models.network import Classifier
from models.optimizer import make_optimizer
from runner import beginning, checkpoints, naming, results
from runner.config import NetworkConfig
from runner.devices import Machines, connect, in_use
from runner.evaluate import draw, run_network, set_precision
from runner.evaluation import Result, write_predictions
from runner.flags import UserError
from runner.loader import build, open_data
from runner.run_config import RunConfig, flag_lines
from runner.steps import PENDING, make_evaluation_step, make_train_step, read_metrics
from runner.stopping import Stop, is_locked
from runner.summaries import TrainSummaries


def train_all(flags: RunConfig) -> int:
    """Trains a run, or `num_trials` runs with consecutive seeds, and prints the mean and the spread of their errors."""
    if flags.num_trials == 1:
        return train(flags)[0]
    errors, root = [], Path(flags.summary_dir or "runs/trials")
    for trial in range(flags.num_trials):
        predictions = flags.predictions and flags.predictions.replace("{}", str(trial))
        own = replace(flags, num_trials=1, seed=flags.seed + trial, summary_dir=f"{root}/trial{trial}",
                      predictions=predictions)  # fmt: skip
        say(f"Trial {trial} of {flags.num_trials}, seed {own.seed}")
        code, result = train(own)
        if result is None:
            return code
        last = naming.prefix(own.train_dir, naming.steps(own.train_dir)[-1])
        results.append(root, results.make_row(root, last, own.max_steps, own.part, result), "trials.csv")
        errors.append(result.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


def train(flags: RunConfig) -> tuple[int, Result | None]:
    """Trains to `max_steps` from the last checkpoint, then evaluates the final one.

    Returns:
        The exit code and the evaluation's result, which is None after an interruption.
    """
    # 1. Devices: everything after this may be put on them, and TensorFlow waits here for the other machines.
    machines = connect(flags.gpus, flags.num_gpus)
    chief, devices = machines.number == 0, machines.strategy.num_replicas_in_sync
    if flags.batch_size % devices:
        raise UserError(f"--batch_size={flags.batch_size} is not divisible by the {devices} devices.")

    # 2. Data: what is wrong with them is said before hours of training, for the test split as well.
    begun, first = beginning.begin(flags)
    split = open_data(flags, training=True).open(begun)
    saved = begun.for_run(asdict(flags), split)
    test = open_data(flags).for_network(saved)
    machines.check_same(beginning.common_facts(flags, saved, machines))

    # 3. The folder: it is ours alone, and holds this run or none. Nothing was written until here.
    flags.train_dir.mkdir(parents=True, exist_ok=True)
    flags.test_dir.mkdir(exist_ok=True)
    lock = beginning.claim_folder(flags, saved) if chief else None

    try:
        # 4. Weights: the newest good checkpoint, else --checkpoint, else the seed.
        with machines.strategy.scope():
            training = make_training(flags, saved, machines, split, test)
            training.load(saved, first)
        # 5. The loop, which ends with a checkpoint.
        interrupted = training.loop()
    finally:
        if lock:
            lock.release()
    if interrupted:
        last = naming.prefix(flags.train_dir, training.step) if chief else f"step {training.step} on the chief"
        say(f"Interrupted: saved {last}. The same command resumes from there.")
        return 128 + interrupted, None
    say(f"Trained to step {training.step}. Checkpoints: {flags.train_dir}")
    if checkpoints.keeps_averages(training.optimizer):
        training.evaluate(last=True)
    result = training.evaluate()
    if chief:
        write_predictions(flags.predictions, saved.class_names, **result.predictions)
        with checkpoints.averaged(training.model, training.optimizer):
            draw(flags.test_dir, training.model, training.step, test)
        _say_what_next(flags)
    return 0, result


def make_training(flags: RunConfig, saved: NetworkConfig, machines: Machines, split: Split, test: Split) -> "Training":
    """A training run with fresh weights from the run's seed."""
    keras.utils.set_random_seed(flags.seed)
    set_precision(flags.precision)
    model = build(saved)
    optimizer = make_optimizer(saved.hparams, scale_loss=flags.precision == "float16")
    optimizer.build(model.trainable_variables)
    say(f"{model.name}: {model.count_weights():,} trainable weights, trained by {in_use(machines)}")
    return Training(flags, machines, split, test, model, optimizer, make_evaluation_step(model))


@dataclass
class Training:
    """A training run: trains on `split` and evaluates on `test`, by the evaluation step `run_batch`.

    `step` and `minutes` are the steps done and the time that they took, without evaluations.
    """

    flags: RunConfig
    machines: Machines
    split: Split
    test: Split
    model: Classifier
    optimizer: keras.optimizers.Optimizer
    run_batch: Callable
    step: int = 0
    minutes: float = 0.0

    @property
    def records(self) -> bool:
        """Whether this process records evaluations: the chief does, unless another process watches the run."""
        return self.machines.number == 0 and not is_locked(self.flags.test_dir)

    def load(self, saved: NetworkConfig, first: str | None) -> None:
        """Loads the weights that the run begins or goes on with, on all machines, and writes what describes it."""
        flags, folder = self.flags, self.flags.train_dir
        if self.machines.number == 0:
            resumes = bool(naming.steps(folder))
            if self.records:
                self._make_up_evaluations()
            self.step = checkpoints.restore_latest(folder, self.model, self.optimizer)
            if resumes:
                self.minutes = checkpoints.minutes(naming.prefix(folder, self.step))
                results.keep_best(flags.test_dir)
                checkpoints.tidy(folder, flags.max_to_keep)
            else:
                self.step = checkpoints.restore(first, self.model, self.optimizer) if first else 0
                results.begin(flags.test_dir)
            beginning.write_config(flags, saved)
        variables = [*checkpoints.state(self.model, self.optimizer).values(), self.optimizer.iterations]
        self.step = self.machines.share(self.step, variables)
        if self.step:
            say(f"Resuming at step {self.step} of {flags.max_steps}")

    def _make_up_evaluations(self) -> None:
        """Evaluates the checkpoints whose evaluation was cut off; the network has other weights afterwards."""
        done = results.steps(self.flags.test_dir, self.flags.part)
        for step in naming.steps(self.flags.train_dir):
            if step not in done and _evaluation_is_due(self.flags, step):
                with suppress(naming.DamagedCheckpoint):  # it is renamed when the newest is loaded
                    prefix = naming.prefix(self.flags.train_dir, step)
                    self.step = checkpoints.restore(prefix, self.model, self.optimizer)
                    self.evaluate()

    def evaluate(self, last: bool = False) -> Result:
        """Evaluates the network, with its averaged weights if there are some and not its last ones are asked for."""
        weights = ("last" if last else "averaged") if checkpoints.keeps_averages(self.optimizer) else ""
        what = f"Step {self.step}{weights and f', {weights} weights'}"
        with nullcontext() if last else checkpoints.averaged(self.model, self.optimizer):
            result = run_network(self.flags, self.run_batch, self.test, what)
        if self.records:
            prefix = naming.prefix(self.flags.train_dir, self.step)
            results.record(self.flags.test_dir, prefix, self.step, self.flags.part, result, weights)
        return result

    def loop(self) -> int:
        """Trains to `max_steps`, and returns 0, or the signal that ended the training early; saves in any case."""
        flags, machines, chief, leaving = self.flags, self.machines, self.machines.number == 0, 0
        began = time.monotonic() - 60 * self.minutes
        train_steps = make_train_step(self.model, self.optimizer, machines, flags.xla)
        worker = machines.number, len(machines.names)
        batches = training_batches(self.split, flags.batch_size, flags.seed, self.step, worker)
        with Stop() as stop, Progress(flags.max_steps, "step", flags.batch_size, done=self.step) as progress:
            summaries = TrainSummaries(flags.train_dir, self.model, flags.batch_size, self.step) if chief else None
            pending, group = dict[int, dict](), list[dict]()

            def look() -> str:
                """Reads the metrics since the last call, writes those that are due, and returns the last in words."""
                read = read_metrics(pending, flags.train_dir)
                pending.clear()
                for at, metrics in read.items():
                    if summaries and (at % flags.summary_step == 0 or at == flags.max_steps):
                        summaries.write(at, metrics, group[at - self.step - 1])
                last = read[self.step]
                return f"loss {last['total']:.4f}, {last['correct'] / flags.batch_size:.0%} right"

            while self.step < flags.max_steps and not leaving:
                # A call ends where a checkpoint is due, so that checkpoints lie at whole multiples of save_step.
                size = min(flags.steps_per_call, _to_next_checkpoint(flags, self.step))
                group = list(itertools.islice(batches, size))
                with machines.together():
                    metrics_of_steps = train_steps(group)
                leaving = int(machines.gather(np.array([stop.signal], np.int32)).max())  # all stop after the same step
                pending |= zip(itertools.count(self.step + 1), metrics_of_steps, strict=False)
                self.step += size
                due = leaving or _to_next_checkpoint(flags, self.step - 1) == 1
                is_written = self.step // flags.summary_step > (self.step - size) // flags.summary_step
                if due or is_written or len(pending) >= PENDING:
                    progress.update(self.step, look())  # raises before a checkpoint of a broken network is saved
                else:
                    progress.update(self.step, look)  # calls `look` only when it prints something
                if chief and due:
                    self.minutes, what = (time.monotonic() - began) / 60, (self.model, self.optimizer)
                    checkpoints.save(flags.train_dir, self.step, *what, flags.max_to_keep, self.minutes)
                if not leaving and _evaluation_is_due(flags, self.step) and self.records:
                    paused = time.monotonic()
                    self.evaluate()
                    began += time.monotonic() - paused
            machines.gather(np.zeros(1, np.int32))  # no machine ends while the chief is still saving
        if summaries:
            summaries.close()
        return leaving


def _to_next_checkpoint(flags: RunConfig, step: int) -> int:
    """The number of steps to the next checkpoint: a multiple of save_step or of eval_every, or the last step."""
    intervals = [interval for interval in (flags.save_step, flags.eval_every) if interval]
    return min(flags.max_steps - step, *(interval - step % interval for interval in intervals))


def _evaluation_is_due(flags: RunConfig, step: int) -> bool:
    """Whether to evaluate the network at a step before the last one, after which it is always evaluated."""
    interval = flags.eval_every or (flags.save_step if flags.validate else None)
    return interval is not None and step % interval == 0 and step < flags.max_steps


def _say_what_next(flags: RunConfig) -> None:
    python = os.path.relpath(sys.executable)
    given = flag_lines({"checkpoint": flags.root, "data_dir": flags.data_dir}).splitlines()
    say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {flags.root}")
    say(f"Try it on a page: {python} explore.py {shlex.join(given)} --serve")
