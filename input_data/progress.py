"""Shows the progress of long work, as a bar on a terminal and as occasional lines elsewhere, and prints lines."""

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL = 20.0  # seconds between plain lines
_REDRAW = 0.2  # seconds between two states of the bar
_BAR = 8  # columns of the bar, which leaves room for the numbers on a terminal of 80
_ERASE = "\r\x1b[K"  # a terminal's signs for: back to the line's start, and erase it

_shown = ""  # the bar that is on the terminal


def duration(seconds: float) -> str:
    """Seconds as 5s, 3m20s or 2h05m."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest}s"
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def say(text: str) -> None:
    """Prints a line immediately, even into a pipe, above the bar if one is shown."""
    with _output_may_end():
        print(f"{_ERASE}{text}\n{_shown}" if _shown else f"{text}\n", end="", flush=True)


def _draw(bar: str) -> None:
    global _shown
    _shown = bar
    with _output_may_end():
        print(f"{_ERASE}{bar}", end="", flush=True)


@contextmanager
def _output_may_end() -> Iterator[None]:
    """If the terminal or the reader of a pipe has gone, sends this process the signal of a closed terminal.

    A training job then saves before it ends. Further output is discarded.
    """
    try:
        yield
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


class Progress:
    """Shows how far the work is, its rate and the time left. A context manager that removes the bar when it ends.

    Args:
        total: total units of work.
        unit: the name of a unit, such as "step".
        items, item: number and name of the items in a unit, for the rate, such as the images of a step.
        done: units that were done before.
    """

    def __init__(self, total: int, unit: str, items: float = 1, item: str = "images", done: int = 0):
        self.total, self.unit, self.items, self.item = total, unit, items, item
        self.start = self.said = time.monotonic()
        self.first = done
        self.warm, self.terminal = False, sys.stdout.isatty()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.terminal:
            _draw("")

    def update(self, done: int, note: str | Callable[[], str] = "") -> None:
        """Reports that `done` units are done in total, if it is time; a function as `note` is called only then."""
        now = time.monotonic()
        if not self.warm:
            self.start, self.first, self.warm = now, done, True  # the first call compiles, so the rate leaves it out
        if now - self.said < (_REDRAW if self.terminal else INTERVAL):
            return
        self.said = now
        text = f"{self.unit} {done}/{self.total}"
        if done > self.first and now > self.start:
            rate = (done - self.first) / (now - self.start)
            text += f"  {rate * self.items:,.0f} {self.item}/s  {duration((self.total - done) / rate)} left"
        text = f"{text}  {note if isinstance(note, str) else note()}".rstrip()
        if self.terminal:
            filled = _BAR * done // max(self.total, 1)
            _draw(f"[{'=' * filled:{_BAR}}] {text}"[: shutil.get_terminal_size().columns - 1])
        else:
            say(text)
