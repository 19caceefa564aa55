"""The choice of devices."""

import pytest
import tensorflow as tf

from runner.devices import choose_devices


@pytest.mark.parametrize(
    ("gpus", "count", "words"),
    [
        ("0", 0, "--gpus takes cpu: this machine has no GPU"),
        ("1", 1, "--gpus takes cpu or 0: this machine has 1 GPU"),
        ("0,4", 4, "--gpus takes cpu or numbers 0 to 3: this machine has 4 GPU"),
        ("-1", 2, "cpu or numbers 0 to 1"),
        ("first", 2, "Received: first"),
        ("0,0", 2, "each named once"),
        ("²", 2, "Received: ²"),
        ("", 2, "cpu or numbers 0 to 1"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(gpus, count, words, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [object()] * count)
    with pytest.raises(ValueError, match=words):
        choose_devices(gpus, None)
