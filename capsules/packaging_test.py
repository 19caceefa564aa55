"""The wheel: what is in it, that it works away from the checkout, and what to read where no backend is installed."""

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


NETWORKS = """
import sys
import capsules.models
small = {"num_prime_capsules": 1, "conv_channels": 2}
for name in capsules.models.MODELS:
    capsules.models.make_model(name, (20, 20, 1), 3, small if name == "capsule" else None)
for name in capsules.models.pretrained.names():
    print(name, f"{capsules.models.load_pretrained(name).count_weights():,}")
print(capsules.__file__, capsules.__version__, "models" in sys.modules)
"""
SAVE = """
import sys, numpy as np, keras, capsules
from capsules import CapsNet, DynamicRouting, EfficientCapsNet
capsnet = CapsNet((20, 20, 1), 3, filters=2, primary_types=1, routing=DynamicRouting(2, scale="sqrt"))
inputs = keras.Input((20, 20, 1))
own = keras.Model(inputs, capsules.Length()(capsules.Capsules(3, 4)(capsules.PrimaryCapsules(2, 4)(inputs))))
images = np.random.RandomState(0).rand(2, 20, 20, 1).astype("float32")
for name, model in (("capsnet", capsnet), ("efficient", EfficientCapsNet((20, 20, 1), 3)), ("own", own)):
    model.compile("adam", capsules.margin_loss if name == "own" else capsules.MarginLoss())
    model.save(f"FOLDER/{name}.keras")
    outputs = model(images)
    np.save(f"FOLDER/{name}.npy", keras.ops.convert_to_numpy(outputs if name == "own" else outputs["lengths"]))
"""
LOAD = """
import numpy as np, keras, capsules
for name in ("capsnet", "efficient", "own"):
    model = keras.models.load_model(f"FOLDER/{name}.keras")
    outputs = model(np.random.RandomState(0).rand(2, 20, 20, 1).astype("float32"))
    outputs = keras.ops.convert_to_numpy(outputs if name == "own" else outputs["lengths"])
    assert np.abs(outputs - np.load(f"FOLDER/{name}.npy")).max() < 1e-5
    print(name, model.compiled, capsules.__file__)
"""


@pytest.fixture(scope="module")
def printed(wheel, tmp_path_factory):
    """What a process with the wheel prints, which loads files of this checkout, and one in the checkout, the reverse.

    They are new processes, which know of the networks by `import capsules` alone.
    """
    of_checkout, of_wheel = (tmp_path_factory.mktemp(name) for name in ("checkout", "wheel"))
    exec(SAVE.replace("FOLDER", str(of_checkout)), {})
    printed = []
    for place, code in (
        (wheel, LOAD.replace("FOLDER", str(of_checkout)) + NETWORKS + SAVE.replace("FOLDER", str(of_wheel))),
        (ROOT, LOAD.replace("FOLDER", str(of_wheel))),
    ):
        # PyTorch compiles nothing, so these small networks are made at once.
        done = run(code, of_wheel, PYTHONPATH=str(place), KERAS_BACKEND="torch", OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        printed.append([line.split() for line in done.stdout.splitlines()])
    return printed


def test_the_networks_of_the_wheel_work_away_from_the_checkout(wheel, printed):
    *shipped, where = printed[0][3:]
    assert where == [str(wheel / "capsules/__init__.py"), capsules.__version__, "False"]
    cards = {path.parent.name: path.read_text(encoding="utf-8") for path in ROOT.glob("pretrained/*/README.md")}
    assert [name for name, _ in shipped] == sorted(cards)
    assert all(f" {count} trainable weights" in cards[name] for name, count in shipped)


def test_a_file_saved_in_a_checkout_loads_where_the_wheel_is_and_the_reverse(wheel, printed):
    for lines, place in zip(printed, (wheel, ROOT), strict=True):
        where = str(place / "capsules/__init__.py")
        assert lines[:3] == [[name, "True", where] for name in ("capsnet", "efficient", "own")]


def test_without_tensorflow_the_error_names_the_backends_that_are_installed(tmp_path):
    code = "import sys; sys.modules.update(tensorflow=None, torch=None); import capsules"
    done = run(code, tmp_path, KERAS_BACKEND="", PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert "installed: jax. Choose one with the environment variable KERAS_BACKEND" in done.stderr.splitlines()[-1]
