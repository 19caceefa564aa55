"""Progress of long work: one line that is rewritten on a terminal, a plain line now and then elsewhere."""

import sys
import time

INTERVAL = 20.0  # seconds between plain lines


def duration(seconds: float) -> str:
    """Seconds as 5s, 3m20s or 2h05m."""
    seconds = int(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


class Progress:
    """Says how far the work is, its rate and the time left.

    Args:
        total: units of work in all.
        unit: what they are called ("step").
        items: things done in a unit, for the rate (images of a step).
        item: what they are called.
        done: units done before.
    """

    def __init__(self, total: int, unit: str, items: float = 1, item: str = "images", done: int = 0):
        self.total, self.unit, self.items, self.item = total, unit, items, item
        self.terminal = sys.stdout.isatty()
        self.start = self.said = time.monotonic()
        self.first = self.done = done
        self.warm = False

    def update(self, done: int, note: str = "") -> None:
        """Tells, if it is time to, that `done` units are done; `note` goes behind."""
        now = time.monotonic()
        self.done = done
        if not self.warm:
            self.start, self.first, self.warm = now, done, True  # the first call compiles: keep it out of the rate
        if now - self.said >= (0.2 if self.terminal else INTERVAL):
            self._say(now, note)

    def _say(self, now: float, note: str) -> None:
        self.said = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = duration((self.total - self.done) / rate) if rate else "?"
        line = f"{self.unit} {self.done}/{self.total}  {rate * self.items:,.0f} {self.item}/s  {left} left  {note}"
        print(f"\r{line:<100}" if self.terminal else line, end="" if self.terminal else "\n", flush=True)

    def close(self) -> None:
        """Ends the rewritten line."""
        if self.terminal:
            print("\r" + " " * 100, end="\r", flush=True)
