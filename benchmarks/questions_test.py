"""Each question is answered by a tiny run, its rows are kept, and what is there is not run again."""

from types import SimpleNamespace

import pytest

import experiment
from benchmarks import questions, trained


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """Answers a question on the embedded digits, whose networks this process trains; returns what it printed."""
    here = SimpleNamespace(run=lambda command: SimpleNamespace(returncode=experiment.main(command[2:])))
    monkeypatch.setattr(questions, "subprocess", here)

    def answer(*arguments: str) -> str:
        questions.main([*arguments, f"--folder={tmp_path}", "--steps=4", "--types=1"])
        return capsys.readouterr().out

    return answer


def test_the_law_is_measured_at_the_start_and_as_trained(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(questions, "LAW", {"at the start": 0, "as trained": 3})
    table = ask("law", "--seeds=1").partition("network, N")[2].splitlines()[1:-1]
    start, *others = [line.split(", ") for line in table]
    assert start[0] == "at the start" and start[1] == "36" and len(others) == 1
    gap, law = float(start[2].split()[0]), float(start[4])
    assert 0 < gap < 0.1 and law == pytest.approx(gap, rel=0.1)  # the logits are small
    assert (tmp_path / "law.png").stat().st_size > 5000
    monkeypatch.setattr(questions, "subprocess", None)
    ask("law", "--seeds=1")  # trains nothing


def test_routings_are_compared_with_the_first_and_drawn(ask, tmp_path, monkeypatch):
    few = ("routings", "--seeds=1", "--variants", "dynamic", "uniform")
    printed = ask(*few)
    dynamic, uniform = trained.read(tmp_path / "trained.csv", trained.Run)
    assert [dynamic.network, uniform.network] == ["dynamic, rate 0.003", "uniform, rate 0.003"]
    assert "routing_type=uniform" in uniform.command and "decay_steps=4" in uniform.hparams
    (line,) = [line for line in printed.splitlines() if line.startswith("| uniform")]
    assert f" {uniform.test_error:.2f} (" in line and f"{uniform.test_error - dynamic.test_error:+.2f}" in line
    assert (tmp_path / "routings_couplings.png").stat().st_size > 5000
    monkeypatch.setattr(questions, "subprocess", None)
    ask(*few)
    with pytest.raises(SystemExit, match="Run that first"):
        ask(*few, "--rates=0.001", "--equal=time")


def test_without_a_bias_the_sign_cannot_be_told(ask):
    _, zero, with_bias, without = ask("sign", "--seeds=1", "--epochs=1").splitlines()
    assert "100.0%" in zero
    right = [float(line.split(": ")[1].split()[0]) for line in (with_bias, without)]
    assert right[0] > right[1] and right[1] == 50
