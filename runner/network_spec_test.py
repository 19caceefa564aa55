"""What a network is, with what flags say of it, and what makes a run the same run."""

from dataclasses import replace

from models.hparams import HParams
from runner.network_spec import NetworkSpec, SavedConfig
from runner.run_config import RunConfig


def test_flags_change_what_they_name_and_nothing_else():
    network = NetworkSpec("baseline", HParams(routing=5), "cifar10", image_size=24)
    assert network.with_flags(RunConfig()) == network
    changed = network.with_flags(RunConfig(dataset="svhn", hparams_override="leaky=true"))
    assert changed == replace(network, dataset="svhn", hparams=HParams(routing=5, leaky=True))
    assert network.differences(changed) == ["dataset"]


def test_a_run_is_another_with_other_data_or_precision():
    flags = {"seed": 1, "precision": "float32", "summary_dir": "S"}
    saved = SavedConfig(NetworkSpec(), (28, 28, 1), ("0", "1"), flags, {}, data={"examples": 5})
    assert saved.identity() == replace(saved, flags=flags | {"summary_dir": "T"}).identity()
    assert saved.identity() != replace(saved, flags=flags | {"precision": "float16"}).identity()
    assert saved.identity() != replace(saved, data={"examples": 6}).identity()
