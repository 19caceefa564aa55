"""The page of results is what its tables say, and a row is what its run left behind."""

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import trained
from models.hparams import HParams
from runner import config, results
from runner.config import RunConfig
from runner.evaluation import Result

RUNS = trained.read(trained.RESULTS / trained.TRAINED)


def test_the_page_is_made_from_the_tables():
    text = trained.PAGE.read_text(encoding="utf-8")
    assert trained.page(text, RUNS, trained.read(trained.RESULTS / "published.csv")) == text
    shown = set(re.findall(r"<!-- table: (\w+) -->", text))
    elsewhere = {"law"}  # docs/what-routing-does.md
    assert {run["table"] for run in RUNS} - elsewhere <= shown, "a table of the results has no block in the page"


def test_rows_are_consistent_and_can_be_repeated():
    for run in RUNS:
        assert run["test_error"] == pytest.approx(100 * run["test_wrong"] / run["test_size"], abs=1e-4)
        assert re.fullmatch("[0-9a-f]{7}", run["commit"]) and run["machine"] and run["minutes"] > 0
        given = dict(re.findall(r"--(\w+)=(\S+)", run["command"]))
        defaults = {"max_steps": ("steps", 1000), "seed": ("seed", 0), "hparams_override": ("hparams", "")}
        for flag, (column, default) in defaults.items():
            assert given.get(flag, str(default)) == str(run[column])
        HParams().override(run["hparams"])


@pytest.fixture
def finished(tmp_path):
    """What a run of 20 steps leaves in its folder: 3 of 200 wrong after 0.21 minutes."""
    flags = RunConfig(summary_dir=str(tmp_path), max_steps=20, batch_size=16, seed=3, hparams_override="routing=2")
    network = {"model": "capsule", "dataset": "mnist", "num_targets": 1}
    saved = config.NetworkConfig(vars(flags) | network, HParams(routing=2), (28, 28, 1), tuple("0123456789"))
    (tmp_path / "train").mkdir()
    config.write(tmp_path / "train", saved)
    (tmp_path / "test").mkdir()
    row = results.make_row(tmp_path, str(tmp_path / "train/model.ckpt-20"), 20, "test", Result(200, 3, 1, 0.5, {}))
    results.append(tmp_path / "test", replace(row, minutes=0.21))
    return tmp_path


def test_a_run_becomes_a_row_and_the_row_a_line(finished, tmp_path):
    for _ in range(2):  # the second replaces the first
        trained.add(finished, "mnist", "CapsNet", tmp_path)
    (row,) = trained.read(tmp_path / trained.TRAINED)
    assert [row[name] for name in ("seed", "steps", "test_wrong", "test_error", "minutes")] == [3, 20, 3, 1.5, 0.2]
    assert list(row) == list(RUNS[0])
    assert row["command"] == (
        "python experiment.py --data_dir=D --summary_dir=S "
        "--hparams_override=routing=2 --seed=3 --max_steps=20 --batch_size=16"
    )
    text = "before\n<!-- table: mnist -->\nold\n<!-- end of table -->\nafter\n"
    published = {"table": "mnist", "network": "CapsNet", "error": "0.25", "source": "the paper", "chosen": "best"}
    page = trained.page(text, [row], [published])
    assert "| CapsNet | 20 × 16 | 0.2 | 3 of 200 | 1.50 |" in page and "old" not in page
    assert "- CapsNet: 0.25 (the paper; best)" in page
    assert page.startswith("before\n") and page.endswith("<!-- end of table -->\nafter\n")
    assert "| 3, 5 of 200 | 2.00 ± 0.71 |" in trained.page(text, [row, row | {"test_error": 2.5, "test_wrong": 5}], [])
    (finished / "test" / "results.csv").unlink()
    with pytest.raises(SystemExit, match="no result of its last step"):
        trained.describe(finished, "mnist", "CapsNet")


def test_wrong_answers_are_kept_and_compared(finished, tmp_path):
    labels, answers = np.array([[1], [2], [3]]), np.array([[1], [0], [4]])
    for name, said in (("one", answers), ("other", np.array([[1], [2], [4]])), ("one", answers)):
        np.savez(finished / "predictions.npz", labels=labels, predictions=said)
        trained.add(finished, "mnist", name, tmp_path)
    rows = trained.read(tmp_path / trained.WRONG)
    assert [(row["network"], row["wrong"]) for row in rows] == [("one", "1:0 2:4"), ("other", "2:4")]
    (line,) = trained.compare("one", "other", rows)
    assert "2 wrong after 20 steps, 1 after 20; 1 only by the first, 0 only by the second, p = 1" in line
    np.savez(finished / "predictions.npz", labels=[[1, 2], [3, 4]], predictions=[[2, 1], [5, 4]])
    assert trained.wrong_answers(finished / "predictions.npz") == "1:4+5"


def test_a_held_out_part_stands_in_for_a_missing_test_set(finished):
    (finished / "test" / "results.csv").unlink()
    text = "<!-- table: cifar10 -->\n<!-- end of table -->"
    evaluations = {
        "validation": (Result(100, 4, 1, 0.5, {}), ["mnist, held out", 4.0], "| 4 of 100 | 4.00 |"),
        "test": (Result(200, 3, 1, 0.5, {}), ["mnist", 1.5], "| 4.00 | 3 of 200 | 1.50 |"),
    }
    for split, (result, facts, line) in evaluations.items():
        checkpoint = f"{finished}/train/model.ckpt-20"
        results.append(finished / "test", results.make_row(finished, checkpoint, 20, split, result))
        row = trained.describe(finished, "cifar10", "CapsNet")
        assert [row["test_set"], row["test_error"]] == facts and row["validation_error"] == "4.00"
        assert line in trained.page(text, [row], [])
