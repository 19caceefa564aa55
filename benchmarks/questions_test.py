"""Each question is answered by a tiny run, its rows are kept, and what is there is not run again."""

from types import SimpleNamespace

import numpy as np
import pytest

import experiment
from benchmarks import linear_routing, questions, train_step, trained
from models.hparams import HParams


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch, eagerly, digits):
    """Answers a question on 200 digits, whose networks this process trains; returns the table it printed."""
    here = SimpleNamespace(run=lambda command: SimpleNamespace(returncode=experiment.main(command[2:])))
    monkeypatch.setattr(questions, "IMAGES", 100)
    monkeypatch.setattr(trained, "RESULTS", tmp_path)

    def answer(*arguments: str, steps: int = 4, trains: bool = True) -> dict[str, dict[str, str]]:
        monkeypatch.setattr(questions, "subprocess", here if trains else None)
        questions.main([*arguments, f"--data_dir={digits}", f"--folder={tmp_path}", f"--steps={steps}", "--seeds=1"])
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        return {row[0]: dict(zip(head, row, strict=True)) for row in rows}

    return answer


def test_the_law_is_measured_at_the_start_and_as_trained(ask, tmp_path):
    few = ("law", "--variants", "as trained, 1 types", "at the start, 1 types")
    table = ask(*few)
    assert list(table) == list(few[2:])
    start, learnt = table["at the start, 1 types"], table["as trained, 1 types"]
    assert start["inputs"].split()[0] == "36" and not start["error"] and learnt["error"]
    gap, law = (float(start[name].split()[0]) for name in ("gap", "law"))
    assert 0 < gap < 0.01 and law == pytest.approx(gap, rel=0.01)  # the logits are small
    assert (tmp_path / "law.png").stat().st_size > 5000
    assert ask(*few, trains=False) == table


def test_routings_are_compared_with_the_first_and_what_is_missing_is_run(ask, tmp_path, monkeypatch):
    dynamic, uniform = "dynamic, rate 0.003", "uniform, rate 0.003"
    ask("routings", "--variants", "dynamic")
    table = ask("routings", "--variants", "dynamic", "uniform")
    rows = {row["network"]: row for row in trained.read(tmp_path / trained.TRAINED)}
    assert list(rows) == list(table) == [dynamic, uniform]
    assert "routing_type=uniform" in rows[uniform]["command"] and "decay_steps=4" in rows[uniform]["hparams"]
    more = rows[uniform]["test_error"] - rows[dynamic]["test_error"]
    assert table[uniform]["error above the first"].startswith(f"{more:+.2f} (")
    assert min((tmp_path / f"{name}.png").stat().st_size for name in ("routings", "routings_couplings")) > 5000
    monkeypatch.setattr(train_step, "in_turns", lambda runs, count: ([run() and 2.0 for run in runs], [1.0, 1.0]))
    timed = ask("routings", "--variants", "dynamic", "uniform", "--equal=time")
    assert (timed[dynamic], timed[uniform]["steps"]) == (table[dynamic], "2")
    monkeypatch.setattr(train_step, "in_turns", None)
    assert ask("routings", "--variants", "dynamic", "uniform", "--equal=time", trains=False) == timed


def test_without_a_bias_the_sign_cannot_be_told(ask, monkeypatch):
    monkeypatch.setattr(questions, "IMAGES", 100)
    table = ask("sign", steps=8)
    right, apart = ([float(row[name].split()[0]) for row in table.values()] for name in ("percent right", "difference"))
    assert right[0] > right[1] == 50
    assert apart[0] > apart[1] == 0


def test_other_coefficients_are_those_of_the_softmax_where_logits_are_small():
    logits = np.float32([[0.01, -0.02, 0.03]])  # one input capsule and three output capsules
    softmax = np.exp(logits) / np.exp(logits).sum()
    hparams = HParams(conv_channels=2, num_prime_capsules=1)
    kinds = {"first_order": softmax, "no_competition": (1 + logits) / 3, "exponential": np.exp(logits) / 3}
    kinds["gain"] = np.full((1, 3), 4 / 3)
    for name, expected in kinds.items():
        routing = getattr(linear_routing, name)((28, 28, 1), 3, hparams).classes.routing
        np.testing.assert_allclose(routing.coefficients(logits, axis=1), expected, atol=2e-4)
