"""`summary_dir/test/results.csv`: one line for each evaluated checkpoint, and the best of them kept."""

import csv
import json
import os
import shutil
from pathlib import Path

from input_data.formats.files import atomic_write
from runner.config import read as read_config
from runner.config import write as write_config
from runner.evaluation import Result
from runner.summaries import write_test_summaries

COLUMNS = ("step", "split", "size", "wrong", "almost_wrong", "percent", "loss")


class Results:
    """The table, read once and written anew, whole, with each result.

    Args:
        folder: `summary_dir/test`.
        split: what is evaluated, "test" or "validation"; the table holds both, the best is chosen within one.
    """

    def __init__(self, folder: Path, split: str):
        self.path, self.split = Path(folder) / "results.csv", split
        self.rows: list[dict[str, str]] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

    def steps(self) -> set[int]:
        """The steps whose result is known."""
        return {int(row["step"]) for row in self.rows if row["split"] == self.split}

    def add(self, step: int, result: Result) -> bool:
        """Adds a checkpoint's result; gives whether it has fewer wrong than all before it."""
        best = min((int(row["wrong"]) for row in self.rows if row["split"] == self.split), default=None)
        self.rows.append(
            {
                "step": str(step),
                "split": self.split,
                "size": str(result.size),
                "wrong": str(result.wrong),
                "almost_wrong": str(result.almost_wrong),
                "percent": f"{result.percent:.6g}",
                "loss": f"{result.loss:.8g}",
            }
        )
        with atomic_write(self.path) as (draft,), draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        return best is None or result.wrong < best


def record(folder: Path, checkpoint: str, step: int, split: str, result: Result) -> None:
    """Adds a checkpoint's result to the table and to TensorBoard, once, and keeps the checkpoint if it is the best.

    Args:
        folder: `summary_dir/test`.
        checkpoint: the checkpoint's prefix.
        step: its step.
        split: "test" or "validation".
        result: of the evaluation.
    """
    results = Results(folder, split)
    if step in results.steps():
        return
    write_test_summaries(folder, step, result)
    if results.add(step, result):
        _keep_best(folder / "best", Path(checkpoint), step, result)


def _keep_best(folder: Path, checkpoint: Path, step: int, result: Result) -> None:
    """Links the best checkpoint and its config into `folder`, so that pruning does not take it, and names it there."""
    folder.mkdir(exist_ok=True)
    for ending in (".data-00000-of-00001", ".index"):
        source, target = Path(f"{checkpoint}{ending}"), folder / f"{checkpoint.name}{ending}"
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except PermissionError:  # a file system without hard links
            shutil.copyfile(source, target)
        except FileNotFoundError:  # pruned since it was read
            return
    if (config := read_config(checkpoint.parent)) is not None:
        write_config(folder, config)
    with atomic_write(folder / "best.json") as (draft,):
        draft.write_text(json.dumps({"step": step, "wrong": result.wrong, "percent": result.percent}) + "\n")
    for old in folder.glob("model.ckpt-*"):
        if not old.name.startswith(f"{checkpoint.name}."):
            old.unlink()
