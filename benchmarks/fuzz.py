"""Damages files and values of every kind that the programs read, and tells what is not refused by one sentence.

    python benchmarks/fuzz.py [--faults=1000] [--seed=0] [--only=KIND]

Each fault comes from (seed, kind, number) alone, so that a failure can be repeated. A fault may be harmless, or be
answered by the errors that the programs turn into one sentence (ValueError, OSError, wrong flags). Anything else is a
failure: another exception, more than `SECONDS`, more than `BYTES` of memory, or the end of the process. Prints a table
and a line of JSON; the exit code is 1 if there are failures.
"""

import argparse
import contextlib
import io
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fuzz_kinds import TEXTS, Kind, kinds

SECONDS = 20
BYTES = 2e9
_HUGE = (b"\xff" * 8, b"\x7f" + b"\xff" * 7, bytes(8), b"\x00\x00\x00\x80", b"\x01" + bytes(7))


class _TooLong(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def damaged(content: bytes, draw: random.Random, text: bool) -> bytes:
    """The content with one to three faults."""
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(content) + 1)
        end = min(len(content), place + draw.choice((1, 2, 8, 64, 4096)))
        fault = draw.randrange(7 if text else 6)
        if fault == 0:
            flipped = bytes(byte ^ 1 << draw.randrange(8) for byte in content[place : place + 1])
            content = content[:place] + flipped + content[place + 1 :]
        elif fault == 1:
            content = content[:place]
        elif fault == 2:
            content = content[:place] + draw.randbytes(end - place) + content[end:]
        elif fault == 3:
            content = content[:place] + draw.choice(_HUGE) + content[place + 8 :]
        elif fault == 4:
            content = content[:end] + content[place:]
        elif fault == 5:
            content = content[:place] + content[end:]
        else:
            words = content.decode(errors="replace").split('"' if draw.random() < 0.5 else " ")
            words[draw.randrange(len(words))] = draw.choice(TEXTS)
            content = '"'.join(words).encode()
    return content


def try_one(kind: Kind, name: str, number: int, seed: int) -> str:
    """What became of one fault: accepted, refused, or a failure in words."""
    draw = random.Random(f"{seed} {name} {number}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = draw.choice(kind.files) if kind.files else None
    whole = path.read_bytes() if path else b""
    if path:
        path.write_bytes(damaged(whole, draw, kind.text))
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            kind.use(draw)
        answer = "accepted"
    except _TooLong:
        answer = f"failure: more than {SECONDS} seconds"
    except SystemExit as leave:
        answer = "refused" if leave.code in (0, 1, 2) else f"failure: exit code {leave.code}"
    except (ValueError, OSError):
        answer = "refused"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        answer = f"failure: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if path:
            path.write_bytes(whole)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    return f"failure: {grown / 1e9:.1f} GB of memory" if grown > BYTES else answer


def watch_the_time() -> None:
    """Lets the timer of `try_one` end what takes too long."""

    def too_long(*_):
        raise _TooLong

    signal.signal(signal.SIGALRM, too_long)


def work(faults: int, seed: int, only: str | None, first: int, report: Callable[[int, str, str], None]) -> None:
    """Tries the faults from number `first` on.

    Args:
        faults: how many there are in all.
        seed: of all randomness.
        only: a part of the names of the kinds to try; None: all.
        first: the number to begin with.
        report: takes (number, kind, "begun") and then (number, kind, answer) of each.
    """
    watch_the_time()
    with tempfile.TemporaryDirectory() as folder:
        every = {name: kind for name, kind in kinds(Path(folder)).items() if only is None or only in name}
        names = list(every)
        for kind in every.values() if first == 0 else ():
            if kind.files:
                kind.use(random.Random(seed))  # what is whole must be taken
        for number in range(first, faults):
            name = names[number % len(names)]
            report(number, name, "begun")
            report(number, name, try_one(every[name], name, number, seed))


def main(faults: int, seed: int, only: str | None) -> int:
    """Tries all faults in processes of their own, since one may end its process; prints what became of them."""
    counts: Counter = Counter()
    failures, begun, first = [], None, 0
    while first < faults:
        command = [sys.executable, __file__, f"--faults={faults}", f"--seed={seed}", f"--worker={first}"]
        command += [f"--only={only}"] if only else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if not line.startswith("fault\t"):
                    continue
                _, number, name, answer = line.rstrip("\n").split("\t", 3)
                first, begun = int(number) + 1, name
                if answer != "begun":
                    begun = None
                    counts[name, answer.partition(":")[0]] += 1
                    failures += [(name, int(number), answer)] if answer.startswith("failure") else []
        if begun is not None:
            counts[begun, "failure"] += 1
            failures.append((begun, first - 1, f"failure: the process ended with {process.returncode}"))
            begun = None
        elif process.returncode:
            raise RuntimeError(f"The worker ended with {process.returncode} between two faults.")
    print(f"{'':28} accepted refused failure")
    for name in sorted({name for name, _ in counts}):
        print(f"{name:28} " + " ".join(f"{counts[name, kind]:8}" for kind in ("accepted", "refused", "failure")))
    for name, number, answer in failures:
        print(f"{name}, fault {number}: {answer}")
    print(json.dumps({"faults": faults, "seed": seed, "failures": len(failures)}))
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker is None:
        sys.exit(main(flags.faults, flags.seed, flags.only))
    out = sys.stdout

    def tell(number: int, name: str, answer: str) -> None:
        print("fault", number, name, " ".join(answer.split()), sep="\t", file=out, flush=True)

    work(flags.faults, flags.seed, flags.only, flags.worker, tell)
