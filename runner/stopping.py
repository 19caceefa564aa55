"""Ends a training process early on a signal, and keeps two processes out of one folder."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from input_data.progress import say
from runner.flags import UserError


class Stop:
    """A context in which Ctrl-C, SIGTERM or a closed terminal stops the job after the step, and a second one at once.

    `signal` is the signal's number, and 0 if there was none.
    """

    def __enter__(self):
        self.signal = 0
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        # A signal that the process was started to ignore, such as SIGHUP under nohup, stays ignored.
        self._before = {n: signal.signal(n, self._note) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
        return self

    def _note(self, number, frame):
        self.signal = number
        self.__exit__()

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """A lock on a folder in which a process trains or watches; the system releases it however the process ends.

    The folder is `summary_dir/train`, or `summary_dir/test` for a process that watches. UserError: another process has
    it. If the file system has no locks, as Lustre and some network drives, a line says so and the job continues.
    """
    path = Path(folder) / "lock"
    held = _file_lock(path)
    try:
        held.acquire(timeout=1.0)  # `is_locked` of another process holds it for a moment
    except Timeout:
        holder = path.read_text(errors="replace").strip() or "unknown"
        advice = "Wait for it, stop it, or give another --summary_dir."
        raise UserError(f"Another job ({holder}) is running in {folder}. {advice}") from None
    except (NotImplementedError, OSError) as error:
        say(f"{folder} cannot be locked ({error}): make sure that no other job runs in this folder.")
    else:
        with suppress(OSError):  # on a full disk the lock holds without a name
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    try:
        yield
    finally:
        held.release()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock now; False if this cannot be determined."""
    path = Path(folder) / "lock"
    try:
        with _file_lock(path).acquire(timeout=0) if path.exists() else nullcontext():
            return False
    except (NotImplementedError, OSError) as error:
        return isinstance(error, Timeout)


def _file_lock(path: Path) -> FileLock:
    # No fallback to a soft lock, a plain file that would remain after a job was killed.
    return FileLock(path, thread_local=False, fallback_to_soft=False)
