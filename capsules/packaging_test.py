"""The wheel: what is in it, that it works away from the checkout, and what to read where no backend is installed."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import capsules

ROOT = Path(__file__).parents[1]
CARD = ROOT / "pretrained/capsnet_mnist_small/README.md"


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"KERAS_HOME": str(folder), "JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked, built from a copy so that nothing is written into the checkout; no network."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("capsules", "models", "pretrained"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done = run("from setuptools.build_meta import build_wheel; build_wheel('.')", source)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(source.glob("*.whl"))) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_has_the_library_and_the_networks_and_nothing_else(wheel):
    names = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    assert {"capsules/py.typed", "capsules/layers.py", "capsules/models/capsnet.py"} <= names
    assert not any(name.startswith("models") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"capsules", "dynamic_routing_capsules"}
    assert not [name for name in names if name.endswith("_test.py")]
    metadata = message_from_bytes(next(wheel.glob("*.dist-info/METADATA")).read_bytes())
    assert metadata["License-Expression"] == "Apache-2.0" and metadata["License-File"] == "LICENSE"
    assert metadata["Version"] == capsules.__version__
    assert f"version: {capsules.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_wheel_has_the_networks_that_ship_with_their_cards(wheel):
    ours = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / "pretrained").glob("*/*")}
    shipped = {
        path.relative_to(wheel / "capsules"): path.read_bytes() for path in wheel.glob("capsules/pretrained/*/*")
    }
    assert shipped == ours


SAVE = """
import numpy as np, keras, capsules
from capsules import Baseline, CapsNet, DynamicRouting, EfficientCapsNet, MatrixCapsNet
capsnet = CapsNet((20, 20, 1), 3, filters=2, primary_types=1, routing=DynamicRouting(2, scale="sqrt"))
inputs = keras.Input((20, 20, 1))
own = keras.Model(inputs, capsules.Length()(capsules.Capsules(3, 4)(capsules.PrimaryCapsules(2, 4)(inputs))))
images = np.random.RandomState(0).rand(2, 20, 20, 1).astype("float32")
for name, model in (("capsnet", capsnet), ("own", own)):
    model.compile("adam", capsules.margin_loss if name == "own" else capsules.MarginLoss())
    model.save(f"FOLDER/{name}.keras")
    outputs = model(images)
    np.save(f"FOLDER/{name}.npy", keras.ops.convert_to_numpy(outputs if name == "own" else outputs["lengths"]))
"""
LOAD = """
import numpy as np, keras, capsules
for name in ("capsnet", "own"):
    model = keras.models.load_model(f"FOLDER/{name}.keras")
    outputs = model(np.random.RandomState(0).rand(2, 20, 20, 1).astype("float32"))
    outputs = keras.ops.convert_to_numpy(outputs if name == "own" else outputs["lengths"])
    assert np.abs(outputs - np.load(f"FOLDER/{name}.npy")).max() < 1e-5
    assert model.compiled
"""
NETWORKS = """
import sys
small = capsules.CapsNet.from_preset("capsnet_mnist_small")
print(capsules.__file__, capsules.__version__, "models" in sys.modules, *capsules.presets(), small.count_weights())
"""


def test_a_file_of_a_checkout_loads_where_the_wheel_is_and_the_reverse_and_the_wheel_has_its_networks(wheel, tmp_path):
    """A new process knows of the networks of the wheel by `import capsules` alone, and this one of the checkout's."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir(), theirs.mkdir()
    exec(SAVE.replace("FOLDER", str(ours)), {})
    code = LOAD.replace("FOLDER", str(ours)) + SAVE.replace("FOLDER", str(theirs)) + NETWORKS
    # PyTorch compiles nothing, so these small networks are made at once.
    done = run(code, tmp_path, PYTHONPATH=str(wheel), KERAS_BACKEND="torch", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    place, version, has_models, *names, weights = done.stdout.split()
    assert (place, version, has_models) == (str(wheel / "capsules/__init__.py"), capsules.__version__, "False")
    assert names == capsules.presets() and f"{int(weights):,} trainable weights" in CARD.read_text(encoding="utf-8")
    exec(LOAD.replace("FOLDER", str(theirs)), {})


def test_without_tensorflow_the_error_names_the_backends_that_are_installed(monkeypatch):
    for name in ("keras", "tensorflow", "torch"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    spec = importlib.util.spec_from_file_location("capsules_again", ROOT / "capsules/__init__.py")
    with pytest.raises(ImportError, match="installed: jax. Choose one with the environment variable KERAS_BACKEND"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
