"""`summary_dir/test/results.csv`, the memory of a run: a line for each evaluation, from which the best is chosen.

The best checkpoint has the lowest error on held-out data: choosing it on the test set would make the reported test
error too low. It is copied into `test/best`, where pruning does not delete it.
"""

import csv
import itertools
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import get_type_hints

from input_data.formats.files import atomic_write
from input_data.progress import say
from runner import checkpoints
from runner.evaluation import Result
from runner.flags import UserError
from runner.summaries import Events

TABLE = "results.csv"


@dataclass(frozen=True)
class Row:
    """The result of one checkpoint on one split.

    The attributes are the columns of the table; `percent` is the percentage of `wrong` among the `size` examples,
    `checkpoint` its path from the run's folder or a whole path, `weights` averaged or last where a run keeps both, or
    the hparams that an evaluation changed, and `minutes` the time of training until then.
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

    @property
    def counts(self) -> bool:
        """Whether it is of the run's own checkpoint, with the weights that are used."""
        return self.checkpoint == f"train/model.ckpt-{self.step}" and self.weights in ("", "averaged")


def read(folder: Path, table: str = TABLE) -> list[Row]:
    """The rows of a folder's table; empty if there is no table. Older tables lack the last columns."""
    path, rows, types = Path(folder) / table, [], get_type_hints(Row)
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets add a byte order mark
            for line in csv.DictReader(file):
                values = {name: kind(line[name]) for name, kind in types.items() if line.get(name) is not None}
                rows.append(Row(**{"checkpoint": f"train/model.ckpt-{values.get('step')}"} | values))
    except (csv.Error, TypeError, ValueError) as error:
        reason = f"is not a table of results as this program writes it: line {len(rows) + 2}: {error}."
        raise UserError(f"{path} {reason} Move it away or repair it.") from None
    return rows


def append(folder: Path, row: Row, table: str = TABLE) -> bool:
    """Adds a row to a folder's table, in place of one of the same evaluation; returns whether the table changed."""
    rows, key = read(folder, table), attrgetter("split", "size", "checkpoint", "weights")
    alike = [each for each in rows if key(each) == key(row)]
    if any(each.wrong == row.wrong for each in alike):
        return False
    with atomic_write(Path(folder) / table) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)])
        writer.writeheader()
        for each in (*(each for each in rows if key(each) != key(row)), row):
            writer.writerow(asdict(each) | {"percent": f"{each.percent:.6g}", "loss": f"{each.loss:.8g}"})
    return True


def make_row(run: Path, checkpoint: str, step: int, split: str, result: Result, weights: str = "") -> Row:
    """The row of a checkpoint's result; `run` is the folder from which its path is given, `weights` are as in `Row`."""
    path, root = Path(checkpoint).absolute(), Path(run).absolute()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    numbers = result.size, result.wrong, result.almost_wrong, result.percent, result.loss
    return Row(step, split, *numbers, name, weights, round(checkpoints.minutes(checkpoint), 3))


def steps(folder: Path, split: str) -> set[int]:
    """The steps of a run's own checkpoints that have a result."""
    return {row.step for row in read(folder) if row.split == split and row.counts}


def record(folder: Path, row: Row) -> None:
    """Adds a row to the table of `summary_dir/test` and to TensorBoard, and keeps the checkpoint if it is the best."""
    if append(folder, row):
        if row.counts:
            scalars = {
                "correct_prediction": row.size - row.wrong,
                "wrong_prediction": row.wrong,
                "almost_wrong_prediction": row.almost_wrong,
                # Tags of training too, so that TensorBoard draws both in one chart.
                "accuracy": 1 - row.wrong / row.size,
                "total_loss": row.loss,
            }
            Events(Path(folder).parent / row.split).write(row.step, scalars)
        keep_best(folder)


def keep_best(folder: Path) -> None:
    """Makes `test/best` hold the best checkpoint and no other, also after a kill; `folder` is `summary_dir/test`.

    The best is the lowest row on held-out data whose checkpoint exists.
    """
    train, kept, steps = Path(folder).parent / "train", Path(folder) / "best", checkpoints.steps
    there = {*steps(train), *steps(kept)}
    rows = [row for row in read(folder) if row.split == "validation" and row.counts and row.step in there]
    if not rows:
        return
    best = min(rows, key=lambda row: (row.percent, row.step))
    if best.step not in steps(kept):
        kept.mkdir(exist_ok=True)
        for source in (train / "config.json", *checkpoints.files(checkpoints.prefix(train, best.step))):
            with suppress(FileNotFoundError), atomic_write(kept / source.name) as (draft,):
                shutil.copyfile(source, draft)  # the index last, as in a save
        if best.step not in steps(kept):
            return  # pruned since it was read
    for path in kept.glob("model.ckpt-*"):
        if not path.name.startswith(f"model.ckpt-{best.step}."):
            path.unlink()


def begin(folder: Path) -> None:
    """Moves the results of an earlier run, whose checkpoints were removed, out of the way of a new one."""
    if not (folder / "best").exists() and not any(row.counts for row in read(folder)):
        return
    earlier = next(path for count in itertools.count(1) if not (path := folder / f"earlier-{count}").exists())
    earlier.mkdir()
    for path in filter(Path.exists, (folder / TABLE, folder / "best", *folder.parent.glob("events.*"))):
        path.rename(earlier / path.name)
    say(f"The results of an earlier run in {folder} were moved to {earlier}.")
