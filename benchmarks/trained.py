"""The table of networks that were trained to the end, and `docs/results.md`, whose tables are made from it.

    python benchmarks/trained.py                                          writes docs/results.md anew
    python benchmarks/trained.py --add=RUN --table=mnist --network=NAME   first adds a finished run of experiment.py
    python benchmarks/trained.py --compare NAME NAME                      McNemar's exact test of two networks

A row of `results/trained.csv` is one run. Its error is that of the last step on the test set, which `experiment.py`
evaluates when training ends: no checkpoint is chosen by its test error. A run made with `--validate` has the error on
the held-out part too, and its test error once `experiment.py --train=false --summary_dir=RUN` has evaluated it; before
that, the held-out part stands in for the test set. `results/published.csv` holds the figures of others, and
`results/wrong.csv` the wrong answers of runs that wrote `--predictions=RUN/predictions.npz`, as INDEX:ANSWER.
"""

import argparse
import csv
import re
import statistics
import sys
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, get_type_hints

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from input_data.formats.files import atomic_write
from runner.startup import use_tensorflow

ROOT = Path(__file__).resolve().parents[1]
TRAINED, PUBLISHED = (ROOT / "benchmarks" / "results" / f"{name}.csv" for name in ("trained", "published"))
WRONG = "wrong.csv"  # in the folder of the table
PAGE = ROOT / "docs" / "results.md"
_HELD_OUT = ", held out"  # ends the name of a test set for which the held-out part stands in
_COMMAND = "python experiment.py --data_dir=D --summary_dir=S "  # begins each; the page has what follows
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)  # of the page


class Run(NamedTuple):
    """One run: `table` is the block of the page, `minutes` are those of training, errors are in percent."""

    table: str
    network: str
    seed: int
    steps: int
    batch_size: int
    minutes: float
    validation_error: str
    test_set: str
    test_size: int
    test_wrong: int
    test_error: float
    hparams: str
    command: str
    commit: str
    machine: str


class Published(NamedTuple):
    """A figure of others: the error in percent as they write it, where, and how its step was chosen."""

    table: str
    network: str
    error: str
    source: str
    chosen: str


class Wrong(NamedTuple):
    """The wrong answers of a run: the index in the test set and the answer of each, INDEX:ANSWER or INDEX:ONE+OTHER."""

    table: str
    network: str
    seed: int
    steps: int
    wrong: str


def read(path: Path, kind: type) -> list:
    """The rows of a table, as objects of `kind`; empty if there is no table."""
    if not path.exists():
        return []
    types = get_type_hints(kind)
    with path.open(newline="", encoding="utf-8") as file:
        return [kind(**{name: types[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]


def add(folder: Path, table: str, network: str, path: Path | None = None) -> None:
    """Adds a finished run to `trained.csv` or another file, in place of one of the same network, seed and steps.

    Raises:
        ValueError: it has not been evaluated at its last step.
    """
    row, path = describe(folder, table, network), path or TRAINED
    _replace(path, row, "table", "network", "steps", "seed", "test_set")
    if (folder / "predictions.npz").is_file():
        wrong = Wrong(table, network, row.seed, row.steps, wrong_answers(folder / "predictions.npz"))
        _replace(path.with_name(WRONG), wrong, "table", "network", "steps", "seed")


def _replace(path: Path, row: Run | Wrong, *key: str) -> None:
    """Writes a row into a table that is sorted by the columns `key`, in place of one that has the same there."""
    identity = attrgetter(*key)
    rows = [row, *(each for each in read(path, type(row)) if identity(each) != identity(row))]
    with atomic_write(path) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([row._fields, *sorted(rows, key=identity)])


def wrong_answers(path: Path) -> str:
    """The wrong answers in a file of --predictions, see `Wrong`."""
    with np.load(path, allow_pickle=False) as file:
        labels, answers = (np.sort(file[name], axis=1) for name in ("labels", "predictions"))
    wrong = np.flatnonzero((labels != answers).any(axis=1))
    return " ".join(f"{index}:{'+'.join(map(str, answers[index]))}" for index in wrong)


def compare(one: str, other: str, rows: list[Wrong]) -> Iterator[str]:
    """A line with McNemar's exact test for each two runs of two networks that have the table and the seed in common."""
    from scipy.stats import binomtest

    for a in (row for row in rows if row.network == one):
        for b in (row for row in rows if (row.network, row.table, row.seed) == (other, a.table, a.seed)):
            missed = [{answer.partition(":")[0] for answer in row.wrong.split()} for row in (a, b)]
            first, second = len(missed[0] - missed[1]), len(missed[1] - missed[0])
            p = binomtest(first, first + second).pvalue if first + second else 1.0
            counts = f"{len(missed[0])} wrong after {a.steps:,} steps, {len(missed[1])} after {b.steps:,}"
            yield f"Seed {a.seed}: {counts}; {first} only by the first, {second} only by the second, p = {p:.2g}"


def describe(folder: Path, table: str, network: str) -> Run:
    """The row of a finished run, from what it left in its folder."""
    from benchmarks.train_step import device_name
    from runner import config, results
    from tools.ship import recipe

    saved = config.read(folder / "train")
    evaluated = {(row.split, row.step): row for row in results.read(folder / "test") if row.weights != "last"}
    last = saved.flags["max_steps"] if saved else None
    held_out = evaluated.get(("validation", last))
    test = evaluated.get(("test", last), held_out)
    if saved is None or test is None:
        raise ValueError(f"{folder} has no result of its last step. Let experiment.py finish it first.")
    return Run(
        table=table,
        network=network,
        seed=saved.flags["seed"],
        steps=last,
        batch_size=saved.flags["batch_size"],
        minutes=round(test.minutes, 1),
        validation_error=f"{held_out.percent:.2f}" if held_out else "",
        test_set=saved.flags["dataset"] + (_HELD_OUT if test is held_out else ""),
        test_size=test.size,
        test_wrong=test.wrong,
        test_error=round(test.percent, 4),
        hparams=saved.flags["hparams_override"] or "",
        command=recipe(saved).replace(f"{ROOT}/", ""),
        commit=(saved.git_commit or "")[:7],
        machine=device_name(),
    )


def page(text: str, runs: list[Run], published: list[Published]) -> str:
    """The page with each of its blocks filled anew."""
    return _BLOCK.sub(lambda block: block[1] + _table(block[2], runs, published) + block[3], text)


def _table(name: str, runs: list[Run], published: list[Published]) -> str:
    columns_of = attrgetter("network", "steps", "batch_size")
    runs = sorted((run for run in runs if run.table == name), key=columns_of)
    both = any(run.validation_error and not run.test_set.endswith(_HELD_OUT) for run in runs)
    rows = []
    for (network, steps, batch), group in groupby(runs, columns_of):
        seeds = list(group)
        errors = [run.test_error for run in seeds]
        spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
        wrong = ", ".join(f"{run.test_wrong:,}" for run in seeds)
        size = "" if seeds[0].test_size == 10_000 else f" of {seeds[0].test_size:,}"  # of most test sets
        validation = [", ".join(run.validation_error for run in seeds)] * both
        length = f"{steps:,}" if batch == 128 else f"{steps:,} × {batch}"  # as the page says
        minutes = f"{statistics.mean(run.minutes for run in seeds):.2g}"
        rows.append([network, length, minutes, *validation, wrong + size, f"{statistics.mean(errors):.2f}{spread}"])
    columns = ["Network", "Steps", "Minutes", *["Held out, in %"] * both, "Wrong, each seed", "Error in %"]
    lines = markdown(columns, rows)
    theirs: dict[str, list[str]] = {}
    for figure in (each for each in published if each.table == name):
        source = "; ".join(filter(None, (figure.source, figure.chosen)))
        theirs.setdefault(source, []).append(f"{figure.network}: {figure.error}")
    lines += ["", "Published, in %:", ""] * bool(theirs)
    lines += ["- " + ";\n  ".join(figures) + f" ({source})" for source, figures in theirs.items()]
    flags = (re.sub(r" --(seed|save_step|eval_every)=\d+", "", run.command.removeprefix(_COMMAND)) for run in runs)
    return "\n".join([*lines, *(["", "```", *sorted({*flags}), "```"] if runs else []), ""])


def markdown(columns: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["".join(f"| {cell} " if cell else "| " for cell in line) + "|" for line in lines]


def main() -> None:
    """Compares two networks, or adds a run if one is given and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", type=Path, metavar="RUN", help="a finished run's folder")
    parser.add_argument("--table", help="the block of docs/results.md that it belongs to")
    parser.add_argument("--network", help="its name there; runs of other seeds have the same")
    parser.add_argument("--compare", nargs=2, metavar="NAME", help="two networks whose wrong answers are kept")
    options = parser.parse_args()
    if options.compare:
        print("\n".join(compare(*options.compare, read(TRAINED.with_name(WRONG), Wrong))) or "No runs to compare.")
        return
    if options.add:
        use_tensorflow()
        if not (options.table and options.network):
            parser.error("--add needs --table and --network")
        try:
            add(options.add, options.table, options.network)
        except ValueError as error:
            sys.exit(str(error))
    text = PAGE.read_text(encoding="utf-8")
    with atomic_write(PAGE) as (draft,):
        draft.write_text(page(text, read(TRAINED, Run), read(PUBLISHED, Published)), encoding="utf-8")


if __name__ == "__main__":
    main()
