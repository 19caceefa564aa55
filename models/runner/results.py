"""`summary_dir/test/results.csv`: one line for each evaluated checkpoint, and the best of them kept."""

import csv
import json
import os
from pathlib import Path

from models.runner.evaluation import Result

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
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(draft, self.path)
        return best is None or result.wrong < best


def keep_best(folder: Path, checkpoint: str, step: int, result: Result, config: dict | None) -> None:
    """Links the best checkpoint and its config into `folder`, so that pruning does not take it, and names it there."""
    folder.mkdir(exist_ok=True)
    for ending in (".data-00000-of-00001", ".index"):
        target = folder / f"model.ckpt-{step}{ending}"
        target.unlink(missing_ok=True)
        try:
            os.link(checkpoint + ending, target)
        except PermissionError:  # a file system without hard links
            target.write_bytes(Path(checkpoint + ending).read_bytes())
    if config:
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    draft = folder / f".best.{os.getpid()}"
    draft.write_text(json.dumps({"step": step, "wrong": result.wrong, "percent": result.percent}) + "\n")
    os.replace(draft, folder / "best.json")
    for old in folder.glob("model.ckpt-*"):
        if not old.name.startswith(f"model.ckpt-{step}."):
            old.unlink()
