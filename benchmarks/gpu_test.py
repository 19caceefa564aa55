"""The program for a GPU, rehearsed where TensorFlow cannot be imported: it measures, trains, saves and ends in time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from input_data.formats import idx
from models import Classifier, pretrained

REHEARSAL = """
import sys
import jax, numpy as np
from benchmarks import gpu
from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE

images, labels = idx.load(SAMPLE, "train")
data, numbers, key = gpu.store(images, labels), np.arange(1000), jax.random.key(0)
shifted, own, _ = jax.jit(gpu.shifted)(data, key, numbers)
assert (np.asarray(own)[:, 0] == labels[:1000]).all()
for image, made in zip(images[:50], np.round(np.asarray(shifted[..., 0]) * 255)):
    padded = np.pad(image, 2)
    assert any((padded[r : r + 28, c : c + 28] == made).all() for r in range(5) for c in range(5))
pairs, both, targets = map(np.asarray, jax.jit(gpu.pairs)(data, key, numbers))
assert (both[:, 0] != both[:, 1]).all() and pairs.shape == (1000, 36, 36, 1) and targets.shape == (1000, 2, 36, 36, 1)
np.testing.assert_allclose(pairs, np.minimum(targets.sum(axis=1), 1), atol=1e-6)
assert np.bincount(both[:, 1]).min() > 60
gpu.RECIPES["broken"] = gpu.RECIPES["paper"]  # which has no sizes
gpu.main()
"""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory, digits):
    """The folder of a rehearsal."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "tensorflow.py").write_text("raise ImportError('TensorFlow is imported')")
    environment = os.environ | {"PYTHONPATH": f"{root}:{Path(__file__).parents[1]}", "KERAS_BACKEND": "jax"}
    environment |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    flags = ["--rehearse", "--precision=float32", f"--data_dir={digits}", f"--out={root}"]
    flags += ["--parts=step,recipe,broken,multi:1,step:0"]  # the last two have hardly any time
    command = [sys.executable, "-c", REHEARSAL, *flags]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def rows(folder: Path, **values) -> list[dict]:
    """The results with these values."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if values.items() <= row.items()]


def test_steps_are_timed_with_each_kind_of_votes(rehearsed):
    measured = rows(rehearsed, part="step", routing=3)
    assert [row["votes"] for row in measured] == ["library", "stored"]
    assert measured[0]["losses"] == pytest.approx(measured[1]["losses"], rel=1e-3)  # the same numbers
    assert all(row["images_per_second"] > 0 and row["megabytes"] > 0 and row["device"] for row in measured)
    assert set(measured[0]["versions"]) == {"keras", "jax", "numpy"} and measured[0]["command"]


def test_training_lowers_the_loss_and_the_folder_is_that_of_a_pretrained_network(rehearsed, digits):
    trained, evaluated = rows(rehearsed, part="recipe")
    assert trained["steps"] == 16 and trained["losses"][1] < 0.95 * trained["losses"][0]
    model = Classifier.from_preset(rehearsed / "recipe")
    images, labels = idx.load(digits, "test")
    lengths = np.asarray(model(images[..., None].astype(np.float32) / 256)["logits"])
    assert abs(int((lengths.argmax(axis=1) != labels).sum()) - evaluated["wrong"]) <= 1
    config = json.loads(pretrained.read_file(rehearsed / "recipe", pretrained.CONFIG))
    assert (
        config.keys()
        >= json.loads(pretrained.read_file(pretrained.FOLDER / "capsnet_mnist_small", pretrained.CONFIG)).keys()
    )
    assert (config["data"]["examples"], config["hparams"]["preparation"]) == (1024, "efficient")


def test_a_part_that_fails_or_has_no_time_is_reported_and_the_next_one_begins(rehearsed):
    assert rows(rehearsed, part="broken")[0]["failed"].startswith("KeyError: ")
    assert rows(rehearsed, part="step")[-1]["stopped"] == "the time was up"


def test_the_time_ends_training_between_two_calls_and_what_there_is_is_saved(rehearsed):
    trained, evaluated = rows(rehearsed, part="multi")
    assert 0 < trained["steps"] < trained["of"] and 0 <= evaluated["wrong"] <= evaluated["test_examples"] == 200
    assert json.loads(pretrained.read_file(rehearsed / "multi", pretrained.CONFIG))["flags"]["num_targets"] == 2
