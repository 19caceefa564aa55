"""Evaluates one checkpoint, an ensemble, or each checkpoint of a run that another process trains."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from input_data import Split, evaluation_batches
from input_data.progress import say
from models.network import Classifier
from runner import checkpoints, config, evaluation, results
from runner.config import NetworkConfig, RunConfig, conflicts
from runner.devices import show_devices
from runner.evaluation import Result
from runner.flags import UserError
from runner.loader import Data, build, describe, load_described, open_data, resolve, run_folder
from runner.steps import make_evaluation_step
from runner.stopping import is_locked, lock
from runner.summaries import grid, write_png


def set_precision(precision: str) -> None:
    """Sets the precision of layers that are created later: float32, bfloat16 or float16."""
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")


def run_network(flags: RunConfig, run_batch: Callable, split: Split, what: str) -> Result:
    """Evaluates a network by its evaluation step and prints the result."""
    size = min(flags.eval_size or len(split), len(split))
    result = evaluation.evaluate(run_batch, evaluation_batches(split, flags.eval_batch_size, size), size)
    say(f"{what}: {result.size} {flags.part} examples, loss {result.loss:.6f}\n{result}")
    return result


def draw(folder: Path, model: Classifier, step: int, split: Split) -> None:
    """Writes a picture of test images above their reconstructions, if the network has a decoder."""
    batch, picture = next(evaluation_batches(split, 16, 16)), folder / f"reconstructions-{step}.png"
    if remakes := model.remake(model(batch["images"]), batch["labels"]):
        write_png(picture, grid([batch["images"], *remakes], scale=3))
        say(f"Test images above their reconstructions: {picture}")


def _prepare(flags: RunConfig) -> Data:
    """The data to evaluate on, after the devices and the precision are set."""
    show_devices()
    set_precision(flags.precision)
    return open_data(flags)


def _weights(saved: NetworkConfig) -> str:
    """Which weights are evaluated, as in `results.Row`."""
    return "averaged" if saved.hparams.average else ""


def evaluate(flags: RunConfig) -> int:
    """Evaluates the checkpoint that the flags name, or the summed logits of those that it names with {} for a number.

    Without --summary_dir, the results go to the checkpoint's run, or beside the runs of the members.
    """
    data, name = _prepare(flags), str(flags.checkpoint)
    prefixes = [resolve(name.replace("{}", str(trial)), flags.root) for trial in range(flags.num_trials)]
    saved = [describe(prefix, flags, data) for prefix in prefixes]
    for each, prefix in zip(saved, prefixes, strict=True):
        if words := conflicts(saved[0].facts("data"), each.facts("data"), "{} is {} and {}"):
            raise UserError(f"The members {prefixes[0]} and {prefix} have different data or classes: {words}.")
    split, found = data.for_network(saved[0]), []
    for each, prefix in zip(saved, prefixes, strict=True):
        trained = load_described(prefix, each)
        say(f"{prefix}: {each.model}, {trained.model.count_weights():,} trainable weights")
        found.append(run_network(flags, make_evaluation_step(trained.model), split, f"Step {trained.step}"))
    result, run, weights = found[0], run_folder(prefixes[0]), _weights(saved[0])
    if len(found) > 1:
        logits = np.sum([each.predictions["logits"] for each in found], axis=0)
        result, run, weights = evaluation.count(logits, result.predictions["labels"], float("nan")), run.parent, ""
        say(f"The sum of {len(found)} networks: {result}")
    folder = flags.test_dir if flags.summary_dir else run / "test"
    folder.mkdir(parents=True, exist_ok=True)
    results.record(folder, name if len(found) > 1 else prefixes[0], trained.step, flags.part, result, weights)
    evaluation.write_predictions(flags.predictions, saved[0].class_names, **result.predictions)
    if len(found) == 1:
        draw(folder, trained.model, trained.step, split)
    return 0


def watch(flags: RunConfig) -> int:
    """Evaluates each checkpoint of a training job once, in order, until the training ends."""
    data, train_dir, folder = _prepare(flags), flags.train_dir, flags.test_dir
    folder.mkdir(parents=True, exist_ok=True)
    evaluated = lambda: results.steps(folder, flags.part)  # noqa: E731
    model, refused = None, 0
    with lock(folder):
        results.keep_best(folder)
        say(f"Watching {train_dir}: {len(evaluated())} checkpoints are already evaluated")
        for step in new_checkpoints(train_dir, evaluated, flags.eval_timeout * 3600):
            prefix = checkpoints.prefix(train_dir, step)
            try:
                if model is None:  # the first checkpoint has a config
                    saved = describe(prefix, flags, data)
                    model, split = build(saved), data.for_network(saved)
                    run_batch = make_evaluation_step(model)
                checkpoints.restore(prefix, model)
                result = run_network(flags, run_batch, split, f"Step {step}")
                results.record(folder, prefix, step, flags.part, result, _weights(saved))
            except (checkpoints.MissingCheckpoint, checkpoints.DamagedCheckpoint, evaluation.NotFinite) as error:
                say(f"Step {step}: {error} Not evaluated.")
                refused += not isinstance(error, checkpoints.MissingCheckpoint)  # the training may have deleted it
    total = len(evaluated())
    if not total:
        hours = f"{flags.eval_timeout:g} hours"
        raise UserError(f"In {train_dir}, no checkpoint appeared within {hours} that could be evaluated.")
    done = f"{total} checkpoints are evaluated, {refused} could not be" if refused else "Every checkpoint is evaluated"
    say(f"{done}: {folder}/{results.TABLE}")
    return 0


def new_checkpoints(train_dir: Path, evaluated: Callable[[], set[int]], timeout: float) -> Iterator[int]:
    """Yields the step of each checkpoint once, in order, as it appears.

    Ends after the last step of the training, or when no checkpoint has appeared for `timeout` seconds. The steps that
    have a result are asked for each time: a new training in the folder begins without results.
    """
    given, since = set[int](), time.monotonic()
    while True:
        is_training = is_locked(train_dir)  # asked before the checkpoints are listed, so that none is missed
        run, found = config.read(train_dir), checkpoints.steps(train_dir)
        is_complete = run is not None and bool(found) and found[-1] >= run.flags.get("max_steps", math.inf)
        fresh = next((step for step in found if step not in given | evaluated()), None)
        if fresh is not None:
            given.add(fresh)
            yield fresh
            since = time.monotonic()
        elif (is_complete and not is_training) or time.monotonic() - since > timeout:
            return
        else:
            time.sleep(1)
