"""A sample of the faults of `fuzz.py` is refused or harmless, and its own failures are told."""

import random

import pytest

from benchmarks import fuzz
from benchmarks.fuzz import damaged, try_one, work
from benchmarks.fuzz_kinds import Kind


def test_a_sample_of_all_kinds_of_faults():
    answers = []
    work(faults=120, seed=1, only=None, first=0, report=lambda number, name, answer: answers.append((name, answer)))
    assert len(answers) == 240 and len({name for name, _ in answers}) > 15
    assert not [each for each in answers if "failure" in each[1]]
    assert sum(answer == "refused" for _, answer in answers) > 40


def test_faults_come_from_the_seed_alone_and_change_the_content():
    content = bytes(range(256)) * 4
    first, again, other = (damaged(content, random.Random(seed), text=False) for seed in (1, 1, 2))
    assert first == again and len({first, other, content}) == 3


def crash(draw):
    raise KeyError("x")


def refuse(draw):
    raise SystemExit(2)


@pytest.mark.parametrize(("use", "words"), [(crash, "failure: KeyError: 'x' (fuzz_test.py:"), (refuse, "refused")])
def test_what_is_no_sentence_is_a_failure_and_the_file_is_put_back(use, words, tmp_path):
    path = tmp_path / "file"
    path.write_text("whole")
    assert try_one(Kind([path], use), "name", 0, 0).startswith(words)
    assert path.read_text() == "whole"


def test_a_reader_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)

    def hang(draw):
        while True:
            pass

    fuzz.watch_the_time()
    assert try_one(Kind([], hang), "name", 0, 0) == "failure: more than 0.2 seconds"
