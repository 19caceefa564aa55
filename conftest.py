"""Each test starts from the same random state, so that a failure repeats, and hears the end of a terminal."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from runner.startup import keep_memory

keep_memory()  # as the programs do
# Shells have a process ignore SIGINT behind `&` and SIGHUP under nohup, and its children too; the tests send both.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def same_random_state():
    """Seeds before each test."""
    seed()


def pytest_fixture_setup(fixturedef):
    """Seeds before a fixture that several tests share: it is made before the first of them is seeded."""
    if fixturedef.scope != "function":
        seed()


def seed():
    """Seeds Keras, NumPy and Python."""
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture
def eagerly():
    """Computes each operation at once: to compile a network takes longer than the few steps of most tests."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def tensors(prefix):
    """The arrays of a checkpoint by name, read by TensorFlow."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same(one, other, **tolerance):
    """Checks that two checkpoints have the same arrays, within a tolerance if one is given."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance:
            np.testing.assert_allclose(value, other[name], **tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def scalars(folder):
    """{(tag, step): the number} of a folder's events for TensorBoard; None stands for a value that is no number."""
    import tensorflow as tf

    found = {}
    for path in sorted(Path(folder).glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found[value.tag, event.step] = float(array) if array.ndim == 0 and array.dtype.kind == "f" else None
    return found


def run_program(main, capsys, arguments):
    """(exit code, output, errors) of a program's `main`, run in this process."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as leave:
        code = leave.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# Small layers are compiled more often than they run, and threads of a small product only wait for each other.
FAST_START = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    "OMP_NUM_THREADS": "1",
}
ANSWERING = """
import contextlib, io, json, os, sys, traceback
answers, home = os.fdopen(os.dup(1), "w"), os.getcwd()
os.dup2(2, 1)
for question in sys.stdin:
    (code, sys.argv[1:]), printed, error = json.loads(question), io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    os.chdir(home)
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def on_backend():
    """A function that runs code on a backend of Keras, and returns what it prints.

    TensorFlow is that of this process. Another backend has one process, which runs what all tests give it.
    """
    processes = {}

    def run(backend, code, *arguments):
        if backend == "tensorflow":
            state = {"argv": ["", *map(str, arguments)], "path": [*sys.path]}
            with contextlib.redirect_stdout(io.StringIO()) as printed, patch.multiple(sys, **state):
                exec(code, {"__name__": "__main__"})
            return printed.getvalue()
        if backend not in processes:
            environment = os.environ | FAST_START | {"KERAS_BACKEND": backend}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            command = [sys.executable, "-c", ANSWERING]
            processes[backend] = subprocess.Popen(command, cwd=Path(__file__).parent, env=environment, **pipes)
        process = processes[backend]
        print(json.dumps([code, list(map(str, arguments))]), file=process.stdin, flush=True)
        printed, error = json.loads(process.stdout.readline())
        assert error is None, error
        return printed

    yield run
    for process in processes.values():
        process.kill()  # an interpreter with a backend takes seconds to end by itself
        process.communicate()


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with MNIST's files of the first 1,024 training and 200 test digits."""
    from input_data.formats import idx
    from input_data.mnist.mnist_input import SAMPLE

    folder = tmp_path_factory.mktemp("digits")
    for part, prefix, count in (("train", "train", 1024), ("test", "t10k", 200)):
        for kind, array in zip(("images-idx3", "labels-idx1"), idx.load(SAMPLE, part), strict=True):
            idx.write(folder / f"{prefix}-{kind}-ubyte.gz", array[:count])
    return folder


@pytest.fixture(scope="session")
def made_to_ship(tmp_path_factory):
    """A folder as `pretrained/` with the network `capsnet_mnist_small`, a tiny one with random weights of step 2.

    Beside it is `run`, the run that it is made from.
    """
    from models.hparams import HParams
    from models.optimizer import make_optimizer
    from runner import checkpoints, config, loader
    from tools import ship

    root, hparams = tmp_path_factory.mktemp("ships"), HParams(num_prime_capsules=1, conv_channels=4)
    flags = {"summary_dir": str(root), "data_dir": "/secret", "batch_size": 16, "max_steps": 2, "validate": True}
    flags |= {"hparams_override": "num_prime_capsules=1,conv_channels=4"}
    network = config.NetworkConfig(flags, hparams, (28, 28, 1), tuple("0123456789"), data={"examples": 5000})
    model, optimizer = loader.build(network), make_optimizer(hparams)
    optimizer.build(model.trainable_variables)
    (root / "run/train").mkdir(parents=True)
    checkpoints.save(root / "run/train", 2, model, optimizer)
    config.write(root / "run/train", network)
    assert ship.main([str(root / "run"), str(root / "pretrained/capsnet_mnist_small")]) == 0
    return root / "pretrained"


@pytest.fixture
def shipped(made_to_ship, monkeypatch, tmp_path):
    """That folder in place of `pretrained/`, in a current folder that is empty."""
    from models import pretrained

    monkeypatch.setattr(pretrained, "FOLDER", made_to_ship)
    monkeypatch.chdir(tmp_path)
    return made_to_ship
