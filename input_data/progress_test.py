"""Progress: a bar that fits a terminal, few plain lines elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

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


def test_a_rate_that_is_not_known_yet_is_left_out(clock, capsys):
    with Progress(10, "read") as shown:
        clock[0] = 100
        shown.update(1)
    assert capsys.readouterr().out == "read 1/10\n"


def test_a_bar_fits_a_terminal_of_80_columns_and_lines_go_above_it():
    code = """
from input_data import progress
progress._REDRAW = 0
with progress.Progress(300000, "step", 128) as shown:
    for step in range(1, 4):
        shown.update(100000 * step - 1, "loss 0.0123, 98% right")
    progress.say("a line between")
"""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the end of a terminal
        pass
    os.close(ours)
    assert b"step 199999/300000" in shown and b"98% right" in shown and b"a line between" in shown
    assert shown.endswith(b"\r\x1b[K")  # the bar is gone
