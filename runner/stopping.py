"""Ends a training process early on a signal, and keeps two processes out of one folder."""

import errno
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from input_data.progress import say
from runner.flags import UserError

# Errors from file systems without locks, such as Lustre and some network drives.
_NO_LOCKS = {None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class Stop:
    """A context in which Ctrl-C, SIGTERM or a closed terminal stops the job after the step, and a second one at once.

    Attributes:
        signal: the signal's number; 0 if there was none.
    """

    _SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

    def __enter__(self):
        self.signal = 0
        # A signal that the process was started to ignore, such as SIGHUP under nohup, stays ignored.
        self._before = {
            number: signal.signal(number, self._note)
            for number in self._SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def _note(self, number, frame):
        self.signal = number
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, *error):
        self._restore()


class Lock:
    """A lock on a folder in which a process trains or watches; the system releases it however the process ends.

    If the file system has no locks, a line says so and the job continues.

    Args:
        folder: `summary_dir/train`, or `summary_dir/test` for a process that watches.
    """

    def __init__(self, folder: Path):
        self.path = Path(folder) / "lock"
        self._lock = _file_lock(self.path)
        try:
            self._lock.acquire(timeout=1.0)  # `is_locked` of another process holds it for a moment
        except Timeout:
            holder = self.path.read_text(errors="replace").strip() or "unknown"
            raise UserError(
                f"Another job ({holder}) is running in {folder}. Wait for it, stop it, or give another --summary_dir."
            ) from None
        except (NotImplementedError, OSError) as error:
            if getattr(error, "errno", None) not in _NO_LOCKS:
                raise
            say(f"The file system of {folder} has no locks: make sure that no other job runs in this folder.")
            return
        with suppress(OSError):  # on a full disk the lock holds without a name
            self.path.write_text(f"process {os.getpid()} on {socket.gethostname()}")

    def release(self) -> None:
        """Releases the lock."""
        self._lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder's lock now; False if this cannot be determined."""
    path = Path(folder) / "lock"
    if not path.exists():
        return False
    lock = _file_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
    lock.release()
    return False


def _file_lock(path: Path) -> FileLock:
    # No fallback to a soft lock, a plain file that would remain after a job was killed.
    return FileLock(path, thread_local=False, fallback_to_soft=False)
