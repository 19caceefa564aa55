"""Guards a process while TensorFlow starts on several machines, where it would wait forever for one that has died.

TensorFlow cannot be interrupted there and does not let other threads run, so the guard is a separate process:

    python start_guard.py PROCESS FILE_DESCRIPTOR NAME [FILE_DESCRIPTOR NAME …]

If the machine at the other end of a connection stops, the guard prints an error and ends PROCESS.
"""

import os
import select
import signal
import socket
import sys
import time


def watch(process: int, connections: dict[socket.socket, str]) -> None:
    """Watches until `process`, the parent of this one, ends or one of the connections to the named machines ends."""
    while os.getppid() == process:
        for connection in select.select(list(connections), [], [], 1.0)[0]:
            if not connection.recv(1, socket.MSG_PEEK):
                name = connections[connection]
                print(f"error: {name} stopped answering while the job started. Start it again on all machines.",
                      file=sys.stderr, flush=True)  # fmt: skip
                os.kill(process, signal.SIGKILL)
                return
        time.sleep(0.2)


if __name__ == "__main__":
    watch(
        int(sys.argv[1]),
        {
            socket.socket(fileno=int(descriptor)): name
            for descriptor, name in zip(sys.argv[2::2], sys.argv[3::2], strict=True)
        },
    )
