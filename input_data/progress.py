"""Shows the progress of long work, as a bar on a terminal and as occasional lines elsewhere, and prints lines."""

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

INTERVAL = 20.0  # seconds between plain lines
_REDRAW = 0.2  # seconds between two states of the bar
_BAR = 5  # columns of the bar, which leaves room for the numbers on a terminal of 80
_ERASE = "\r\x1b[K"  # a terminal's signs for: back to the line's start, and erase it

_shown = ""  # the bar that is on the terminal


def say(text: str) -> None:
    """Prints a line immediately, even into a pipe, above the bar if one is shown."""
    _print(f"{_ERASE}{text}\n{_shown}" if _shown else f"{text}\n")


def _draw(bar: str) -> None:
    global _shown
    _shown = bar
    _print(f"{_ERASE}{bar}")


def _print(text: str) -> None:
    """Prints. If the terminal or the reader of a pipe has gone, sends this process the signal of a closed terminal.

    A training job then saves before it ends. Further output is discarded.
    """
    try:
        print(text, end="", flush=True)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        hangup = getattr(signal, "SIGHUP", signal.SIGTERM)
        ignored = signal.getsignal(hangup) == signal.SIG_IGN  # nohup ignores it for the terminal, not for the pipe
        signal.raise_signal(signal.SIGTERM if ignored else hangup)


class Progress(AbstractContextManager):
    """Shows how far the work is, its rate and the time left. A context manager that removes the bar when it ends.

    Args:
        total: total units of work.
        unit: the name of a unit, such as "step".
        images: how many images a unit has, for the rate.
    """

    def __init__(self, total: int, unit: str, images: float = 1):
        self.total, self.unit, self.images = total, unit, images
        self.said, self.terminal = time.monotonic(), sys.stdout.isatty()
        self.begun: tuple[float, int] | None = None  # when which unit was done: the first call compiles

    def __exit__(self, *error):
        if self.terminal:
            _draw("")

    def update(self, done: int, note: str | Callable[[], str] = "") -> None:
        """Reports that `done` units are done in total, if it is time; a function as `note` is called only then."""
        now = time.monotonic()
        start, first = self.begun = self.begun or (now, done)
        if now - self.said < (_REDRAW if self.terminal else INTERVAL):
            return
        self.said = now
        text = f"{self.unit} {done}/{self.total}"
        if done > first and now > start:
            rate = (done - first) / (now - start)
            text += f"  {rate * self.images:,.0f} images/s  {timedelta(seconds=int((self.total - done) / rate))} left"
        text = f"{text}  {note if isinstance(note, str) else note()}".rstrip()
        if self.terminal:
            filled = _BAR * done // max(self.total, 1)
            _draw(f"[{'=' * filled:{_BAR}}] {text}"[: shutil.get_terminal_size().columns - 1])
        else:
            say(text)
