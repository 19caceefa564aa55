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
from input_data.mnist.varied_digits import vary

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
varied = np.asarray(jax.jit(on_device.varied)(data, key, numbers)[0][..., 0])
others = vary(images[:1000].astype(np.float32) / 256, np.random.default_rng(0).random((1000, 11)))
statistics = (np.mean, np.std, lambda x: (x > 0).mean(), lambda x: x.mean(axis=0).std(),
              lambda x: x.sum(axis=(1, 2)).std(), lambda x: (x.sum(axis=1) > 0).sum(axis=1).mean())
for statistic in statistics:
    np.testing.assert_allclose(statistic(varied), statistic(others), rtol=0.04)
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
    for name in ("all", "ended"):
        (root / name).mkdir()
    (root / "all/multi_0").write_text("a file where the folder of a network should be")
    program = [str(ROOT / "benchmarks/gpu.py"), "--rehearse", f"--data_dir={digits}"]
    parts = "--parts=" + ",".join(f"{part}:900" for part in ("forms", "step", "paper", "multi", "torch"))
    runs = {
        "all": [*program, f"--out={root}/all", parts, "--form=space_to_depth"],
        "ended": [*program, f"--out={root}/ended", "--parts=recipe,forms", "--seconds=12", "--steps=1000000"],
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


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_form_of_the_convolution_agrees_with_the_direct_one(rehearsed, backend):
    measured = rows(rehearsed / "all", part="forms", backend=backend)
    assert len({(row["form"], row["direction"], row["batch"]) for row in measured}) == 3 * 3 * 2
    assert all(row["relative_error"] < 1e-5 and row["ms"] > 0 and row["tflops"] > 0 for row in measured)
    (step, *_) = rows(rehearsed / "all", part="step", backend=backend)
    assert step["images_per_second"] > 0 and step["share"] > 0
    assert (
        set(step["versions"]) == {"keras", backend, "numpy", "python"}
        and step["device"]
        and "gpu.py" in step["command"]
    )


def test_training_lowers_the_loss_and_the_folder_is_that_of_a_pretrained_network(rehearsed, monkeypatch):
    trained, evaluated, saved = rows(rehearsed / "all", part="paper")
    assert trained["steps"] == 24 and trained["losses"][1] < 0.8 * trained["losses"][0]
    assert trained["form"] == "space_to_depth" and saved["checkpoint"] == "paper_0"
    monkeypatch.setattr(pretrained, "FOLDER", rehearsed / "all")
    model = load_pretrained("paper_0")
    images, labels = idx.load(rehearsed / "digits", "test")
    lengths = np.asarray(model(images[..., None].astype(np.float32) / 255)["logits"])
    assert abs(int((lengths.argmax(axis=1) != labels).sum()) - evaluated["wrong_of_file"]) <= 1
    shipped = pretrained.read_config(Path(pretrained.__file__).parents[1] / "pretrained/capsnet_mnist_small")
    config = pretrained.read_config(rehearsed / "all/paper_0")
    assert config.keys() == shipped.keys() and config["flags"].keys() == shipped["flags"].keys()
    assert config["hparams"].keys() >= shipped["hparams"].keys() and config["data"]["examples"] == 256


def test_a_part_that_fails_is_reported_and_the_next_one_begins(rehearsed):
    trained, evaluated, failed = rows(rehearsed / "all", part="multi")
    assert failed["failed"].startswith("FileExistsError: ")
    assert trained["steps"] == 8 and 0 <= evaluated["wrong_6_last"] <= evaluated["test_examples"] == 100
    assert rows(rehearsed / "all", backend="torch")[0]["part"] == "ceiling"


def test_the_time_ends_training_between_two_calls_and_what_there_is_is_saved(rehearsed):
    trained, evaluated, saved = rows(rehearsed / "ended", part="recipe")
    assert 0 < trained["steps"] < 1_000_000 and evaluated["wrong_averaged"] == evaluated["wrong_of_file"]
    assert pretrained.read_config(rehearsed / "ended" / saved["checkpoint"])["hparams"]["preparation"] == "efficient"
    (stopped,) = rows(rehearsed / "ended", part="forms")
    assert stopped["stopped"].startswith("the time was up before")
