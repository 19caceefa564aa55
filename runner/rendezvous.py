"""Connects the machines in TF_CONFIG before TensorFlow starts.

Machine 0, the chief, listens on its own port until all others have connected. It then leaves the port to TensorFlow's
server and keeps the connections. Nothing here is authenticated, just as TensorFlow's own port is not.
"""

import errno
import json
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from input_data.progress import say

PATIENCE = 600.0  # seconds to wait for a machine to connect
ADVICE = "Give all machines of the job the same cluster in TF_CONFIG, and each its own index."
LARGEST_MESSAGE = 1 << 20  # bytes of JSON
_GREETING = b"capsule network job\n"
_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Places:
    """The machines of a job.

    Attributes:
        names: their names in messages, the chief's first.
        addresses: (host, port) of each.
        number: the number of this machine.
    """

    names: list[str]
    addresses: list[tuple[str, int]]
    number: int


def read_tf_config(text: str) -> Places | None:
    """Reads TF_CONFIG.

    Args:
        text: the variable's value.

    Returns:
        The machines; None if there is no cluster, as in "" and "{}".

    Raises:
        ValueError: it is not as TensorFlow expects.
    """
    try:
        config = json.loads(text.strip() or "{}")
        cluster, task = (config.get(name) or {} for name in ("cluster", "task"))
        if not cluster:
            return None
        if not set(cluster) <= {"chief", "worker"} or len(cluster.get("chief", [])) > 1:
            raise ValueError("a cluster may have one chief, workers, and no other kind of machine")
        tasks, names, addresses = [], [], []
        for kind in ("chief", "worker"):
            for index, address in enumerate(list(cluster.get(kind, []))):
                host, _, port = address.rpartition(":")
                if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
                    raise ValueError(f"{address!r} is not host:port")
                tasks.append((kind, index))
                names.append(f"{kind} {index} ({address})")
                addresses.append((host.strip("[]"), int(port)))
        if len(set(addresses)) < len(addresses):
            raise ValueError("an address is given twice")
        kind, index = task["type"], task["index"]
        this = kind, int(index) if isinstance(index, str) else index
        if this not in tasks:
            raise ValueError(f"the cluster has no {kind} {index}")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            'TF_CONFIG should be JSON like {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", '
            f'"index": 0}}}}. Received: {text[:500]} ({type(error).__name__}: {error})'
        ) from None
    return Places(names, addresses, tasks.index(this))


def meet(places: Places) -> list[socket.socket]:
    """Waits for all machines of a job.

    Args:
        places: the machines.

    Returns:
        The chief's connections to all others in their order, or another machine's to the chief.

    Raises:
        ConnectionError: a machine did not connect within `PATIENCE` seconds, or this machine's port is taken.
    """
    listener = _listen(places.names[places.number], places.addresses[places.number][1])
    try:
        connections = _welcome(places.names, listener) if places.number == 0 else []
    finally:
        listener.close()  # TensorFlow's server takes the port
    if places.number:
        connections = [_go_to_chief(places)]
    for connection in connections:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # notices a machine without power
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connections


def send(connection: socket.socket, content: bytes) -> None:
    """Sends one message."""
    connection.sendall(_LENGTH.pack(len(content)) + content)


def receive(connection: socket.socket, largest: int, on_delay: Callable[[], None] | None = None) -> bytes:
    """Receives one message.

    Args:
        connection: the connection to read from.
        largest: the most bytes that the message may have.
        on_delay: called each time the connection times out; None: a timeout is an error.

    Raises:
        OSError: the connection ended, or the message is larger.
    """
    (size,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, on_delay))
    if size > largest:
        raise ConnectionError(f"a message of {size} bytes")
    return _exactly(connection, size, on_delay)


def _exactly(connection: socket.socket, count: int, on_delay: Callable[[], None] | None = None) -> bytes:
    content = bytearray()
    while len(content) < count:
        try:
            piece = connection.recv(min(count - len(content), 1 << 20))
        except TimeoutError:
            if on_delay is None:
                raise
            on_delay()
            continue
        if not piece:
            raise ConnectionError("the connection ended")
        content += piece
    return bytes(content)


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection; does not wait."""
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _listen(name: str, port: int) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        reason = "is taken by another process" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise ConnectionError(f"Port {port}, which TF_CONFIG names for {name}, {reason} on this machine.") from None


class _Patience:
    """Prints from time to time what is being waited for, and gives up after `PATIENCE` seconds."""

    def __init__(self):
        self.start = time.monotonic()
        self.said = self.start - 8.0  # the first line comes after two seconds, the others every ten

    def check(self, missing: str) -> None:
        """Must be called about once a second; raises ConnectionError when the time is over."""
        now = time.monotonic()
        if now - self.start > PATIENCE:
            raise ConnectionError(f"Waited {PATIENCE:g} seconds for {missing}, and gave up. Was it started? {ADVICE}")
        if now - self.said >= 10:
            self.said = now
            say(f"Waiting for {missing}: {now - self.start:.0f} of at most {PATIENCE:g} seconds")


def _welcome(names: list[str], listener: socket.socket) -> list[socket.socket]:
    """The chief's side: accepts the connections of all other machines, and returns them in order."""
    arrived: dict[int, socket.socket] = {}
    others = range(1, len(names))
    patience = _Patience()
    listener.settimeout(1.0)
    while len(arrived) < len(others):
        for number in [number for number, connection in arrived.items() if has_ended(connection)]:
            arrived.pop(number).close()
        patience.check(", ".join(names[number] for number in others if number not in arrived))
        try:
            connection, peer = listener.accept()
        except TimeoutError:
            continue
        try:
            connection.settimeout(5.0)
            if _exactly(connection, len(_GREETING)) != _GREETING:
                raise ValueError("not a machine of such a job")
            number, their_names = json.loads(receive(connection, LARGEST_MESSAGE))
            if their_names != names or number not in others:
                say(f"Turned away {peer[0]}, whose TF_CONFIG names another cluster. {ADVICE}")
                raise ValueError("of another job")
        except (OSError, RecursionError, TypeError, ValueError):
            connection.close()
            continue
        if number in arrived:
            raise ConnectionError(f"Two machines say that they are {names[number]}. {ADVICE}")
        arrived[number] = connection
    return [arrived[number] for number in others]


def _go_to_chief(places: Places) -> socket.socket:
    """Another machine's side: connects to the chief as soon as it listens."""
    patience = _Patience()
    while True:
        patience.check(places.names[0])
        try:
            connection = socket.create_connection(places.addresses[0], timeout=5.0)
        except OSError:  # not started yet, or its name is not known yet
            time.sleep(0.5)
            continue
        if connection.getsockname() != connection.getpeername():  # without a listener, a socket can connect to itself
            connection.sendall(_GREETING)
            send(connection, json.dumps([places.number, places.names]).encode())
            return connection
        connection.close()
