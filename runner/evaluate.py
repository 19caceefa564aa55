"""Evaluates one checkpoint, an ensemble, or each checkpoint of a run that another process trains, and checks data."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from input_data import Split, evaluation_batches
from input_data.progress import Progress, say
from models.network import Classifier
from runner import checkpoints, config, evaluation, results
from runner.config import NetworkConfig, RunConfig, conflicts
from runner.devices import show_devices
from runner.evaluation import Result
from runner.flags import UserError
from runner.loader import build, describe, load_described, open_data, resolve, run_folder
from runner.steps import make_evaluation_step
from runner.stopping import is_locked, lock
from runner.summaries import grid, write_png


def run_network(flags: RunConfig, run_batch: Callable, split: Split, what: str) -> Result:
    """Evaluates a network by its evaluation step and prints the result."""
    result = evaluation.evaluate(run_batch, split, flags.eval_batch_size, flags.eval_size)
    say(f"{what}: {result.size} {flags.part} examples, loss {result.loss:.6f}\n{result}")
    return result


def draw(folder: Path, model: Classifier, step: int, split: Split) -> None:
    """Writes a picture of test images above their reconstructions, if the network has a decoder."""
    batch, picture = next(evaluation_batches(split, 16, 16)), folder / f"reconstructions-{step}.png"
    if remakes := model.remake(model(batch["images"]), batch["labels"]):
        write_png(picture, grid([batch["images"], *remakes], scale=3))
        say(f"Test images above their reconstructions: {picture}")


def evaluate(flags: RunConfig) -> int:
    """Evaluates the checkpoint that the flags name, or the summed logits of those that it names with {} for a number.

    Without --summary_dir, the results go to the checkpoint's run, or beside the runs of the members.
    """
    show_devices()
    data, named = open_data(flags), str(flags.checkpoint)
    prefixes = [resolve(named.replace("{}", str(trial)), flags.root) for trial in range(flags.num_trials)]
    saved = [describe(prefix, flags, data) for prefix in prefixes]
    for each, prefix in zip(saved, prefixes, strict=True):
        if words := conflicts(saved[0].facts("data"), each.facts("data"), "{} is {} and {}"):
            raise UserError(f"The members {prefixes[0]} and {prefix} have different data or classes: {words}.")
    run, weights, several = run_folder(prefixes[0]), saved[0].weights, len(prefixes) > 1
    if (own := config.read(Path(prefixes[0]).parent)) and own.hparams != saved[0].hparams:
        weights = f"{flags.preset or ''} {flags.hparams_override or ''}".strip()
    split, found = data.for_network(saved[0]), []
    folder = flags.test_dir if flags.summary_dir else (run.parent if several else run) / "test"
    folder.mkdir(parents=True, exist_ok=True)
    for each, prefix in zip(saved, prefixes, strict=True):
        trained = load_described(prefix, each)
        say(f"{prefix}: {each.model}, {trained.model.count_weights():,} trainable weights")
        found.append(run_network(flags, make_evaluation_step(trained.model), split, f"Step {trained.step}"))
    result, name = found[0], prefixes[0]
    if several:
        logits = np.sum([each.predictions["logits"] for each in found], axis=0)
        result = evaluation.count(logits, result.predictions["labels"], float("nan"))
        say(f"The sum of {len(found)} networks: {result}")
        name = named.replace("{}", f"{{0-{len(found) - 1}}}")
    results.record(folder, results.make_row(folder.parent, name, trained.step, flags.part, result, weights))
    evaluation.write_predictions(flags.predictions, saved[0].class_names, **result.predictions)
    if not several:
        draw(folder, trained.model, trained.step, split)
    return 0


def watch(flags: RunConfig) -> int:
    """Evaluates each checkpoint of a training job once, in order, until the training ends."""
    show_devices()
    data, train_dir, folder = open_data(flags), flags.train_dir, flags.test_dir
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
                    saved, own = describe(prefix, flags, data), config.read(train_dir)
                    if own and own.hparams != saved.hparams:
                        raise UserError("To follow a training, leave its hparams as they are, or name a --checkpoint.")
                    model, split = build(saved), data.for_network(saved)
                    run_batch = make_evaluation_step(model)
                checkpoints.restore(prefix, model)
                result = run_network(flags, run_batch, split, f"Step {step}")
                results.record(folder, results.make_row(flags.root, prefix, step, flags.part, result, saved.weights))
            except (checkpoints.MissingCheckpoint, checkpoints.DamagedCheckpoint, evaluation.NotFinite) as error:
                say(f"Step {step}: {error} Not evaluated.")
                refused += not isinstance(error, checkpoints.MissingCheckpoint)  # the training may have deleted it
    if not evaluated():
        hours = f"{flags.eval_timeout:g} hours"
        raise UserError(f"In {train_dir}, no checkpoint appeared within {hours} that could be evaluated.")
    say(f"Every checkpoint is evaluated{f', except {refused}' if refused else ''}: {folder}/{results.TABLE}")
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


def check_data(flags: RunConfig) -> int:
    """Reads the training and the test (or validation) split once, reports on them and draws a sheet of each."""
    flags.root.mkdir(parents=True, exist_ok=True)
    for training, name in ((True, "train"), (False, flags.part)):
        split = open_data(flags, training).open(NetworkConfig().with_flags(flags))
        counts, low, high, seen = np.zeros(split.info.num_classes, int), np.inf, -np.inf, 0
        with Progress(len(split), "read") as progress:
            for batch in evaluation_batches(split, 500, augmented=training):
                counts += np.bincount(batch["labels"].ravel(), minlength=len(counts))
                low, high = min(low, batch["images"].min()), max(high, batch["images"].max())
                seen += len(batch["labels"])
                progress.update(seen)
        classes = ", ".join(f"{label} {count:,}" for label, count in zip(split.info.class_names, counts, strict=True))
        size = "x".join(map(str, split.info.image_shape))
        say(f"{split.info.name}, {name}: {seen:,} images {size}, values {low:.3g} to {high:.3g}\n  {classes}")
        images = next(evaluation_batches(split, 96, 96, augmented=training))["images"]
        images = np.pad(images, [(0, -len(images) % 16), (0, 0), (0, 0), (0, 0)])  # whole rows
        rows = images.reshape(-1, 16, *images.shape[1:])  # [rows, 16, height, width, depth]
        write_png(flags.root / f"sheet-{name}.png", grid(list(rows), scale=2))
        say(f"{flags.root}/sheet-{name}.png shows {'augmented training' if training else name} images")
    return 0
