"""The examples run as their first lines say, on a few digits."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with 1,024 training and 200 test digits."""
    folder = tmp_path_factory.mktemp("digits")
    for part, prefix, count in (("train", "train", 1024), ("test", "t10k", 200)):
        images, labels = idx.load(SAMPLE, part)
        idx.write(folder / f"{prefix}-images-idx3-ubyte.gz", images[:count])
        idx.write(folder / f"{prefix}-labels-idx1-ubyte.gz", labels[:count])
    return folder


def run(*arguments) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_capsule_layer_on_ones_own_network_learns(digits):
    accuracy, count = re.search(r"Right: ([\d.]+)% of (\d+) test digits", run(HERE / "own_model.py", digits)).groups()
    assert count == "200" and float(accuracy) > 60


def test_a_new_routing_trains_and_is_drawn(tmp_path):
    command = [sys.executable, str(HERE / "new_routing.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"loss: ([\d.]+)", done.stdout)]
    assert losses[-1] < 0.8 * losses[0]
    assert (tmp_path / "new_routing.png").stat().st_size > 5000
