"""Watches over a process while TensorFlow starts on several machines, in which it waits for ever for one that has died.

TensorFlow cannot be interrupted there, nor does it let other threads run, so this is a process of its own:

    python start_guard.py PROCESS FILE_DESCRIPTOR NAME [FILE_DESCRIPTOR NAME …]

When the machine at the other end of a connection goes away it says so and ends PROCESS.
"""

import os
import select
import signal
import socket
import sys
import time


def watch(process: int, connections: dict[socket.socket, str]) -> None:
    """Watches until `process`, this one's parent, has ended or a connection, with its machine's name, has."""
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
