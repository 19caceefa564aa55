"""The code in the README and in docs/library.md runs as it stands, on the embedded digits."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import keras
from input_data.formats.idx import load
from input_data.mnist.mnist_input import SAMPLE
os.chdir(sys.argv[1])
(x_train, y_train), (x_test, y_test) = load(SAMPLE, "train"), load(SAMPLE, "test")
x_train, y_train = x_train[:COUNT, ..., None].astype("float32") / 255, y_train[:COUNT]
x_test, y_test = x_test[:512, ..., None].astype("float32") / 255, y_test[:512]
absent = "tensorflow" not in sys.modules
if absent:
    sys.modules["tensorflow"] = None  # Keras would load it, to seed it too
keras.utils.set_random_seed(0)
if absent:
    del sys.modules["tensorflow"]
"""
CROP = "x_train, x_test = x_train[:, 4:24, 4:24], x_test[:, 4:24, 4:24]\n"  # digits have a margin of 4 pixels
REPORT = """
print("right:", (lengths.argmax(axis=1) == y_test).mean())
"""


def blocks(file: str) -> list[str]:
    """The blocks of Python in a file."""
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def run(tmp_path, monkeypatch, on_backend):
    """A function that runs code in `tmp_path`, and returns what it prints."""
    monkeypatch.chdir(tmp_path)  # and back again

    def run(code, count, backend="tensorflow"):
        return on_backend(backend, SETUP.replace("COUNT", str(count)) + code, tmp_path)

    return run


def test_the_readmes_lines_reach_the_same_accuracy_on_three_backends(run):
    (lines,) = blocks("README.md")
    smaller = {"(28, 28, 1)": "(20, 20, 1)", "Conv2D(256,": "Conv2D(8,", "types=32": "types=4", "=128": "=10"}
    for words, fewer in smaller.items():
        assert words in lines
        lines = lines.replace(words, fewer)
    right = [float(run(CROP + lines + REPORT, 600, backend).split("right:")[1])
             for backend in ("tensorflow", "jax", "torch")]  # fmt: skip
    assert min(right) > 0.7 and max(right) - min(right) < 0.08, right


def test_every_block_of_the_librarys_page_runs(run, tmp_path, eagerly):
    codes = blocks("docs/library.md")
    assert len(codes) == 6
    printed = run("x_test = x_test[:10]\n" + "\n".join(codes), 128)  # each model takes a step
    assert "(2, 288, 10) (2, 10, 16)" in printed and "capsnet_mnist_small" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"digits.keras", "my_network"}
    assert {path.name for path in (tmp_path / "my_network").iterdir()} == {"config.json", "weights.npz", "SHA256SUMS"}
