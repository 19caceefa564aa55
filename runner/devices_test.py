"""The choice of devices."""

import pytest
import tensorflow as tf

from runner.devices import connect, show_devices
from runner.flags import UserError


@pytest.mark.parametrize(
    ("gpus", "count", "words"),
    [
        ("0", 0, "--gpus takes cpu: this machine has no GPU"),
        ("0,4", 4, "--gpus takes cpu, or some of 0,1,2,3. Received: 0,4"),
        ("0,0", 2, "Received: 0,0"),
        ("", 2, "cpu, or some of 0,1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(gpus, count, words, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [object()] * count)
    with pytest.raises(ValueError, match=words):
        show_devices.__wrapped__(gpus)


OTHER = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 4}}'


@pytest.mark.parametrize("text", ["{", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": {"worker": 3}}', OTHER])
def test_a_malformed_tf_config_is_one_sentence(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG should be JSON like"):
        connect.__wrapped__(None, 1)


@pytest.mark.parametrize("text", ["{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_a_single_machine_needs_no_others(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    machines = connect.__wrapped__(None, 1)
    assert machines.names == ("this machine",) and machines.share(7, []) == 7
    machines.check_same({"a": 1})
