"""The machines of a job find each other, compare what they train, share weights, and name who is missing or gone."""

import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runner import cluster, rendezvous
from runner.cluster import Cluster
from runner.rendezvous import Places, meet, read_tf_config


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def places(size):
    addresses = [("127.0.0.1", port) for port in free_ports(size)]
    names = [f"worker {index} ({host}:{port})" for index, (host, port) in enumerate(addresses)]
    return [Places(names, addresses, number) for number in range(size)]


def on_all(function, machines):
    """What a function gives on each machine, called at the same time; an exception is a result."""

    def call(machine):
        try:
            return function(machine)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(len(machines)) as pool:
        return list(pool.map(call, machines))


@pytest.fixture
def three():
    machines = on_all(lambda place: Cluster(place.names, place.number, meet(place)), places(3))
    yield machines
    for machine in machines:
        for connection in machine._connections.values():
            connection.close()


def test_all_get_the_values_of_all_in_order(three):
    for _ in range(2):
        assert (
            on_all(lambda machine: machine.gather([machine.number, "x"]), three) == [[[0, "x"], [1, "x"], [2, "x"]]] * 3
        )
    assert Cluster(["alone"]).gather((1, 2)) == [[1, 2]]


def test_what_differs_is_named_with_its_machine_everywhere(three):
    errors = on_all(
        lambda machine: cluster.check_same(machine, {"seed": 3, "rate": 0.1 * (machine.number == 2)}), three
    )
    for error in errors:
        assert f"rate is 0.0 on {three[0].names[0]} and 0.1 on {three[0].names[2]}." in str(error)
        assert "seed" not in str(error)
    assert on_all(lambda machine: cluster.check_same(machine, {"seed": 3, "shape": (1, 2)}), three) == [None] * 3


class Variable:
    def __init__(self, value):
        self.value = value

    def numpy(self):
        return self.value

    def assign(self, value):
        self.value = value


def test_the_chiefs_step_and_weights_reach_all(three):
    def share(machine):
        random = np.random.default_rng(machine.number)
        variables = {"a": Variable(random.normal(size=(3, 4)).astype("f")), "b": Variable(np.int64(machine.number + 7))}
        return (
            machine.share(10 * machine.number + 5, variables),
            variables["a"].value.tobytes(),
            int(variables["b"].value),
        )

    first, *others = on_all(share, three)
    assert first[0] == 5 and first[2] == 7 and others == [first, first]


@pytest.mark.parametrize("gone", [0, 1])
def test_a_machine_that_goes_away_is_named_by_the_others(three, gone):
    for connection in three[gone]._connections.values():
        connection.close()
    left = [machine for machine in three if machine.number != gone]
    for error in on_all(lambda machine: machine.gather(0), left):
        assert isinstance(error, ConnectionError) and f"{three[0].names[gone]} stopped answering" in str(error)


def test_a_machine_that_never_comes_is_named_and_given_up(monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "PATIENCE", 3.0)
    errors = on_all(meet, places(3)[:2])
    assert "worker 2" in str(errors[0]) and "worker 1" not in str(errors[0]) and "in vain" in str(errors[0])
    assert "Waiting for worker 2" in capsys.readouterr().out
    (error,) = on_all(meet, places(2)[1:])
    assert "worker 0" in str(error) and "in vain" in str(error)


def test_two_machines_of_the_same_number_and_a_taken_port_are_refused():
    chief, one, _ = places(3)
    twins = [chief, one, Places(one.names, [one.addresses[0], ("127.0.0.1", free_ports(1)[0])], 1)]
    assert "Two machines say that they are worker 1" in str(on_all(meet, twins)[0])
    (place, _) = places(2)
    with socket.create_server(("", place.addresses[0][1])):
        assert "is taken by another process" in str(on_all(meet, [place])[0])


def test_strangers_at_the_port_do_no_harm():
    chief, other = places(2)
    address = chief.addresses[0]
    welcome = threading.Thread(target=lambda: result.append(on_all(meet, [chief])[0]))
    result: list = []
    welcome.start()
    for content in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n......",
        b"capsule network job\n" + bytes(8),
        b"capsule network job\n\xff" * 9,
    ):
        for _ in range(50):
            try:
                with socket.create_connection(address) as stranger:
                    stranger.sendall(content)
                break
            except ConnectionRefusedError:
                threading.Event().wait(0.05)
    assert isinstance(meet(other), list)
    welcome.join()
    assert isinstance(result[0], list) and len(result[0]) == 1


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_tf_config_is_taken_as_tensorflow_takes_it():
    assert read_tf_config("") is read_tf_config("{}") is read_tf_config('{"cluster": {}}') is None
    both = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    read = read_tf_config(config(both, "worker", 1))
    assert read.names == ["chief 0 (c:3)", "worker 0 (a:1)", "worker 1 (b:2)"] and read.number == 2
    assert read.addresses[0] == ("c", 3)
    assert read_tf_config(config(both, "chief", "0")).number == 0
    assert read_tf_config(config({"worker": ["[::1]:5", "b:2"]})).addresses[0] == ("::1", 5)


BAD = [
    "nonsense", "[]", "3", '"text"', "[" * 5000, '{"cluster": {"worker": ["a:1", "b:2"]}}',
    config({"worker": [1, 2]}), config({"worker": 5}), config({"worker": "a:1"}), config({"worker": ["a", "b"]}),
    config({"worker": ["a:1", "a:1"]}), config({"worker": ["a:0", "b:1"]}), config({"worker": ["a:99999", "b:1"]}),
    config({"worker": ["a:1", "b:2"]}, index=2), config({"worker": ["a:1", "b:2"]}, index=0.5),
    config({"worker": ["a:1", "b:2"]}, index="x"), config({"worker": ["a:1", "b:2"]}, index=-1),
    config({"worker": ["a:1", "b:2"]}, kind="chief"), config({"worker": ["a:1"], "ps": ["b:1"]}),
    config({"chief": ["a:1", "b:1"]}, kind="chief"), config({"worker": ["a:1", "b:2"]}, index=[0]),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_any_other_tf_config_gets_one_sentence(text):
    with pytest.raises(ValueError, match=r"TF_CONFIG should be JSON like .* Received: "):
        read_tf_config(text)


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
