"""Signals ask for an orderly end, and locks keep jobs apart, also where a job was killed or there are no locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.stopping import Stop, is_locked, lock

HOLDER = """
import sys, time
from pathlib import Path
from runner.stopping import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_once_and_the_handler_before_comes_back(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        assert stop.signal == 0
        os.kill(os.getpid(), number)
        assert stop.signal == number
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_lock_names_who_holds_it_and_is_free_once_that_was_killed(tmp_path):
    assert not is_locked(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        words = rf"Another job \(process {holder.pid} on .*\) is running in"
        with pytest.raises(ValueError, match=words), lock(tmp_path):
            pass
        assert is_locked(tmp_path)
        holder.kill()
    assert not is_locked(tmp_path)
    with lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_without_locks_a_job_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    def flock(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock(tmp_path):
        assert "make sure that no other job runs in this folder" in capsys.readouterr().out
        (tmp_path / "lock").touch()
        assert not is_locked(tmp_path)
