"""Connects the machines of a job: they compare what they train, share the chief's weights, and stop together."""

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from input_data.progress import say
from runner.rendezvous import ADVICE, LARGEST_MESSAGE, meet, read_tf_config, receive, send

_LARGEST_VARIABLE = 1 << 40  # bytes


class Cluster:
    """The machines of a job and this machine's connections to them; a single machine has no connections.

    Args:
        names: the names of the machines, the chief's first.
        number: the number of this machine.
        connections: on the chief, the connections to all others in order; on another machine, the one to the chief.
    """

    def __init__(self, names: list[str], number: int = 0, connections: list[socket.socket] | None = None):
        self.names, self.number = names, number
        machines = [0] if number else list(range(1, len(names)))
        self._connections = dict(zip(machines, connections or [], strict=True))

    def gather(self, value: Any) -> list:
        """Returns on every machine the values from all machines, in their order. All must call it equally often.

        Args:
            value: any value that JSON can represent.

        Raises:
            ConnectionError: a machine has stopped; the message names it.
        """
        if self.number:
            self._send(0, {"value": value})
            answer = self._receive(0)
            if "values" not in answer:
                raise ConnectionError(answer["gone"])
            return answer["values"]
        values = [json.loads(json.dumps(value))]
        try:
            values += [self._receive(machine)["value"] for machine in self._connections]
        except ConnectionError as error:
            self._tell_the_others({"gone": str(error)})
            raise
        for machine in self._connections:
            self._send(machine, {"values": values})
        return values

    def share(self, start: int, variables: dict[str, Any]) -> int:
        """Gives every machine the chief's step and weights.

        Args:
            start: the step that this machine would begin at.
            variables: by name; those of the other machines are overwritten.

        Returns:
            The chief's step.
        """
        start = self.gather(start)[0]
        for name, variable in variables.items() if self._connections else ():
            value = variable.numpy()
            if not self.number:
                for machine in self._connections:
                    self._send_bytes(machine, value.tobytes())
                continue
            content = self._receive_bytes(0, _LARGEST_VARIABLE)
            if len(content) != value.nbytes:
                raise ConnectionError(f"{self.names[0]} sent {len(content)} bytes for {name}: expected {value.nbytes}")
            variable.assign(np.frombuffer(content, value.dtype).reshape(value.shape))
        return start

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ends this process with a message if a machine stops during the block, where TensorFlow would wait forever."""
        sockets = {connection.fileno(): self.names[machine] for machine, connection in self._connections.items()}
        command = [sys.executable, str(Path(__file__).with_name("start_guard.py")), str(os.getpid())]
        command += [text for descriptor, name in sockets.items() for text in (str(descriptor), name)]
        guard = subprocess.Popen(command, pass_fds=list(sockets), stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            guard.kill()
            guard.wait()

    def _tell_the_others(self, message: dict) -> None:
        for machine in self._connections:
            try:
                self._send(machine, message)
            except ConnectionError:
                continue  # this one has stopped, too

    def _send(self, machine: int, message: dict) -> None:
        self._send_bytes(machine, json.dumps(message).encode())

    def _send_bytes(self, machine: int, content: bytes) -> None:
        try:
            send(self._connections[machine], content)
        except OSError:
            raise ConnectionError(f"{self.names[machine]} stopped answering") from None

    def _receive(self, machine: int) -> dict:
        return json.loads(self._receive_bytes(machine, LARGEST_MESSAGE))

    def _receive_bytes(self, machine: int, largest: int) -> bytes:
        try:
            return receive(self._connections[machine], largest, lambda: say(f"Waiting for {self.names[machine]}"))
        except OSError:
            raise ConnectionError(f"{self.names[machine]} stopped answering") from None


def join() -> Cluster:
    """The cluster in TF_CONFIG, once all its machines have connected; without TF_CONFIG, a single machine.

    Raises:
        ValueError: TF_CONFIG is not as TensorFlow expects.
        ConnectionError: a machine did not connect, or this machine's port is taken.
    """
    return _join(os.environ.get("TF_CONFIG", ""))


@functools.cache  # a process joins once, however many runs it trains
def _join(tf_config: str) -> Cluster:
    places = read_tf_config(tf_config)
    if places is None or len(places.names) == 1:
        return Cluster(["this machine"])
    cluster = Cluster(places.names, places.number, meet(places))
    try:
        cluster.gather("here")
    except ConnectionError as error:
        raise ConnectionError(f"{error} before the job started. {ADVICE}") from None
    return cluster


def check_same(cluster: Cluster, facts: dict[str, Any]) -> None:
    """Compares what the machines are about to train.

    Args:
        cluster: the machines.
        facts: values by name, with the same names on each machine.

    Raises:
        ValueError: something differs; raised on every machine, with what differs and where.
    """
    chief, *others = cluster.gather(facts)
    differences = [
        f"{name} is {chief.get(name)} on {cluster.names[0]} and {theirs.get(name)} on {cluster.names[machine]}"
        for machine, theirs in enumerate(others, start=1)
        for name in chief | theirs
        if chief.get(name) != theirs.get(name)
    ]
    if differences:
        raise ValueError(
            f"The machines of the job differ: {'; '.join(differences)}. "
            "Give all of them the same command, data and versions."
        )
