"""Each question is answered by a tiny run, its rows are kept, and what is there is not run again."""

import subprocess

import pytest

from benchmarks import questions, trained


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Answers a question on the embedded digits; returns what it printed."""
    variants = {name: questions.SCALE[name] for name in ("3 iterations", "1 iteration")}
    monkeypatch.setattr(questions, "SCALE", variants)

    def answer(*arguments: str) -> str:
        questions.main([*arguments, f"--folder={tmp_path}", "--steps=4", "--types=1"])
        return capsys.readouterr().out

    return answer


def test_the_law_is_measured_at_the_start_and_as_trained(ask, tmp_path, monkeypatch):
    header, start, *others = [line.split(", ") for line in ask("law", "--seeds=1").splitlines() if ", " in line]
    assert header[1] == "N" and start[0] == "at the start" and start[1] == "36" and len(others) == 2
    gap, law = float(start[2].split()[0]), float(start[4])
    assert 0 < gap < 0.1 and law == pytest.approx(gap, rel=0.1)  # the logits are small
    assert (tmp_path / "law.png").stat().st_size > 5000
    monkeypatch.setattr(subprocess, "run", None)
    ask("law", "--seeds=1")  # trains nothing


def test_the_scale_is_compared_with_the_first_variant(ask, tmp_path, monkeypatch):
    printed = ask("scale", "--seeds=1", "--rates=0.003")
    rows = trained.read(tmp_path / "questions.csv", trained.Run)
    assert [row.network for row in rows] == ["1 iteration, rate 0.003", "3 iterations, rate 0.003"]
    assert "routing=1" in rows[0].command and "decay_steps=4" in rows[0].hparams
    (line,) = [line for line in printed.splitlines() if line.startswith("1 iteration, rate 0.003")]
    assert f"{rows[0].test_error:.2f} %" in line and f"{rows[0].test_error - rows[1].test_error:+.2f}" in line
    monkeypatch.setattr(subprocess, "run", None)
    ask("scale", "--seeds=1", "--rates=0.003")
    with pytest.raises(SystemExit, match="Run that first"):
        ask("scale", "--seeds=1", "--rates=0.001", "--equal=time")


def test_without_a_bias_the_sign_cannot_be_told(ask):
    _, zero, with_bias, without = ask("sign", "--seeds=1", "--epochs=1").splitlines()
    assert "100.0%" in zero
    right = [float(line.split(": ")[1].split()[0]) for line in (with_bias, without)]
    assert right[0] > right[1] and right[1] == 50
