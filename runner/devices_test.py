"""The choice of devices."""

import pytest

from runner.devices import connect
from runner.flags import UserError

TWO = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
OTHER = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 4}}'


@pytest.mark.parametrize("text", ["{", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": {"worker": 3}}', OTHER])
def test_a_malformed_tf_config_is_one_sentence(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG should be JSON like"):
        connect.__wrapped__(1)


@pytest.mark.parametrize("text", ["{}", TWO])
def test_more_devices_than_a_machine_has_are_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"--num_gpus=99 needs 99 devices. This machine has \d+ CPU"):
        connect.__wrapped__(99)


@pytest.mark.parametrize("text", ["{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_a_single_machine_needs_no_others(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    machines = connect.__wrapped__(1)
    assert machines.names == ("this machine",) and machines.share(7, []) == 7
    machines.check_same({"a": 1})
