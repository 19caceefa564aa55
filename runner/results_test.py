"""The table of results is the memory of a run, and the best held-out checkpoint survives anything."""

import os
from contextlib import suppress

import pytest

from runner import results
from runner.evaluation import Result
from runner.flags import UserError
from runner.results import make_row, record

OLD = "step,split,size,wrong,almost_wrong,percent,loss\n"


def result(wrong, size=50):
    return Result(size, wrong, 0, 0.5, {})


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of the steps 1 to 5, which need not be readable here."""
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    for step in range(1, 6):
        for ending in ("index", "data-00000-of-00001", "sha256"):
            (tmp_path / f"train/model.ckpt-{step}.{ending}").write_text(f"{step} {ending}")
    return tmp_path


def keep(run, step, wrong, size=50, split="validation", weights=""):
    record(run / "test", make_row(run, f"{run}/train/model.ckpt-{step}", step, split, result(wrong, size), weights))


def kept(run):
    names = sorted(path.name for path in (run / "test/best").glob("model*"))
    (step,) = {int(name.split(".")[1].removeprefix("ckpt-")) for name in names}
    assert len(names) == 3
    return step


def test_the_best_has_the_lowest_rate_and_not_the_lowest_count(run):
    keep(run, 1, 42, size=50)
    keep(run, 2, 354, size=3000)
    assert kept(run) == 2
    keep(run, 3, 40, size=50)
    assert kept(run) == 2
    keep(run, 4, 2, size=50)
    keep(run, 4, 1, size=50)  # the newest of the same evaluation counts
    assert kept(run) == 4 and [row.wrong for row in results.read(run / "test")] == [42, 354, 40, 1]


def test_no_best_is_chosen_on_the_test_split_nor_from_elsewhere_nor_of_last_weights(run, tmp_path):
    keep(run, 1, 5, split="test")
    record(run / "test", make_row(run, str(tmp_path / "other/model.ckpt-2"), 2, "validation", result(1)))
    keep(run, 3, 1, weights="last")
    assert not (run / "test/best").exists()
    assert results.steps(run / "test", "test") == {1} and results.steps(run / "test", "validation") == set()
    keep(run, 3, 9, weights="averaged")
    assert kept(run) == 3


def test_the_best_is_the_lowest_row_whose_checkpoint_exists(run):
    for step, wrong in ((1, 20), (2, 10), (3, 30)):
        keep(run, step, wrong)
    for folder in ("train", "test/best"):
        for path in (run / folder).glob("model.ckpt-2.*"):
            path.unlink()
    results.keep_best(run / "test")
    assert kept(run) == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_the_best_is_right_after_a_kill_at_any_file_operation(run, monkeypatch):
    keep(run, 1, 20)
    table = (run / "test/results.csv").read_text()
    calls, stop = [0], [10**9]

    def dying(real):
        def operation(*arguments, **options):
            calls[0] += 1
            if calls[0] > stop[0]:
                raise Killed
            return real(*arguments, **options)

        return operation

    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    for moment in range(12):
        calls[0], stop[0] = 0, moment
        with suppress(Killed):
            keep(run, 2, 10)
        stop[0] = 10**9
        keep(run, 2, 10)  # a restart evaluates again what has no row
        results.keep_best(run / "test")
        assert kept(run) == 2, moment
        assert [row.step for row in results.read(run / "test")] == [1, 2]
        (run / "test/results.csv").write_text(table)
        results.keep_best(run / "test")
        assert kept(run) == 1


def test_a_new_training_inherits_neither_rows_nor_best(run, capsys):
    keep(run, 1, 20)
    results.begin(run / "test")
    assert results.read(run / "test") == [] and not (run / "test/best").exists()
    assert "results of an earlier run" in capsys.readouterr().out
    assert [row.step for row in results.read(run / "test/earlier-1")] == [1]
    results.begin(run / "test")
    assert not (run / "test/earlier-2").exists()


def test_a_table_of_an_older_version_or_from_a_spreadsheet_is_read(tmp_path):
    text = "\ufeff" + OLD + "1,validation,50,20,0,40,0.5\n\n"
    (tmp_path / "results.csv").write_bytes(text.replace("\n", "\r\n").encode())
    (row,) = results.read(tmp_path)
    assert (row.step, row.split, row.percent, row.checkpoint) == (1, "validation", 40.0, "train/model.ckpt-1")


@pytest.mark.parametrize("lines", [
    "1;validation;50;20;0;40;0.5\n", '1,validation,50,1,0,"2,0",0.5\n', "2,validation\n",
    "x,validation,50,20,0,40,0.5\n",
])  # fmt: skip
def test_a_table_that_is_not_ours_is_refused_with_its_name(lines, tmp_path):
    (tmp_path / "results.csv").write_text(OLD + lines)
    with pytest.raises(UserError, match=r"results.csv is not a table of results as this program writes it: line 2"):
        results.read(tmp_path)
