"""The code in the README and in docs/library.md runs as it stands, on the embedded digits."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUP = """
import sys
sys.path.insert(0, {root!r})
from input_data.formats.idx import load
from input_data.mnist.mnist_input import SAMPLE
(x_train, y_train), (x_test, y_test) = load(SAMPLE, "train"), load(SAMPLE, "test")
x_train, y_train, x_test = x_train[:2000, ..., None] / 255, y_train[:2000], x_test[..., None] / 255
import keras
keras.utils.set_random_seed(0)
"""
REPORT = """
print("right:", (lengths.argmax(axis=1) == y_test).mean())
"""


def test_the_readmes_lines_reach_the_same_accuracy_on_three_backends(tmp_path):
    (lines,) = re.findall(
        r"```python\n(import keras.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    smaller = {"Conv2D(256,": "Conv2D(16,", "types=32": "types=4", "batch_size=128": "batch_size=20"}
    for words, fewer in smaller.items():
        assert words in lines
        lines = lines.replace(words, fewer)
    processes = {}
    for backend in ("tensorflow", "jax", "torch"):
        (tmp_path / backend).mkdir()
        processes[backend] = subprocess.Popen(
            [sys.executable, "-c", SETUP.format(root=str(ROOT)) + lines + REPORT],
            cwd=tmp_path / backend,
            env=os.environ
            | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    right = {}
    for backend, process in processes.items():
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        right[backend] = float(out.split("right:")[1])
    assert min(right.values()) > 0.85, right
    assert max(right.values()) - min(right.values()) < 0.04, right


def test_every_block_of_the_librarys_page_runs(tmp_path):
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 6
    few = "x_train, y_train, x_test = x_train[:256].astype('float32'), y_train[:256], x_test[:10]\n"
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(root=str(ROOT)) + few + "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "(2, 288, 10) (2, 10, 16)" in done.stdout and "capsnet_mnist_small" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"digits.keras", "my_network"}
    assert {path.name for path in (tmp_path / "my_network").iterdir()} == {"config.json", "weights.npz", "SHA256SUMS"}
