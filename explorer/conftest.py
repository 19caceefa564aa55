"""A small network that was trained by the runner, for the tests of what one does with one."""

import pytest

from runner.config import RunConfig
from runner.loader import load
from runner.train import train


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Its checkpoint: 120 steps on the embedded digits, which leave a few errors in a hundred."""
    folder = tmp_path_factory.mktemp("network")
    small = "num_prime_capsules=2,conv_channels=24,primary_atoms=6,routing_gradient=last"
    override = f"{small},learning_rate=0.003"
    config = RunConfig(summary_dir=str(folder), max_steps=120, batch_size=64, eval_size=50, hparams_override=override)
    assert train(config)[0] == 0
    return str(folder / "train" / "model.ckpt-120")


@pytest.fixture(scope="session")
def network(checkpoint):
    """The network of that checkpoint."""
    return load(checkpoint)
