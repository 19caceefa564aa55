"""Writes `summary_dir/test/results.csv`, with a line for each evaluated checkpoint, and keeps the best checkpoint.

The best is chosen on the held-out split only: choosing it on the test set would make the reported test error too low.
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
from runner import checkpoints
from runner.bundle import INDEX
from runner.config import read as read_config
from runner.config import write as write_config
from runner.evaluation import Result
from runner.summaries import write_test_summaries

_HELD_OUT = "validation"
_SPLITS = (_HELD_OUT, "test")
_LARGEST = 1 << 26  # bytes of a table
_BEST = "best.json"


@dataclass(frozen=True)
class Row:
    """The result of one checkpoint on one split.

    The attributes are the columns of the table; `percent` is the percentage of `wrong` among the `size` examples.
    """

    step: int
    split: str
    size: int
    wrong: int
    almost_wrong: int
    percent: float
    loss: float


COLUMNS = tuple(field.name for field in fields(Row))
_TYPES: dict[str, type] = get_type_hints(Row)


def read(folder: Path) -> list[Row]:
    """The rows of a folder's table; empty if there is no table.

    Raises:
        ValueError: the table is damaged, or a spreadsheet has changed its format; the message names the file, the line
            and the value.
    """
    path = Path(folder) / "results.csv"
    if not path.is_file():
        return []
    if path.stat().st_size > _LARGEST:
        raise _not_a_table(path, f"it has more than {_LARGEST:,} bytes")
    rows: list[Row] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets add a byte order mark
            lines = csv.reader(file)
            header = next(lines, [])
            if tuple(header) != COLUMNS:
                raise ValueError(f"its first line should be {','.join(COLUMNS)}. Received: {','.join(header)[:100]}")
            for line in lines:
                if line:
                    rows.append(_parse(line))
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        where = f"line {len(rows) + 2}: " if rows else ""
        raise _not_a_table(path, f"{where}{error}") from None
    return rows


def _not_a_table(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is not a table of results as this program writes it: {reason}. Move it away or repair it."
    )


def _parse(line: list[str]) -> Row:
    if len(line) != len(COLUMNS):
        raise ValueError(f"expected {len(COLUMNS)} values, received {len(line)}")
    values: dict = {}
    for field, text in zip(fields(Row), line, strict=True):
        is_integer = _TYPES[field.name] is int
        if is_integer and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ValueError(f"{field.name} should be a whole number, received {text[:40]!r}")
        try:
            values[field.name] = _TYPES[field.name](text)
        except ValueError:
            raise ValueError(f"{field.name} should be a number, received {text[:40]!r}") from None
    row = Row(**values)
    if row.split not in _SPLITS:
        raise ValueError(f"split should be {' or '.join(_SPLITS)}, received {row.split[:40]!r}")
    if not row.almost_wrong <= row.wrong <= row.size or not row.size:
        raise ValueError(f"{row.wrong} wrong and {row.almost_wrong} almost wrong do not fit {row.size} examples")
    if not math.isclose(row.percent, 100 * row.wrong / row.size, rel_tol=1e-4, abs_tol=1e-4):
        raise ValueError(f"{row.wrong} of {row.size} wrong are not {row.percent} percent")
    return row


class Results:
    """The table, which is read once and rewritten with each new result.

    Args:
        folder: `summary_dir/test`.
        split: the split that is evaluated, "test" or "validation"; the table holds both.
    """

    def __init__(self, folder: Path, split: str):
        self.folder, self.split = Path(folder), split
        self.rows = read(folder)

    def steps(self) -> set[int]:
        """The steps that have a result."""
        return {row.step for row in self.rows if row.split == self.split}

    def add(self, step: int, result: Result) -> None:
        """Adds a checkpoint's result."""
        row = Row(step, self.split, result.size, result.wrong, result.almost_wrong, result.percent, result.loss)
        with atomic_write(self.folder / "results.csv") as (draft,), draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for each in (*self.rows, row):
                writer.writerow(asdict(each) | {"percent": f"{each.percent:.6g}", "loss": f"{each.loss:.8g}"})
        self.rows.append(row)


def record(folder: Path, checkpoint: str, step: int, split: str, result: Result) -> None:
    """Adds a checkpoint's result to the table and to TensorBoard, once, and keeps the checkpoint if it is the best.

    The checkpoint is kept before its row is written: if the program is killed in between, the step is evaluated again.

    Args:
        folder: `summary_dir/test`.
        checkpoint: the checkpoint's prefix.
        step: its step.
        split: "test" or "validation"; the best is chosen on the latter.
        result: the result of the evaluation.
    """
    results = Results(folder, split)
    if step in results.steps():
        return
    write_test_summaries(folder, step, result)
    if split == _HELD_OUT:
        repair_best(folder, Path(checkpoint).parent)
        best = read_best(folder)
        if best is None or result.percent < best[1]:
            _keep_best(folder / "best", Path(checkpoint), step, result.percent)
    results.add(step, result)


def read_best(folder: Path) -> tuple[int, float] | None:
    """The step and the error in percent of the best checkpoint; None if there is none.

    Args:
        folder: `summary_dir/test`.
    """
    try:
        content = json.loads((Path(folder) / "best" / _BEST).read_bytes()[:10_000])
        step, percent = content["step"], float(content["percent"])
        if type(step) is not int or not 0 <= percent <= 100:
            return None
    except (OSError, KeyError, RecursionError, TypeError, ValueError):
        return None  # a new one is chosen
    return (step, percent) if step in checkpoints.steps(Path(folder) / "best") else None


def repair_best(folder: Path, train_dir: Path) -> None:
    """Repairs the folder of the best checkpoint after a kill: only the best stays in it.

    A lost one is chosen again from the rows of the table whose checkpoints still exist.

    Args:
        folder: `summary_dir/test`.
        train_dir: `summary_dir/train`.
    """
    best = read_best(folder)
    if best is not None:
        _remove_others(Path(folder) / "best", best[0])
        return
    rows = [row for row in read(folder) if row.split == _HELD_OUT]
    for row in sorted(rows, key=lambda row: (row.percent, row.step)):
        checkpoint = Path(checkpoints.prefix(train_dir, row.step))
        if Path(f"{checkpoint}{INDEX}").is_file():
            _keep_best(Path(folder) / "best", checkpoint, row.step, row.percent)
            return


def _keep_best(folder: Path, checkpoint: Path, step: int, percent: float) -> None:
    """Links a checkpoint and its config into `folder`, where pruning does not delete it, and writes its step there."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for ending in (".data-00000-of-00001", INDEX):
            _link(Path(f"{checkpoint}{ending}"), folder / f"{checkpoint.name}{ending}")
    except FileNotFoundError:  # pruned since it was read
        return
    if (config := read_config(checkpoint.parent)) is not None:
        write_config(folder, config)
    with atomic_write(folder / _BEST) as (draft,):
        draft.write_text(json.dumps({"step": step, "percent": percent}) + "\n")
    _remove_others(folder, step)


def _remove_others(folder: Path, step: int) -> None:
    for path in folder.glob("model.ckpt-*"):
        if not path.name.startswith(f"model.ckpt-{step}."):
            path.unlink()


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        with atomic_write(target) as (draft,):
            shutil.copyfile(source, draft)
