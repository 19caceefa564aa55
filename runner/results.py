"""`summary_dir/test/results.csv`, the memory of a run: a line for each evaluation, from which the best is chosen.

The best checkpoint has the lowest error on held-out data: choosing it on the test set would make the reported test
error too low. It is linked into `test/best`, where pruning does not delete it.
"""

import csv
import json
import math
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from input_data.formats.files import atomic_write
from input_data.progress import say
from runner import checkpoints
from runner import config as saved_config
from runner.evaluation import Result
from runner.flags import UserError
from runner.summaries import write_test_summaries

TABLE = "results.csv"
_HELD_OUT = "validation"
_LAST = "last"


@dataclass(frozen=True)
class Row:
    """The result of one checkpoint on one split.

    The attributes are the columns of the table; `percent` is the percentage of `wrong` among the `size` examples,
    `checkpoint` its path from the run's folder or a whole path, `weights` averaged or last where a run keeps both, and
    `minutes` the time of training until then.
    """

    step: int
    split: str
    size: int
    wrong: int
    almost_wrong: int
    percent: float
    loss: float
    checkpoint: str = ""
    weights: str = ""
    minutes: float = 0.0

    def is_like(self, other: "Row") -> bool:
        """Whether both are the result of the same evaluation."""
        names = ("split", "size", "checkpoint", "weights")
        return all(getattr(self, name) == getattr(other, name) for name in names)


_TYPES: dict[str, type] = get_type_hints(Row)


def read(folder: Path, table: str = TABLE) -> list[Row]:
    """The rows of a folder's table; empty if there is no table. Older tables lack the last columns."""
    path, rows = Path(folder) / table, []
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets add a byte order mark
            for line in csv.DictReader(file):
                values = {name: _TYPES[name](line[name]) for name in _TYPES if line.get(name) is not None}
                row = Row(**{"checkpoint": f"train/model.ckpt-{values.get('step')}"} | values)
                if not math.isclose(row.percent, 100 * row.wrong / row.size, rel_tol=1e-4, abs_tol=1e-4):
                    raise ValueError(f"{row.wrong} of {row.size} wrong are not {row.percent} percent")
                rows.append(row)
    except (csv.Error, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(
            f"{path} is not a table of results as this program writes it: line {len(rows) + 2}: {error}. "
            "Move it away or repair it."
        ) from None
    return rows


def append(folder: Path, row: Row, table: str = TABLE) -> None:
    """Adds a row to a folder's table, unless it has one of the same evaluation."""
    rows = read(folder, table)
    if any(row.is_like(each) for each in rows):
        return
    with atomic_write(Path(folder) / table) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)])
        writer.writeheader()
        for each in (*rows, row):
            writer.writerow(asdict(each) | {"percent": f"{each.percent:.6g}", "loss": f"{each.loss:.8g}"})


def make_row(run: Path, checkpoint: str, step: int, split: str, result: Result, weights: str = "") -> Row:
    """The row of a result; `run` is the folder from which the checkpoint's path is given."""
    path, root = Path(checkpoint).absolute(), Path(run).absolute()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    numbers = result.size, result.wrong, result.almost_wrong, result.percent, result.loss
    return Row(step, split, *numbers, name, weights, round(checkpoints.minutes(checkpoint), 2))


def steps(folder: Path, split: str) -> set[int]:
    """The steps of a run's own checkpoints that have a result."""
    return {row.step for row in read(folder) if row.split == split and _is_own(row) and row.weights != _LAST}


def _is_own(row: Row) -> bool:
    return row.checkpoint == f"train/model.ckpt-{row.step}"


def record(folder: Path, checkpoint: str, step: int, split: str, result: Result, weights: str = "") -> None:
    """Adds a checkpoint's result to the table and to TensorBoard, and keeps the checkpoint if it is the best.

    The checkpoint is kept before its row is written: if the program is killed in between, the step is evaluated again.

    Args:
        folder: `summary_dir/test`.
        checkpoint: the checkpoint's prefix.
        step: its step.
        split: "test" or "validation"; the best is chosen on the latter.
        result: the result of the evaluation.
        weights: see `Row`.
    """
    row = make_row(Path(folder).parent, checkpoint, step, split, result, weights)
    if any(row.is_like(each) for each in read(folder)):
        return
    if (best := _best([*read(folder), row], folder)) == row:
        _link(best, folder)
    append(folder, row)
    if _is_own(row) and weights != _LAST:
        write_test_summaries(Path(folder).parent / split, step, result)
    keep_best(folder)


def _best(rows: list[Row], folder: Path) -> Row | None:
    """The lowest row on held-out data whose checkpoint exists."""
    held_out = [row for row in rows if row.split == _HELD_OUT and _is_own(row) and row.weights != _LAST]
    for row in sorted(held_out, key=lambda row: (row.percent, row.step)):
        folders = Path(folder).parent / "train", Path(folder) / "best"
        if any(row.step in checkpoints.steps(each) for each in folders):
            return row
    return None


def keep_best(folder: Path) -> None:
    """Makes `test/best` hold the best checkpoint and no other, also after a kill; `folder` is `summary_dir/test`."""
    best, kept = _best(read(folder), folder), Path(folder) / "best"
    if best is None:
        return
    try:
        if best.step not in checkpoints.steps(kept):
            _link(best, folder)
        if (config := saved_config.read(Path(folder).parent / "train")) is not None:
            saved_config.write(kept, config)
    except FileNotFoundError:  # pruned since it was read
        return
    with atomic_write(kept / "best.json") as (draft,):  # for people and scripts; this program reads the table
        draft.write_text(json.dumps({"step": best.step, "percent": best.percent}) + "\n")
    for path in kept.glob("model.ckpt-*"):
        if not path.name.startswith(f"model.ckpt-{best.step}."):
            path.unlink()


def _link(row: Row, folder: Path) -> None:
    """Links a checkpoint's files into `test/best`, or copies them where the file system has no links."""
    target = Path(folder) / "best"
    target.mkdir(parents=True, exist_ok=True)
    for source in checkpoints.files(str(Path(folder).parent / row.checkpoint)):
        path = target / source.name
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except FileNotFoundError:
            if source.suffix != ".sha256":  # an older version did not write it
                raise
        except OSError:
            with atomic_write(path) as (draft,):
                shutil.copyfile(source, draft)


def begin(folder: Path) -> None:
    """Moves the results of an earlier run, whose checkpoints were removed, out of the way of a new one."""
    folder = Path(folder)
    if not (folder / "best").exists() and not any(_is_own(row) for row in read(folder)):
        return
    count = 1
    while (earlier := folder / f"earlier-{count}").exists():
        count += 1
    earlier.mkdir()
    for name in (TABLE, "best"):
        if (folder / name).exists():
            (folder / name).rename(earlier / name)
    say(f"The results of an earlier run in {folder} were moved to {earlier}.")
