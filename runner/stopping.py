"""How a training process ends early, and how two of them are kept apart."""

import fcntl
import os
import signal
import time
from pathlib import Path


class Stop:
    """Within it, Ctrl-C and SIGTERM ask for a stop after the step at hand; a second one stops at once.

    Attributes:
        signal: the signal's number, 0 while there was none.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self):
        self.signal = 0
        self._before = [signal.signal(number, self._note) for number in self._SIGNALS]
        return self

    def _note(self, number, frame):
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in zip(self._SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def __exit__(self, *error):
        self._restore()


class Lock:
    """Held while a process trains in a folder or watches one; the system frees it however the process ends.

    Args:
        folder: `summary_dir/train`, or `summary_dir/test` for the watcher.

    Raises:
        ValueError: another process holds it.
    """

    def __init__(self, folder: Path):
        self.path = Path(folder) / "lock"
        self._file = self.path.open("a+")
        if not self._take(patience=1.0):
            self._file.seek(0)
            process = self._file.read().strip() or "?"
            self._file.close()
            raise ValueError(
                f"Another job (process {process}) is at work in {folder}. "
                "Wait for it, stop it, or give another --summary_dir."
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _take(self, patience: float) -> bool:
        """Takes the lock, waiting a moment for `is_locked` elsewhere to let go of it."""
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if time.monotonic() > end:
                    return False
                time.sleep(0.05)

    def release(self) -> None:
        """Lets another process train here."""
        self._file.close()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock at this moment."""
    path = Path(folder) / "lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
