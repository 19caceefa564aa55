"""Machines find each other by TF_CONFIG, and name who does not come."""

import json
import socket
import threading

import pytest

from runner import rendezvous
from runner.conftest import free_ports, on_all, places
from runner.rendezvous import Places, meet, read_tf_config


def test_a_machine_that_never_comes_is_named_and_given_up(monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "PATIENCE", 3.0)
    errors = on_all(meet, places(3)[:2])
    assert "worker 2" in str(errors[0]) and "worker 1" not in str(errors[0]) and "and gave up" in str(errors[0])
    assert "Waiting for worker 2" in capsys.readouterr().out
    (error,) = on_all(meet, places(2)[1:])
    assert "worker 0" in str(error) and "and gave up" in str(error)


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
