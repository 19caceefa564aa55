"""Reads a data set from end to end, reports on it and draws sheets of its images."""

from input_data import evaluation_batches, training_batches
from runner.datacheck import check, draw_sheet
from runner.progress import say
from runner.run import Run


def check_data(run: Run) -> int:
    """Reads the training and the test (or validation) split once, reports on them and draws a sheet of each."""
    run.make_folder(run.root)
    for training, name in ((True, "train"), (False, run.part)):
        split = run.split(training)
        split.verify()
        say(check(f"{split.info.name}, {name}", split, evaluation_batches(split, 500, augmented=training)))
        shown = training_batches(split, 128, run.flags.seed) if training else run.test_batches(split)
        draw_sheet(run.root / f"sheet-{name}.png", next(shown))
        say(f"{run.root}/sheet-{name}.png shows {'augmented training' if training else name} images")
    return 0
