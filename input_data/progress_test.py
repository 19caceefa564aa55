"""Progress: a bar that fits a terminal, few plain lines elsewhere."""

import io
import sys

import pytest

from input_data import progress
from input_data.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_seldom_and_tell_rate_and_time_left(clock, capsys):
    asked = []
    with Progress(1000, "step", 128) as shown:
        for step in range(101, 201):
            clock[0] += 1
            shown.update(step, lambda: asked.append(1) or "loss 0.5")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(asked) == 5
    assert lines[-1] == "step 200/1000  128 images/s  0:13:20 left  loss 0.5"
    with Progress(10, "read") as shown:  # of which no rate is known yet
        clock[0] += 100
        shown.update(1)
    assert capsys.readouterr().out == "read 1/10\n"


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self):
        return True


def test_a_bar_fits_a_terminal_of_80_columns_and_lines_go_above_it(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", Terminal())
    with Progress(30000, "step", 128) as shown:
        for step in range(1, 4):
            clock[0] += 100
            shown.update(10000 * step - 1, "loss 0.0123, 98% right")
        progress.say("a line between")
    printed = sys.stdout.getvalue()
    before, line, after = printed.partition("a line between\n")
    bars = before.split("\r\x1b[K")[1:]
    assert "step 19999/30000  12,800 images/s  0:01:40 left  loss 0.0123, 98% right" in bars[1]
    assert all(len(bar) < 80 for bar in bars)
    assert line and bars[-1] == "" and after == f"{bars[-2]}\r\x1b[K"  # the bar below the line is gone at the end
