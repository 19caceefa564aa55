"""Networks for the page's tests, and the page at an address."""

import threading

import keras
import pytest

from explorer.page.server import Server
from input_data import Options, open_split
from models import make_model
from models.hparams import HParams
from runner.loader import Trained


def untrained(name: str, shape: tuple, targets: int = 1, dataset: str = "mnist", **hparams) -> Trained:
    """A small network with random weights."""
    keras.utils.set_random_seed(1)
    model = make_model(name, shape, 10, HParams(**{"num_prime_capsules": 4, "conv_channels": 32} | hparams))
    return Trained(model, 0, dataset, targets, tuple("0123456789"))


@pytest.fixture(scope="session")
def digits():
    """The embedded test digits."""
    return open_split("mnist", "test", None)


@pytest.fixture(scope="session")
def pairs():
    """Pairs of the embedded test digits."""
    return open_split("mnist", "test", None, Options(num_targets=2))


@pytest.fixture(scope="session")
def taught():
    """A small CapsNet that saw the embedded training digits once."""
    trained = untrained("capsule", (28, 28, 1))
    training = open_split("mnist", "train", None)
    trained.model.compile(keras.optimizers.Adam(3e-3))
    images = training.images.astype("float32") / 255
    trained.model.fit(images, training.labels, batch_size=64, epochs=1, verbose=0)
    return trained


@pytest.fixture(scope="session")
def serving():
    """A function that serves a network and gives the port; all servers end with the tests."""
    servers = []

    def start(trained, split) -> int:
        servers.append(Server(trained, split, 0))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
