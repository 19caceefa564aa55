"""Evaluation: of one checkpoint, of an ensemble, or of each checkpoint of a training job beside this one."""

from collections.abc import Callable
from pathlib import Path

from input_data import Split
from models.classifier import Classifier
from runner import checkpoints, evaluation, results
from runner.progress import say
from runner.run import Run
from runner.steps import make_evaluation_step
from runner.stopping import Lock
from runner.summaries import write_reconstructions
from runner.watching import new_checkpoints


def report(run: Run, run_batch: Callable, step: int, split: Split, record: bool) -> evaluation.Result:
    """Evaluates a network by its evaluation step, says the result and, if asked to, records it."""
    run.make_folder(run.test_dir)
    result = evaluation.evaluate(run_batch, run.test_batches(split), run.test_size(split))
    say(f"Step {step}: {result.size} {run.part} examples, loss {result.loss:.6f}")
    say(str(result))
    if record:
        results.record(run.test_dir, checkpoints.prefix(run.train_dir, step), step, run.part, result)
    _write_predictions(run, result)
    return result


def _write_predictions(run: Run, result: evaluation.Result) -> None:
    if run.flags.predictions and run.chief:
        evaluation.write_predictions(Path(run.flags.predictions), result.predictions)
        say(f"Predictions: {run.flags.predictions}")


def draw(run: Run, model: Classifier, step: int, split: Split) -> None:
    """Writes the picture of reconstructions, where the network has a decoder."""
    picture = run.test_dir / f"reconstructions-{step}.png"
    if write_reconstructions(picture, model, next(run.test_batches(split))):
        say(f"Test images above their reconstructions: {picture}")


def evaluate_checkpoint(run: Run) -> int:
    """Evaluates the checkpoint that the flags name."""
    run.adopt_config(Path(run.flags.checkpoint).parent)
    split = run.split(training=False)
    model = run.make_model(split.info)
    step = checkpoints.restore(run.flags.checkpoint, model)
    report(run, make_evaluation_step(model), step, split, record=False)
    draw(run, model, step, split)
    return 0


def evaluate_ensemble(run: Run) -> int:
    """Sums the logits of the members that the checkpoint template names."""
    prefixes = [run.flags.checkpoint.replace("{}", str(trial)) for trial in range(run.flags.num_trials)]
    missing = [prefix for prefix in prefixes if not Path(f"{prefix}.index").exists()]
    if missing:
        raise ValueError(f"The ensemble's member {missing[0]} does not exist ({missing[0]}.index).")
    run.adopt_config(Path(prefixes[0]).parent)
    split = run.split(training=False)
    model = run.make_model(split.info)
    step = make_evaluation_step(model)

    def members():
        for prefix in prefixes:
            checkpoints.restore(prefix, model)
            yield step

    def member_done(index: int, result: evaluation.Result) -> None:
        say(f"Member {index}, {prefixes[index]}: {result}")

    size = run.test_size(split)
    result = evaluation.evaluate_ensemble(members(), lambda: run.test_batches(split), size, member_done)
    say(str(result))
    _write_predictions(run, result)
    return 0


def watch(run: Run) -> int:
    """Evaluates each checkpoint of the training job beside this one once, in order, until it has ended."""
    run.make_folder(run.test_dir)
    lock = Lock(run.test_dir)
    known = results.Results(run.test_dir, run.part).steps()
    say(f"Watching {run.train_dir}, of which {len(known)} checkpoints are evaluated")
    split = model = run_batch = None
    for step in new_checkpoints(run.train_dir, known, run.flags.eval_timeout * 3600):
        if model is None:  # the run's config is there with its first checkpoint
            run.adopt_config(run.train_dir)
            split = run.split(training=False)
            model = run.make_model(split.info)
            run_batch = make_evaluation_step(model)  # compiled once for all checkpoints
        try:
            checkpoints.restore(checkpoints.prefix(run.train_dir, step), model)
        except (checkpoints.DamagedCheckpoint, checkpoints.MissingCheckpoint) as error:
            say(f"{error} Not evaluated.")
            continue
        report(run, run_batch, step, split, record=True)
    lock.release()
    if not checkpoints.steps(run.train_dir):
        raise ValueError(f"No checkpoint came to {run.train_dir} in {run.flags.eval_timeout:g} hours.")
    say(f"Every checkpoint is evaluated: {run.test_dir}/results.csv")
    return 0
