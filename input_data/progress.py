"""Shows the progress of long work, as a bar on a terminal and as occasional lines elsewhere, and prints lines."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

INTERVAL = 20.0  # seconds between plain lines
_REDRAW = 0.2  # seconds between two states of the bar
_BAR = 8  # columns of the bar, which leaves room for the numbers on a terminal of 80

T = TypeVar("T", bound=Sized)


def duration(seconds: float) -> str:
    """Seconds as 5s, 3m20s or 2h05m."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"


def say(text: str) -> None:
    """Prints a line immediately, even into a pipe."""
    with _output_may_end():
        print(text, flush=True)


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
        items: number of items in a unit, for the rate, such as the images of a step.
        item: the name of the items.
        done: units that were done before.
    """

    def __init__(self, total: int, unit: str, items: float = 1, item: str = "images", done: int = 0):
        self.total, self.unit, self.items, self.item = total, unit, items, item
        self.start = self.said = time.monotonic()
        self.first = self.done = done
        self.warm = False
        self._bar: Any = None
        if sys.stdout.isatty():
            self._bar = _make_bar()
            self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error):
        if self._bar:
            with _output_may_end():
                self._bar.stop()

    def update(self, done: int, note: str | Callable[[], str] = "") -> None:
        """Reports that `done` units are done, if it is time for a report.

        Args:
            done: units done in total.
            note: text after the numbers, or a function that returns it and is called only for a report.
        """
        now = time.monotonic()
        self.done = done
        if not self.warm:
            self.start, self.first, self.warm = now, done, True  # the first call compiles, so the rate leaves it out
        if now - self.said < (_REDRAW if self._bar else INTERVAL):
            return
        self.said = now
        text = f"{self._numbers(now)}  {note if isinstance(note, str) else note()}"
        if self._bar:
            with _output_may_end():
                self._bar.update(self._task, completed=done, description=text)
                self._bar.refresh()
        else:
            say(text.rstrip())

    def _numbers(self, now: float) -> str:
        position = f"{self.unit} {self.done}/{self.total}"
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        if not rate:
            return position
        left = duration((self.total - self.done) / rate)
        return f"{position}  {rate * self.items:,.0f} {self.item}/s  {left} left"


def _make_bar():
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    return Bar(BarColumn(_BAR), text, auto_refresh=False, transient=True)


def track(items: Iterable[T], total: int, unit: str, size: Callable[[T], int] = len) -> Iterator[T]:
    """Yields the same items and shows their progress.

    Args:
        items: the items to work on.
        total: the sum of their sizes.
        unit: the name of what is counted.
        size: gives the size of an item.
    """
    done = 0
    with Progress(total, unit, item=f"{unit}s") as progress:
        for item in items:
            yield item
            done += size(item)
            progress.update(done)
