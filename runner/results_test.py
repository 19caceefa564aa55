"""The table of results is read whole or refused in one sentence, and the best held-out checkpoint survives anything."""

import errno
import json
import os
import random
from contextlib import suppress

import numpy as np
import pytest

from runner import results
from runner.evaluation import Result
from runner.results import Results, record

HEADER = "step,split,size,wrong,almost_wrong,percent,loss\n"


def result(wrong, size=50):
    return Result(size, wrong, 0, 0.5, {})


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of the steps 1 to 5, which need not be readable here."""
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
    for step in range(1, 6):
        for ending in ("index", "data-00000-of-00001"):
            (tmp_path / f"train/model.ckpt-{step}.{ending}").write_text(f"{step} {ending}")
    return tmp_path


def keep(run, step, wrong, size=50, split="validation"):
    record(run / "test", str(run / f"train/model.ckpt-{step}"), step, split, result(wrong, size))


def kept(run):
    names = sorted(path.name for path in (run / "test/best").glob("model*"))
    (step,) = {int(name.split(".")[1].removeprefix("ckpt-")) for name in names}
    assert len(names) == 2
    assert results.read_best(run / "test")[0] == step
    return step


def test_the_best_has_the_lowest_rate_and_not_the_lowest_count(run):
    keep(run, 1, 42, size=50)
    keep(run, 2, 354, size=3000)
    assert kept(run) == 2
    keep(run, 3, 40, size=50)
    assert kept(run) == 2
    keep(run, 4, 2, size=50)
    keep(run, 4, 0, size=50)  # a step counts once
    assert kept(run) == 4 and [row.wrong for row in results.read(run / "test")] == [42, 354, 40, 2]


def test_no_best_is_chosen_on_the_test_split(run):
    keep(run, 1, 5, split="test")
    assert not (run / "test/best").exists() and Results(run / "test", "test").steps() == {1}
    assert Results(run / "test", "validation").steps() == set()


def test_a_file_system_without_hard_links_gets_copies(run, monkeypatch):
    def link(*arguments):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    keep(run, 1, 5)
    assert kept(run) == 1 and (run / "test/best/model.ckpt-1.index").read_text() == "1 index"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_the_best_is_right_after_a_kill_at_any_file_operation(run, monkeypatch):
    keep(run, 1, 20)
    calls, stop = [0], [10**9]

    def counted(function):
        def call(*arguments, **options):
            calls[0] += 1
            if calls[0] > stop[0]:
                raise Killed
            return function(*arguments, **options)

        return call

    for name in ("link", "replace", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(results, "write_test_summaries", lambda *arguments: None)
    for moment in range(12):
        calls[0], stop[0] = 0, moment
        with suppress(Killed):
            keep(run, 2, 10)
        stop[0] = 10**9
        results.repair_best(run / "test", run / "train")
        keep(run, 2, 10)  # a restart evaluates again what has no row
        assert kept(run) == 2, moment
        assert [row.step for row in results.read(run / "test")] == [1, 2]
        (run / "test/results.csv").write_text(HEADER + "1,validation,50,20,0,40,0.5\n")
        (run / "test/best/best.json").unlink()
        for path in (run / "test/best").glob("model*"):
            path.unlink()
        results.repair_best(run / "test", run / "train")
        assert kept(run) == 1


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"step": 9, "percent": 1}', '{"step": true, "percent": 2}'])
def test_a_best_that_was_lost_or_edited_is_chosen_again_from_the_table(content, run):
    for step, wrong in ((1, 20), (2, 10), (3, 30)):
        keep(run, step, wrong)
    (run / "test/best/best.json").write_text(content)
    results.repair_best(run / "test", run / "train")
    assert kept(run) == 2 and json.loads((run / "test/best/best.json").read_text())["percent"] == 20
    keep(run, 4, 15)
    assert kept(run) == 2


ROW = "1,validation,50,20,0,40,0.5\n"
ODD = {
    "semicolons": (HEADER + ROW).replace(",", ";"),
    "a decimal comma": HEADER + '1,validation,50,1,0,"2,0",0.5\n',
    "a column is missing": HEADER.replace(",loss", "") + "1,validation,50,20,0,40\n",
    "another order": "split,step,size,wrong,almost_wrong,percent,loss\n" + ROW,
    "a short row": HEADER + ROW + "2,validation\n",
    "text for a number": HEADER + "x,validation,50,20,0,40,0.5\n",
    "digits of another script": HEADER + "١,validation,50,20,0,40,0.5\n",
    "a number of 5,000 digits": HEADER + "1" * 5000 + ",validation,50,20,0,40,0.5\n",
    "another split": HEADER + "1,train,50,20,0,40,0.5\n",
    "more wrong than there are": HEADER + "1,validation,50,60,0,120,0.5\n",
    "a percentage of another count": HEADER + "1,validation,50,20,0,41,0.5\n",
    "no examples": HEADER + "1,validation,0,0,0,0,0.5\n",
    "not a number": HEADER + "1,validation,50,20,0,nan,0.5\n",
    "a NUL": HEADER + "1,vali\0dation,50,20,0,40,0.5\n",
    "a huge field": HEADER + "1," + "x" * 200_000 + ",50,20,0,40,0.5\n",
    "an open quote": HEADER + '1,"validation,50,20,0,40,0.5\n' * 3,
}


@pytest.mark.parametrize("what", ODD)
def test_a_table_that_is_not_ours_is_refused_with_its_name(what, tmp_path):
    (tmp_path / "results.csv").write_text(ODD[what], encoding="utf-8")
    with pytest.raises(ValueError, match=r"results.csv is not a table of results"):
        Results(tmp_path, "test")


def test_a_spreadsheets_harmless_changes_are_taken(tmp_path):
    (tmp_path / "results.csv").write_bytes(("\ufeff" + HEADER + ROW + "\n").replace("\n", "\r\n").encode())
    (row,) = results.read(tmp_path)
    assert (row.step, row.split, row.percent) == (1, "validation", 40.0)


def test_mutations_of_a_table_are_read_or_refused(tmp_path):
    whole = (HEADER + "".join(f"{step},test,50,{step},0,{2 * step},0.25\n" for step in range(1, 20))).encode()
    draw, refused = random.Random(7), 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(content))
            content[place : place + draw.randrange(3)] = draw.choice(
                [b"", b"\0", b"\xff", b",", b'"', b"\r", b"9", b";"]
            )
        (tmp_path / "results.csv").write_bytes(content)
        try:
            rows = results.read(tmp_path)
        except ValueError as error:
            refused += 1
            assert "results.csv is not a table" in str(error)
        else:
            assert all(np.isclose(row.percent, 100 * row.wrong / row.size) for row in rows)
    assert refused > 100
