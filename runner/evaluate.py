"""Evaluates one checkpoint, an ensemble, or each checkpoint of a run that another process trains."""

from collections.abc import Callable, Iterator
from pathlib import Path

from input_data import Split, evaluation_batches
from input_data.progress import say
from models.network import Classifier
from runner import checkpoints, evaluation, predictions, results
from runner.config import SavedConfig
from runner.loader import Data, describe, load_described
from runner.naming import resolve
from runner.run import download_data, make_folder, set_precision, show_devices
from runner.run_config import RunConfig
from runner.steps import make_evaluation_step
from runner.stopping import Lock
from runner.summaries import write_reconstructions
from runner.watching import new_checkpoints


def report(config: RunConfig, run_batch: Callable, step: int, split: Split, record: bool) -> evaluation.Result:
    """Evaluates a network with its evaluation step, prints the result and, if `record` is true, records it."""
    make_folder(config.test_dir)
    size = min(config.eval_size or len(split), len(split))
    result = evaluation.evaluate(run_batch, evaluation_batches(split, config.eval_batch_size, size), size)
    say(f"Step {step}: {result.size} {config.part} examples, loss {result.loss:.6f}")
    say(str(result))
    if record:
        prefix = checkpoints.prefix(config.train_dir, step)
        results.record(config.test_dir, prefix, step, config.part, result)
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


def _data(config: RunConfig) -> Data:
    """Prepares the process for evaluation and returns its data."""
    show_devices(config.gpus, config.gpu_memory)
    download_data(config)
    set_precision(config.precision)
    return Data(config.data_dir, config.split_name(training=False), config.num_pairs)


def evaluate_checkpoint(config: RunConfig) -> int:
    """Evaluates the checkpoint that the flags name."""
    data = _data(config)
    prefix = resolve(str(config.checkpoint), config.root)
    saved = describe(prefix, config, data)
    split = data.for_network(saved)
    trained = load_described(prefix, saved)
    say(f"{prefix}: {saved.network.model}, {trained.model.count_weights():,} trainable weights")
    result = report(config, make_evaluation_step(trained.model), trained.step, split, record=False)
    write_predictions(config.predictions, result, saved.class_names)
    draw(config.test_dir, trained.model, trained.step, split)
    return 0


def evaluate_ensemble(config: RunConfig) -> int:
    """Sums the logits of the members that the checkpoint template names."""
    data = _data(config)
    names = [str(config.checkpoint).replace("{}", str(trial)) for trial in range(config.num_trials)]
    prefixes = [_resolve_member(name, config.root) for name in names]
    saved = [describe(prefix, config, data) for prefix in prefixes]
    for each, prefix in zip(saved, prefixes, strict=True):
        if _data_of(each) != _data_of(saved[0]):
            raise ValueError(f"The ensemble's members {prefixes[0]} and {prefix} have different data or classes.")
    split = data.for_network(saved[0])
    size = min(config.eval_size or len(split), len(split))

    def member_done(index: int, result: evaluation.Result) -> None:
        say(f"Member {index}, {prefixes[index]}: {result}")

    result = evaluation.evaluate_ensemble(
        _members(prefixes, saved), lambda: evaluation_batches(split, config.eval_batch_size, size), size, member_done
    )
    say(str(result))
    write_predictions(config.predictions, result, saved[0].class_names)
    return 0


def _data_of(saved: SavedConfig) -> tuple:
    """What the members of an ensemble must have in common."""
    return saved.network.dataset, saved.network.options(), saved.image_shape, saved.class_names


def _resolve_member(name: str, run: Path) -> str:
    try:
        return resolve(name, run)
    except checkpoints.MissingCheckpoint as error:
        raise ValueError(f"The ensemble's member {name} does not exist: {error}") from None


def _members(prefixes: list[str], saved: list[SavedConfig]) -> Iterator[Callable]:
    """The evaluation step of each network in turn; members of one shape share a network, which is compiled once."""
    model = load_described(prefixes[0], saved[0]).model
    run_batch, built = make_evaluation_step(model), saved[0].network
    for prefix, own in zip(prefixes, saved, strict=True):
        if own.network == built:
            checkpoints.restore(prefix, model)
        else:
            model, built = load_described(prefix, own).model, own.network
            run_batch = make_evaluation_step(model)
        yield run_batch


def watch(config: RunConfig) -> int:
    """Evaluates each checkpoint of a training job once, in order, until the training ends."""
    data = _data(config)
    make_folder(config.test_dir)
    lock = Lock(config.test_dir)
    results.repair_best(config.test_dir, config.train_dir)
    evaluated = results.Results(config.test_dir, config.part).steps()
    say(f"Watching {config.train_dir}: {len(evaluated)} checkpoints are already evaluated")
    watched: tuple[Classifier, Split, Callable] | None = None  # the network, which is built at the first checkpoint
    refused = 0
    for step in new_checkpoints(config.train_dir, evaluated, config.eval_timeout * 3600):
        prefix = checkpoints.prefix(config.train_dir, step)
        try:
            if watched is None:  # the run's config exists once there is a checkpoint
                saved = describe(prefix, config, data)
                split = data.for_network(saved)
                model = load_described(prefix, saved).model
                watched = model, split, make_evaluation_step(model)  # compiled once for all checkpoints
            else:
                checkpoints.restore(prefix, watched[0])
            _, split, run_batch = watched
            report(config, run_batch, step, split, record=True)
        except checkpoints.MissingCheckpoint as error:
            say(f"{error} Not evaluated.")
        except (checkpoints.DamagedCheckpoint, evaluation.NotFinite) as error:
            say(f"Step {step}: {error} Not evaluated.")
            refused += 1
    lock.release()
    if not checkpoints.steps(config.train_dir):
        raise ValueError(f"No checkpoint appeared in {config.train_dir} within {config.eval_timeout:g} hours.")
    total = len(results.Results(config.test_dir, config.part).steps())
    if not total:
        raise ValueError(f"None of the checkpoints in {config.train_dir} could be evaluated.")
    if refused:
        say(f"{total} checkpoints are evaluated, {refused} could not be: {config.test_dir}/results.csv")
    else:
        say(f"Every checkpoint is evaluated: {config.test_dir}/results.csv")
    return 0
