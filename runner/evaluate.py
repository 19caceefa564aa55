"""Evaluates one checkpoint, an ensemble, or each checkpoint of a run that another process trains."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import keras

from input_data import Split, evaluation_batches
from input_data.progress import say
from models.network import Classifier
from runner import checkpoints, config, evaluation, predictions, results
from runner.config import NetworkConfig
from runner.devices import show_devices
from runner.flags import UserError
from runner.loader import Data, describe, load_described
from runner.naming import resolve, run_folder
from runner.run_config import RunConfig
from runner.steps import make_evaluation_step
from runner.stopping import Lock
from runner.summaries import write_reconstructions
from runner.watching import new_checkpoints


def download_data(flags: RunConfig) -> None:
    """Downloads the data if `--download` is given."""
    if flags.download:
        from input_data.download import download

        download(NetworkConfig().with_flags(flags).dataset, flags.data_dir)


def set_precision(precision: str) -> None:
    """Sets the precision of layers that are created later: float32, bfloat16 or float16."""
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")


def make_folder(folder: Path) -> None:
    """Creates a folder for a job's output."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"TensorFlow cannot write to a folder whose name is not UTF-8. Received: {os.fsencode(folder)!r}. "
            "Give another --summary_dir."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise OSError(f"Cannot write to {folder}: check its permissions or give another --summary_dir.")


def run_network(flags: RunConfig, run_batch: Callable, split: Split, what: str) -> evaluation.Result:
    """Evaluates a network by its evaluation step and prints the result."""
    size = min(flags.eval_size or len(split), len(split))
    result = evaluation.evaluate(run_batch, evaluation_batches(split, flags.eval_batch_size, size), size)
    say(f"{what}: {result.size} {flags.part} examples, loss {result.loss:.6f}")
    say(str(result))
    return result


def write_predictions(path: str | None, result: evaluation.Result, class_names: tuple[str, ...]) -> None:
    """Writes the file of --predictions, if the flag is given."""
    if path:
        answers = result.predictions
        predictions.write(Path(path), class_names, answers["logits"], answers["predictions"], answers["labels"])
        say(f"Predictions: {path}")


def draw(folder: Path, model: Classifier, step: int, split: Split) -> None:
    """Writes the picture of reconstructions into a folder if the network has a decoder."""
    picture = folder / f"reconstructions-{step}.png"
    if write_reconstructions(picture, model, next(evaluation_batches(split, 16, 16))):
        say(f"Test images above their reconstructions: {picture}")


def _prepare(flags: RunConfig) -> Data:
    """Prepares the process for evaluation and returns its data."""
    show_devices(flags.gpus, flags.gpu_memory)
    download_data(flags)
    set_precision(flags.precision)
    return Data(flags.data_dir, flags.split_name(training=False), flags.num_pairs)


def evaluate_checkpoint(flags: RunConfig) -> int:
    """Evaluates the checkpoint that the flags name; without --summary_dir, the results go to the checkpoint's run."""
    data = _prepare(flags)
    prefix = resolve(str(flags.checkpoint), flags.root)
    saved = describe(prefix, flags, data)
    split = data.for_network(saved)
    trained = load_described(prefix, saved, flags.averaged)
    weights = checkpoints.weights_of(prefix, flags.averaged)
    say(f"{prefix}: {saved.model}, {trained.model.count_weights():,} trainable weights")
    folder = flags.test_dir if flags.summary_dir else run_folder(prefix) / "test"
    make_folder(folder)
    result = run_network(flags, make_evaluation_step(trained.model), split, f"Step {trained.step}")
    results.record(folder, prefix, trained.step, flags.part, result, weights)
    write_predictions(flags.predictions, result, saved.class_names)
    draw(folder, trained.model, trained.step, split)
    return 0


def evaluate_ensemble(flags: RunConfig) -> int:
    """Sums the logits of the members that the checkpoint template names."""
    data, template = _prepare(flags), str(flags.checkpoint)
    names = [template.replace("{}", str(trial)) for trial in range(flags.num_trials)]
    prefixes = [_resolve_member(name, flags.root) for name in names]
    saved = [describe(prefix, flags, data) for prefix in prefixes]
    for each, prefix in zip(saved, prefixes, strict=True):
        if different := config.conflicts(saved[0].values(), each.values(), config.ENSEMBLE):
            words = config.in_words(different, "{} is {} and {}")
            raise UserError(f"The members {prefixes[0]} and {prefix} have different data or classes: {words}.")
    split = data.for_network(saved[0])
    size = min(flags.eval_size or len(split), len(split))

    def member_done(index: int, result: evaluation.Result) -> None:
        say(f"Member {index}, {prefixes[index]}: {result}")

    result = evaluation.evaluate_ensemble(
        _members(prefixes, saved, flags.averaged), lambda: evaluation_batches(split, flags.eval_batch_size, size), size,
        member_done,
    )  # fmt: skip
    say(str(result))
    folder = flags.test_dir if flags.summary_dir else Path(template[: template.index("{}")] + "_").parent / "test"
    make_folder(folder)
    results.record(folder, template, checkpoints.step_of(prefixes[0]), flags.part, result)
    write_predictions(flags.predictions, result, saved[0].class_names)
    return 0


def _resolve_member(name: str, run: Path) -> str:
    try:
        return resolve(name, run)
    except checkpoints.MissingCheckpoint as error:
        raise UserError(f"The ensemble's member {name} does not exist: {error}") from None


def _members(prefixes: list[str], saved: list[NetworkConfig], averaged: bool) -> Iterator[Callable]:
    """The evaluation step of each network in turn; members of one shape share a network, which is compiled once."""
    model, built = None, saved[0]
    for prefix, own in zip(prefixes, saved, strict=True):
        if model is None or (own.model, own.hparams) != (built.model, built.hparams):
            model, built = load_described(prefix, own, averaged).model, own
            run_batch = make_evaluation_step(model)
        else:
            checkpoints.restore(prefix, model, averaged=averaged)
        yield run_batch


def watch(flags: RunConfig) -> int:
    """Evaluates each checkpoint of a training job once, in order, until the training ends."""
    data = _prepare(flags)
    train_dir, folder = flags.train_dir, flags.test_dir
    make_folder(folder)
    lock = Lock(folder)
    results.keep_best(folder)
    evaluated = lambda: results.steps(folder, flags.part)  # noqa: E731
    say(f"Watching {train_dir}: {len(evaluated())} checkpoints are already evaluated")
    watched: tuple[Classifier, Split, Callable] | None = None  # the network, which is built at the first checkpoint
    refused = 0
    for step in new_checkpoints(train_dir, evaluated, flags.eval_timeout * 3600):
        prefix = checkpoints.prefix(train_dir, step)
        try:
            if watched is None:  # the run's config exists once there is a checkpoint
                saved = describe(prefix, flags, data)
                split = data.for_network(saved)
                model = load_described(prefix, saved).model
                watched = model, split, make_evaluation_step(model)  # compiled once for all checkpoints
            else:
                checkpoints.restore(prefix, watched[0])
            weights = checkpoints.weights_of(prefix, averaged=True)
            result = run_network(flags, watched[2], watched[1], f"Step {step}")
            results.record(folder, prefix, step, flags.part, result, weights)
        except checkpoints.MissingCheckpoint as error:
            say(f"{error} Not evaluated.")
        except (checkpoints.DamagedCheckpoint, evaluation.NotFinite) as error:
            say(f"Step {step}: {error} Not evaluated.")
            refused += 1
    lock.release()
    if not checkpoints.steps(train_dir):
        raise UserError(f"No checkpoint appeared in {train_dir} within {flags.eval_timeout:g} hours.")
    if not (total := len(evaluated())):
        raise UserError(f"None of the checkpoints in {train_dir} could be evaluated.")
    done = f"{total} checkpoints are evaluated, {refused} could not be" if refused else "Every checkpoint is evaluated"
    say(f"{done}: {folder}/{results.TABLE}")
    return 0
