"""The program for a GPU, rehearsed where TensorFlow cannot be imported: it measures, trains, saves and ends in time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE
from models import load_pretrained, pretrained

ROOT = Path(__file__).resolve().parents[1]
BATCHES = """
import jax, numpy as np
from benchmarks import on_device
from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE

images, labels = idx.load(SAMPLE, "train")
data, numbers, key = on_device.store(images, labels), np.arange(1000), jax.random.key(0)
shifted, own, _ = jax.jit(on_device.shifted)(data, key, numbers)
assert (np.asarray(own)[:, 0] == labels[:1000]).all()
for image, made in zip(images[:50], np.round(np.asarray(shifted[..., 0]) * 255)):
    padded = np.pad(image, 2)
    assert any((padded[r : r + 28, c : c + 28] == made).all() for r in range(5) for c in range(5))
pairs, both, targets = map(np.asarray, jax.jit(on_device.pairs)(data, key, numbers))
assert (both[:, 0] != both[:, 1]).all() and pairs.shape == (1000, 36, 36, 1) and targets.shape == (1000, 2, 36, 36, 1)
np.testing.assert_allclose(pairs, np.minimum(targets.sum(axis=1), 1), atol=1e-6)
assert np.bincount(both[:, 1]).min() > 60
random = np.random.default_rng(0)
maps, kernel = random.standard_normal((2, 13, 13, 8), np.float32), random.standard_normal((9, 9, 8, 4), np.float32)
expected = on_device.direct(maps, kernel)
for form in on_device.FORMS.values():
    np.testing.assert_allclose(form(maps, kernel), expected, atol=1e-3)
"""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """The folder of two rehearsals at the same time, "all" and "ended", whose programs were "program" and "batches"."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "stub").mkdir()
    (root / "stub/tensorflow.py").write_text("raise ImportError('TensorFlow is imported')")
    digits = root / "digits"
    digits.mkdir()
    for part, prefix, count in (("train", "train", 256), ("test", "t10k", 100)):
        for kind, array in zip(("images-idx3", "labels-idx1"), idx.load(SAMPLE, part), strict=True):
            idx.write(digits / f"{prefix}-{kind}-ubyte.gz", array[:count])
    (root / "all").mkdir()
    (root / "all/multi").write_text("a file where the folder of a network should be")
    program = [str(ROOT / "benchmarks/gpu.py"), "--rehearse", f"--data_dir={digits}", "--precision=float32"]
    runs = {
        "all": [*program, f"--out={root}/all", "--parts=step:900,paper:900,multi:900"],
        "ended": [*program, f"--out={root}/ended", "--parts=recipe,step", "--seconds=25", "--steps=1000000"],
        "batches": ["-c", BATCHES],
    }
    environment = os.environ | {"PYTHONPATH": f"{root / 'stub'}:{ROOT}", "KERAS_BACKEND": "jax"}
    environment |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = {n: subprocess.Popen([sys.executable, *a], env=environment, cwd=root, **pipes) for n, a in runs.items()}
    for name, process in started.items():
        output, _ = process.communicate()
        assert process.returncode == 0, f"{name}: {output}"
    return root


def rows(folder: Path, **values) -> list[dict]:
    """The results with these values."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if values.items() <= row.items()]


def test_steps_are_timed_with_each_form_and_kind_of_votes(rehearsed):
    measured = rows(rehearsed / "all", part="step", routing=3)
    ways = {("direct", "library"), ("space_to_depth", "library"), ("patches", "library"), ("direct", "stored")}
    assert {(row["form"], row["votes"]) for row in measured} == ways and len(measured) == 2 * len(ways)
    for batch in (2, 4):
        losses = [row["loss"] for row in measured if row["batch"] == batch]
        assert max(losses) < 1.001 * min(losses)  # the same numbers, computed in other ways
    assert all(row["images_per_second"] > 0 and row["megabytes"] > 0 and row["device"] for row in measured)
    assert set(measured[0]["versions"]) == {"keras", "jax", "numpy"} and "gpu.py" in measured[0]["command"]


def test_training_lowers_the_loss_and_the_folder_is_that_of_a_pretrained_network(rehearsed):
    trained, evaluated = rows(rehearsed / "all", part="paper")
    assert trained["steps"] == 24 and trained["losses"][1] < 0.8 * trained["losses"][0]
    model = load_pretrained(rehearsed / "all/paper")
    images, labels = idx.load(rehearsed / "digits", "test")
    lengths = np.asarray(model(images[..., None].astype(np.float32) / 255)["logits"])
    assert abs(int((lengths.argmax(axis=1) != labels).sum()) - evaluated["wrong"]) <= 1
    shipped = pretrained.read_config(Path(pretrained.__file__).parents[1] / "pretrained/capsnet_mnist_small")
    config = pretrained.read_config(rehearsed / "all/paper")
    assert config.keys() == shipped.keys() and config["flags"].keys() == shipped["flags"].keys()
    assert config["hparams"].keys() >= shipped["hparams"].keys() and config["data"]["examples"] == 256


def test_a_part_that_fails_is_reported(rehearsed):
    trained, failed = rows(rehearsed / "all", part="multi")
    assert trained["steps"] == 8 and failed["failed"].startswith("ValueError: ")


def test_the_time_ends_training_between_two_calls_and_what_there_is_is_saved(rehearsed):
    trained, evaluated = rows(rehearsed / "ended", part="recipe")
    assert 0 < trained["steps"] < 1_000_000 and 0 <= evaluated["wrong"] <= evaluated["test_examples"] == 100
    assert pretrained.read_config(rehearsed / "ended/recipe")["hparams"]["preparation"] == "efficient"
    (stopped,) = rows(rehearsed / "ended", part="step")
    assert stopped["stopped"] == "the time was up"
