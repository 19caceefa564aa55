"""Training: from the last checkpoint to `max_steps`, then one evaluation; or several such runs, one a seed."""

import argparse
import itertools
import os
import sys
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from input_data import Split, training_batches
from models.classifier import Classifier
from models.optimizer import make_optimizer
from runner import checkpoints, cluster, config
from runner.evaluate import draw, report
from runner.evaluation import Result
from runner.progress import Progress, say
from runner.run import Run
from runner.steps import check_finite, make_evaluation_step, make_train_step
from runner.stopping import Lock, Stop, is_locked
from runner.summaries import TrainSummaries


def train_trials(flags) -> int:
    """Trains `num_trials` runs with seeds that follow one another and says the mean and spread of their errors."""
    errors = []
    for trial in range(flags.num_trials):
        changes = {"seed": flags.seed + trial, "summary_dir": f"{flags.summary_dir or 'runs/trials'}/trial{trial}"}
        say(f"Trial {trial} of {flags.num_trials}, seed {changes['seed']}")
        code, result = train(Run(argparse.Namespace(**vars(flags) | changes)))
        if result is None:
            return code
        errors.append(result.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


def train(run: Run) -> tuple[int, Result | None]:
    """Trains to `max_steps` from the last checkpoint, then evaluates the final one.

    Returns:
        The exit code and the evaluation's result, None after an interruption.
    """
    flags = run.flags
    if flags.batch_size % run.strategy.num_replicas_in_sync:
        raise ValueError(
            f"--batch_size={flags.batch_size} does not divide over {run.strategy.num_replicas_in_sync} devices."
        )
    split = run.split(training=True)
    run.make_folder(run.train_dir)
    lock = Lock(run.train_dir) if run.chief else None
    if run.chief:
        checkpoints.clean(run.train_dir)
    new = config.make(vars(flags), run.hparams, split.info.class_names, split.info.image_shape)
    new["data"] = {"examples": len(split), "checksum": split.checksum()}
    machines = cluster.join()
    cluster.check_same(machines, _common_facts(run, new))
    old = config.read(run.train_dir) if run.chief else None
    if old and checkpoints.steps(run.train_dir):
        config.check_same_run(old, new, run.train_dir)
    with run.strategy.scope():
        model = run.make_model(split.info)
        run.check_memory(model)
        optimizer = make_optimizer(run.hparams, scale_loss=flags.precision == "float16")
        optimizer.build(model.trainable_variables)
        start = checkpoints.restore_latest(run.train_dir, model, optimizer, say) if run.chief else 0
        if run.chief and not start and flags.checkpoint:
            start = checkpoints.restore(flags.checkpoint, model, optimizer)
        start = machines.share(start, checkpoints.state(model, optimizer) | {"iterations": optimizer.iterations})
    if run.chief:
        config.write(run.train_dir, new)
    if start:
        say(f"Resuming at step {start} of {flags.max_steps}")
    train_steps = make_train_step(model, optimizer, run.strategy, flags.xla)
    step, interrupted = train_loop(run, train_steps, split, model, optimizer, start)
    if lock:
        lock.release()
    if interrupted:
        saved = checkpoints.prefix(run.train_dir, step) if run.chief else f"step {step} on {machines.names[0]}"
        say(f"Interrupted: saved {saved}. The same command goes on from there.")
        return 128 + interrupted, None
    say(f"Trained to step {step}. Checkpoints: {run.train_dir}")
    return 0, _evaluate_at_the_end(run, model, step)


def _common_facts(run: Run, new: dict) -> dict:
    """What all machines of a job must have in common, by name."""
    names = ("max_steps", "save_step", "steps_per_call", "xla")
    versions = {name: new["versions"][name] for name in ("tensorflow", "keras")}
    devices = {"devices of a machine": run.strategy.num_replicas_in_sync // run.worker[1]}
    return config.identity(new) | {name: getattr(run.flags, name) for name in names} | versions | devices


def train_loop(
    run: Run, train_steps: Callable, split: Split, model: Classifier, optimizer, start: int
) -> tuple[int, int]:
    """The training loop: gives the last step, which is saved, and the signal that ended it early or 0."""
    flags, step, leaving = run.flags, start, 0
    batches = training_batches(split, flags.batch_size, flags.seed, start, run.worker)
    progress = Progress(flags.max_steps, "step", flags.batch_size, done=start)
    machines = cluster.join()
    with Stop() as stop:
        summaries = TrainSummaries(run.train_dir, model) if run.chief else None
        while step < flags.max_steps:
            # A call ends where a checkpoint is due, so that checkpoints lie at whole multiples of save_step.
            count = min(flags.steps_per_call, flags.max_steps - step, flags.save_step - step % flags.save_step)
            group = list(itertools.islice(batches, count))
            try:
                results = train_steps(group)
                leaving = max(machines.gather(stop.signal))  # all machines leave after the same step
            except (
                tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, ConnectionError
            ) as error:  # fmt: skip
                reason = str(getattr(error, "message", error)).splitlines()[0]
                raise ConnectionError(
                    f"Another machine of the job stopped answering after step {step} ({reason}). "
                    "Start the same command on all machines again: it goes on from the last checkpoint."
                ) from None
            for batch, result in zip(group, results, strict=True):
                step += 1
                figures = {name: float(value) for name, value in result.items()}
                check_finite(figures["total"], step, run.train_dir)
                progress.update(step, f"loss {figures['total']:.4f}")
                if summaries and (step % flags.summary_step == 0 or step == flags.max_steps):
                    summaries.write(step, figures, batch)
            if run.chief and (step % flags.save_step == 0 or step == flags.max_steps or leaving):
                checkpoints.save(run.train_dir, step, model, optimizer, flags.max_to_keep)
            if leaving:
                break
        machines.gather("saved")  # no machine ends while the chief is still saving
    progress.close()
    if summaries:
        summaries.close()
    return step, leaving


def _evaluate_at_the_end(run: Run, model: Classifier, step: int) -> Result:
    """The one evaluation after training. It is not recorded where a watcher beside does that."""
    split = run.split(training=False)
    record = run.chief and not is_locked(run.test_dir)
    result = report(run, make_evaluation_step(model), step, split, record)
    if run.chief:
        draw(run, model, step, split)
        python = os.path.relpath(sys.executable)
        say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {run.root}")
    return result
