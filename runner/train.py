"""Trains a run from its last checkpoint to `max_steps` and evaluates it, or several such runs with different seeds."""

import itertools
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from input_data import Split, open_split, training_batches
from input_data.formats.files import atomic_write
from input_data.progress import Progress, say
from models.network import Classifier
from models.optimizer import make_optimizer
from runner import checkpoints, cluster, results
from runner import config as saved_config
from runner.config import NetworkSpec, SavedConfig
from runner.devices import worker
from runner.evaluate import draw, report, write_predictions
from runner.evaluation import Result
from runner.loader import Data, build, describe
from runner.naming import resolve
from runner.run import download_data, make_folder, set_precision, share_devices, show_devices
from runner.run_config import RunConfig, flag_lines
from runner.steps import PendingMetrics, check_xla, make_evaluation_step, make_train_step
from runner.stopping import Lock, Stop, is_locked
from runner.summaries import TrainSummaries, write_hparams


def train_trials(config: RunConfig) -> int:
    """Trains `num_trials` runs with consecutive seeds and prints the mean and the spread of their errors."""
    errors = []
    for trial in range(config.num_trials):
        own = replace(
            config,
            num_trials=1,
            seed=config.seed + trial,
            summary_dir=f"{config.summary_dir or 'runs/trials'}/trial{trial}",
            predictions=config.predictions and config.predictions.replace("{}", str(trial)),
        )
        say(f"Trial {trial} of {config.num_trials}, seed {own.seed}")
        code, result = train(own)
        if result is None:
            return code
        errors.append(result.percent)
    say(f"Error of {len(errors)} trials: {np.mean(errors):.4g} ± {np.std(errors, ddof=1):.2g} %")
    return 0


@dataclass(frozen=True)
class Training:
    """A training run that is ready to start.

    Attributes:
        config: the flags of the run.
        saved: the content of its config.json.
        strategy: the strategy by which devices share the training.
        split: the training split.
        model: the network.
        optimizer: the optimizer, built on the network's variables.
        evaluate: a function that evaluates the network at a step.
    """

    config: RunConfig
    saved: SavedConfig
    strategy: tf.distribute.Strategy
    split: Split
    model: Classifier
    optimizer: keras.optimizers.Optimizer
    evaluate: Callable[[int], Result]

    @property
    def worker(self) -> tuple[int, int]:
        """(number of this machine, number of machines)."""
        return worker(self.strategy)

    @property
    def chief(self) -> bool:
        """Whether this machine saves and reports."""
        return self.worker[0] == 0


def train(config: RunConfig) -> tuple[int, Result | None]:
    """Trains to `max_steps` from the last checkpoint, then evaluates the final one.

    Returns:
        The exit code and the evaluation's result, which is None after an interruption.
    """
    show_devices(config.gpus, config.gpu_memory)
    strategy = share_devices(config.num_gpus)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise ValueError(
            f"--batch_size={config.batch_size} is not divisible by the {strategy.num_replicas_in_sync} devices."
        )
    download_data(config)
    chief = worker(strategy)[0] == 0
    data = Data(config.data_dir, config.split_name(training=False), config.num_pairs)
    first = config.checkpoint and resolve(config.checkpoint, config.root)
    network = _network(config, first, data)
    split = _open_training_split(config, network)
    saved = _describe_run(config, network, split)
    lock = _claim_folder(config, chief)
    machines = cluster.join()
    cluster.check_same(machines, _common_facts(config, saved, strategy))
    old = saved_config.read(config.train_dir) if chief else None
    if old and checkpoints.steps(config.train_dir):
        saved_config.check_same_run(old, saved, config.train_dir)
    with strategy.scope():
        model, optimizer = _make_network(config, saved, strategy)
        start = checkpoints.restore_latest(config.train_dir, model, optimizer, say) if chief else 0
        if chief and not start and first:
            start = checkpoints.restore(first, model, optimizer)
        start = machines.share(start, checkpoints.state(model, optimizer) | {"iterations": optimizer.iterations})
    if chief:
        _write_config(config, saved)
    if start:
        say(f"Resuming at step {start} of {config.max_steps}")
    run_batch = make_evaluation_step(model)

    def evaluate(step: int) -> Result:
        # Not recorded if another process watches the run and records its results.
        record = chief and not is_locked(config.test_dir)
        return report(config, run_batch, step, data.for_network(saved), record)

    training = Training(config, saved, strategy, split, model, optimizer, evaluate)
    train_steps = make_train_step(model, optimizer, strategy, config.xla)
    step, interrupted = train_loop(training, train_steps, start)
    if lock:
        lock.release()
    if interrupted:
        last = checkpoints.prefix(config.train_dir, step) if chief else f"step {step} on {machines.names[0]}"
        say(f"Interrupted: saved {last}. The same command resumes from there.")
        return 128 + interrupted, None
    say(f"Trained to step {step}. Checkpoints: {config.train_dir}")
    result = evaluate(step)
    if chief:
        write_predictions(config.predictions, result, saved.class_names)
        draw(config.test_dir, model, step, data.for_network(saved))
        _say_what_next(config)
    return 0, result


def _describe_run(config: RunConfig, network: NetworkSpec, split: Split) -> SavedConfig:
    facts = {"examples": len(split), "checksum": split.checksum()}
    info = split.info
    return saved_config.make(network, info.image_shape, info.class_names, asdict(config), facts, split.statistics)


def _claim_folder(config: RunConfig, chief: bool) -> Lock | None:
    """Creates the run's folder; the chief also locks it and removes what a killed process left there."""
    make_folder(config.train_dir)
    results.read(config.test_dir)  # reports a damaged table before the training and not after it
    if not chief:
        return None
    lock = Lock(config.train_dir)
    checkpoints.clean(config.train_dir)
    return lock


def _say_what_next(config: RunConfig) -> None:
    python = os.path.relpath(sys.executable)
    flags = flag_lines({"checkpoint": config.root, "data_dir": config.data_dir}).splitlines()
    say(f"Look at the curves: {python} -m tensorboard.main --host 127.0.0.1 --logdir {config.root}")
    say(f"Try it on a page: {python} explore.py {shlex.join(flags)} --serve")


def _common_facts(config: RunConfig, saved: SavedConfig, strategy: tf.distribute.Strategy) -> dict:
    """What all machines of a job must have in common, by name."""
    names = ("max_steps", "save_step", "eval_every", "steps_per_call", "xla")
    versions = {name: saved.versions[name] for name in ("tensorflow", "keras")}
    devices = {"devices of a machine": strategy.num_replicas_in_sync // worker(strategy)[1]}
    return saved.identity() | {name: getattr(config, name) for name in names} | versions | devices


def _network(config: RunConfig, first: str | None, data: Data) -> NetworkSpec:
    """The network to train: as the flags say, and otherwise that of the checkpoint from which training starts."""
    begun = NetworkSpec()
    if first:
        # A new run may have other data than the checkpoint, so a flag does not contradict its config here.
        saved = saved_config.read(Path(first).parent)
        begun = (saved or describe(first, config, data)).network
    return begun.with_flags(config)


def _open_training_split(config: RunConfig, network: NetworkSpec) -> Split:
    name = config.split_name(training=True)
    split = open_split(network.dataset, name, config.data_dir, network.options(config.num_pairs))
    if split.note:
        say(split.note)
    return split


def _make_network(
    config: RunConfig, saved: SavedConfig, strategy: tf.distribute.Strategy
) -> tuple[Classifier, keras.optimizers.Optimizer]:
    """A network with fresh weights from the run's seed, and its optimizer."""
    keras.utils.set_random_seed(config.seed)
    set_precision(config.precision)
    model = build(saved)
    say(f"{model.name}: {model.count_weights():,} trainable weights")
    if config.xla:
        check_xla(model)
    optimizer = make_optimizer(saved.network.hparams, scale_loss=config.precision == "float16")
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _write_config(config: RunConfig, saved: SavedConfig) -> None:
    """Writes the run's config: config.json for the programs, flags.txt for --flagfile, hparams for TensorBoard."""
    saved_config.write(config.train_dir, saved)
    with atomic_write(config.train_dir / "flags.txt") as (draft,):
        draft.write_text(flag_lines(dict(saved.flags)), encoding="utf-8")
    write_hparams(config.root, saved)


def train_loop(training: Training, train_steps: Callable, start: int) -> tuple[int, int]:
    """The training loop; returns the last step, which is saved, and the signal that ended it early, or 0."""
    config, model, step, leaving = training.config, training.model, start, 0
    machines = cluster.join()
    batches = training_batches(training.split, config.batch_size, config.seed, start, training.worker)
    with Stop() as stop, Progress(config.max_steps, "step", config.batch_size, done=start) as progress:
        summaries = TrainSummaries(config.train_dir, model, config.batch_size, start) if training.chief else None
        pending = PendingMetrics(config.train_dir)
        group: list[dict] = []

        def look() -> str:
            """Reads the metrics since the last call, writes those that are due, and returns the last in words."""
            metrics: dict[str, float] = {}
            for at, metrics in pending.read().items():
                if summaries and (at % config.summary_step == 0 or at == config.max_steps):
                    summaries.write(at, metrics, group[at - step - 1])
            return f"loss {metrics['total']:.4f}, {metrics['correct'] / config.batch_size:.0%} right"

        while step < config.max_steps:
            # A call ends where a checkpoint is due, so that checkpoints lie at whole multiples of save_step.
            group = list(itertools.islice(batches, min(config.steps_per_call, _to_next_checkpoint(config, step))))
            try:
                results = train_steps(group)
                leaving = max(machines.gather(stop.signal))  # all machines stop after the same step
            except (
                tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, ConnectionError
            ) as error:  # fmt: skip
                reason = str(getattr(error, "message", error)).splitlines()[0]
                raise ConnectionError(
                    f"Another machine of the job stopped answering after step {step} ({reason}). "
                    "Start the same command on all machines again: it resumes from the last checkpoint."
                ) from None
            for result in results:
                step += 1
                pending.add(step, result)
            due = _to_next_checkpoint(config, step - 1) == 1
            is_written = step // config.summary_step > (step - len(group)) // config.summary_step
            if due or leaving or is_written or len(pending) >= pending.LIMIT:
                progress.update(step, look())  # raises before a checkpoint of a broken network is saved
            else:
                progress.update(step, look)  # calls `look` only when it prints something
            if training.chief and (due or leaving):
                checkpoints.save(config.train_dir, step, model, training.optimizer, config.max_to_keep)
            if leaving:
                break
            if _evaluation_is_due(config, step) and training.chief and not is_locked(config.test_dir):
                training.evaluate(step)
        machines.gather("saved")  # no machine ends while the chief is still saving
    if summaries:
        summaries.close()
    return step, leaving


def _to_next_checkpoint(config: RunConfig, step: int) -> int:
    """The number of steps to the next checkpoint: a multiple of save_step or of eval_every, or the last step."""
    intervals = [interval for interval in (config.save_step, config.eval_every) if interval]
    return min(config.max_steps - step, *(interval - step % interval for interval in intervals))


def _evaluation_is_due(config: RunConfig, step: int) -> bool:
    """Whether to evaluate the network at a step before the last one, after which it is always evaluated."""
    interval = config.eval_every or (config.save_step if config.validate else None)
    return interval is not None and step % interval == 0 and step < config.max_steps
