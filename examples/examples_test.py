"""The examples run as their first lines say, on a few digits."""

import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that runs an example in `tmp_path`, as its first lines say, and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())  # the examples add to it

    def run(name, folder):
        monkeypatch.setattr(sys, "argv", [name, str(folder)])
        runpy.run_path(str(HERE / name), run_name="__main__")
        return capsys.readouterr().out

    yield run
    plt.close("all")


def test_a_capsule_layer_on_ones_own_network_learns(digits, run):
    accuracy, count = re.search(r"Right: ([\d.]+)% of (\d+) test digits", run("own_model.py", digits)).groups()
    assert count == "200" and float(accuracy) > 60


def test_a_new_routing_trains_and_is_drawn(digits, run, tmp_path):
    losses = [float(loss) for loss in re.findall(r"loss: ([\d.]+)", run("new_routing.py", digits))]
    assert losses[-1] < 0.8 * losses[0]
    assert (tmp_path / "new_routing.png").stat().st_size > 5000
