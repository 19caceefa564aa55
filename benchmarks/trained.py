"""The table of networks that were trained to the end, and `docs/results.md`, whose tables are made from it.

    python benchmarks/trained.py                             writes docs/results.md anew
    python benchmarks/trained.py --add RUN TABLE NETWORK     first adds a finished run of experiment.py to a table
    python benchmarks/trained.py --compare NAME NAME         McNemar's exact test of two networks

A row of `results/trained.csv` is one run: `table` is the block of the page, `minutes` are those of training, and errors
are in percent. They are those of the last step on the test set, which `experiment.py` evaluates when training ends: no
checkpoint is chosen by its test error. A run made with `--validate` has the error on the held-out part too, and its
test error once `experiment.py --train=false --summary_dir=RUN` has evaluated it; before that, the held-out part stands
in for the test set. `results/published.csv` holds the figures of others, with the error as they write it and how its
step was chosen, and `results/wrong.csv` the wrong answers of runs that wrote `--predictions=RUN/predictions.npz`: the
index in the test set and the answer, INDEX:ANSWER or INDEX:ONE+OTHER.
"""

import argparse
import csv
import re
import statistics
import sys
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from input_data.formats.files import atomic_write
from runner.startup import use_tensorflow

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "results.md"
TRAINED, WRONG = "trained.csv", "wrong.csv"  # in a folder of results
_NUMBERS = {"seed": int, "steps": int, "batch_size": int, "minutes": float, "test_size": int, "test_wrong": int}
_NUMBERS |= {"test_error": float, "value": float}  # the columns that hold numbers; the others hold text
_HELD_OUT = ", held out"  # ends the name of a test set for which the held-out part stands in
_COMMAND = "python experiment.py --data_dir=D --summary_dir=S "  # begins each; the page has what follows
_NO_MATTER = re.compile(r" --(seed|save_step|eval_every|max_to_keep)=\d+")  # in a command
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)  # of the page

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """The rows of a table by column; empty if there is no table."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _NUMBERS.get(name, str)(text) for name, text in row.items()} for row in csv.DictReader(file)]


def add(folder: Path, table: str, network: str, results: Path = RESULTS) -> None:
    """Adds a finished run to the tables in `results`, in place of one of the same network, seed and steps."""
    row = describe(folder, table, network)
    _put(results / TRAINED, row, "table", "network", "steps", "seed", "test_set")
    if (folder / "predictions.npz").is_file():
        run = {name: row[name] for name in ("table", "network", "seed", "steps")}
        answers = {"wrong": wrong_answers(folder / "predictions.npz")}
        _put(results / WRONG, run | answers, "table", "network", "steps", "seed")


def _put(path: Path, row: Row, *key: str) -> None:
    """Writes a row into a table that is sorted by the columns `key`, in place of one that has the same there."""
    identity = itemgetter(*key)
    rows = [row, *(each for each in read(path) if identity(each) != identity(row))]
    with atomic_write(path) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=identity))


def wrong_answers(path: Path) -> str:
    """The wrong answers in a file of --predictions, as `wrong.csv` has them."""
    with np.load(path, allow_pickle=False) as file:
        labels, answers = (np.sort(file[name], axis=1) for name in ("labels", "predictions"))
    wrong = np.flatnonzero((labels != answers).any(axis=1))
    return " ".join(f"{index}:{'+'.join(map(str, answers[index]))}" for index in wrong)


def compare(one: str, other: str, rows: list[Row]) -> Iterator[str]:
    """A line with McNemar's exact test for each two runs of two networks that have the table and the seed in common."""
    from scipy.stats import binomtest

    shared = itemgetter("table", "seed")
    for a in (row for row in rows if row["network"] == one):
        for b in (row for row in rows if row["network"] == other and shared(row) == shared(a)):
            missed = [{answer.partition(":")[0] for answer in row["wrong"].split()} for row in (a, b)]
            first, second = len(missed[0] - missed[1]), len(missed[1] - missed[0])
            p = binomtest(first, first + second).pvalue if first + second else 1.0
            counts = f"{len(missed[0])} wrong after {a['steps']:,} steps, {len(missed[1])} after {b['steps']:,}"
            yield f"Seed {a['seed']}: {counts}; {first} only by the first, {second} only by the second, p = {p:.2g}"


def describe(folder: Path, table: str, network: str) -> Row:
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
        sys.exit(f"{folder} has no result of its last step. Let experiment.py finish it first.")
    flags, test_set = saved.flags, saved.flags["dataset"] + _HELD_OUT * (test is held_out)
    row = {"table": table, "network": network, "seed": flags["seed"], "steps": last, "batch_size": flags["batch_size"]}
    row |= {"minutes": round(test.minutes, 1), "validation_error": f"{held_out.percent:.2f}" if held_out else ""}
    row |= {"test_set": test_set, "test_size": test.size, "test_wrong": test.wrong}
    row |= {"test_error": round(test.percent, 4), "hparams": flags["hparams_override"] or ""}
    row |= {"command": recipe(saved).replace(f"{ROOT}/", ""), "commit": (saved.git_commit or "")[:7]}
    return row | {"machine": device_name()}


def page(text: str, runs: list[Row], published: list[Row]) -> str:
    """The page with each of its blocks filled anew."""

    def filled(block: re.Match) -> str:
        own, others = ([row for row in rows if row["table"] == block[2]] for rows in (runs, published))
        return block[1] + "\n".join([*_runs(own), *_figures(others), *_commands(own), ""]) + block[3]

    return _BLOCK.sub(filled, text)


def _runs(runs: list[Row]) -> list[str]:
    """The table of runs, with a line for all seeds of a network."""
    columns_of = itemgetter("network", "steps", "batch_size")
    both = any(run["validation_error"] and not run["test_set"].endswith(_HELD_OUT) for run in runs)
    rows = []
    for (network, steps, batch), group in groupby(sorted(runs, key=columns_of), columns_of):
        seeds = list(group)
        errors, size = [run["test_error"] for run in seeds], seeds[0]["test_size"]
        spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
        wrong = ", ".join(f"{run['test_wrong']:,}" for run in seeds) + f" of {size:,}" * (size != 10_000)
        validation = [", ".join(run["validation_error"] for run in seeds)] * both
        length = f"{steps:,}" if batch == 128 else f"{steps:,} × {batch}"  # as the page says
        minutes = f"{statistics.mean(run['minutes'] for run in seeds):.2g}"
        rows.append([network, length, minutes, *validation, wrong, f"{statistics.mean(errors):.2f}{spread}"])
    return markdown(["Network", "Steps", "Minutes", *["Held out, in %"] * both, "Wrong, each seed", "Error in %"], rows)


def _figures(published: list[Row]) -> list[str]:
    """The list of published figures, those of one source in one item."""
    sources: dict[str, list[str]] = {}
    for figure in published:
        source = "; ".join(filter(None, (figure["source"], figure["chosen"])))
        sources.setdefault(source, []).append(f"{figure['network']}: {figure['error']}")
    items = ["- " + ";\n  ".join(figures) + f" ({source})" for source, figures in sources.items()]
    return ["", "Published, in %:", "", *items] if items else []


def _commands(runs: list[Row]) -> list[str]:
    """The commands of runs, without what all have in common and what changes no result."""
    ends = {_NO_MATTER.sub("", run["command"].removeprefix(_COMMAND)) for run in runs}
    return ["", "```", *sorted(ends), "```"] if ends else []


def markdown(columns: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["".join(f"| {cell} " if cell else "| " for cell in line) + "|" for line in lines]


def main() -> None:
    """Compares two networks, or adds a run if one is given and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--add", nargs=3, metavar=("RUN", "TABLE", "NETWORK"), help="runs that differ only by their "
                        "seeds have the same NETWORK")  # fmt: skip
    parser.add_argument("--compare", nargs=2, metavar="NAME", help="two networks whose wrong answers are kept")
    flags = parser.parse_args()
    if flags.compare:
        print("\n".join(compare(*flags.compare, read(RESULTS / WRONG))) or "No runs to compare.")
        return
    if flags.add:
        use_tensorflow()
        add(Path(flags.add[0]), *flags.add[1:])
    text = page(PAGE.read_text(encoding="utf-8"), *(read(RESULTS / name) for name in (TRAINED, "published.csv")))
    with atomic_write(PAGE) as (draft,):
        draft.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
