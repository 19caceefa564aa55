"""A machine that dies while TensorFlow starts on all of them."""

import signal
import subprocess
import sys
from pathlib import Path

STARTING = """
import socket, time
from runner.cluster import Cluster
mine, theirs = socket.socketpair()
with Cluster(["worker 0 (a:1)", "worker 1 (b:2)"], 0, [mine]).watched():
    theirs.close()
    time.sleep(60)  # stands for TensorFlow, which waits for ever
"""


def test_a_machine_that_dies_while_tensorflow_starts_is_named_and_ends_the_others():
    command = [sys.executable, "-c", STARTING]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=50)
    assert done.returncode == -signal.SIGKILL
    assert "error: worker 1 (b:2) stopped answering while the job started" in done.stderr
