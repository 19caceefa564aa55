"""Several processes and devices: watching, locking, ending, killing, and sharing a batch."""

import csv
import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import experiment
from conftest import FAST_START, assert_same, run_program, tensors
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner.devices import Machines
from runner.evaluate import watch  # noqa: F401  (the forked processes need not import it)
from runner.steps import make_train_step
from runner.train import train_all  # noqa: F401

SMALL = "--hparams_override=num_prime_capsules=1,conv_channels=4"
TINY = f"{SMALL},remake=false,routing=1"  # what takes time is to compile, which grows with the iterations
# Processes are forked from one that has loaded TensorFlow, and used no device: each starts seconds sooner.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def program(arguments, before, environment, output):
    """Runs experiment.py in a forked process; `before` is code to run first."""
    os.environ |= environment
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    exec(before, {})
    sys.exit(experiment.main(arguments))


def start(*arguments, before="", output=None, **environment):
    """A process that runs experiment.py, which prints to the file `process.output`."""
    output = output or tempfile.mkstemp(suffix=".txt")[1]
    process = FORKS.Process(target=program, args=([*map(str, arguments)], before, environment, output), daemon=True)
    process.output = output
    process.start()
    return process


def finish(process, code=0):
    """What a process printed; its exit code is checked."""
    process.join(240)
    out = Path(process.output).read_text()
    assert process.exitcode == code, out
    Path(process.output).unlink()
    return out


def wait(condition, *processes):
    """Waits until a condition holds while the processes run."""
    while not condition():
        for process in processes:
            assert process.exitcode is None, Path(process.output).read_text()
        time.sleep(0.02)


def saved(folder, step):
    """Whether a run has the checkpoint of a step."""
    return (folder / f"train/model.ckpt-{step}.index").exists()


# To compile a network takes longer than a few steps.
EAGERLY = "import tensorflow as tf; tf.config.run_functions_eagerly(True)"
# After its fourth checkpoint, the training waits until another process has evaluated that.
PAUSE = f"""{EAGERLY}
import time, pathlib
from runner import checkpoints
save = checkpoints.save
def save_and_wait(folder, step, *rest):
    save(folder, step, *rest)
    table = pathlib.Path(folder).parent / "test/results.csv"
    while step == 4 and not (table.exists() and "model.ckpt-4" in table.read_text()):
        time.sleep(0.05)
checkpoints.save = save_and_wait
"""


def test_a_watcher_evaluates_each_checkpoint_once_and_keeps_the_best(eagerly, tmp_path, capsys):
    flags = [f"--summary_dir={tmp_path}", "--eval_size=100", "--validate"]
    training = start(*flags, TINY, "--max_steps=12", "--save_step=1", "--max_to_keep=2", before=PAUSE)
    wait(lambda: saved(tmp_path, 4), training)
    code, _, errors = run_program(experiment.main, capsys, [*flags, TINY, "--max_steps=12"])
    assert code == 1 and "is running in" in errors
    watcher = start(*flags, "--train=false", before=EAGERLY)
    finish(training)
    out = finish(watcher)
    assert "Every checkpoint is evaluated" in out and "Step 4: 100 validation examples" in out
    with (tmp_path / "test/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)) and 12 in steps and all(row["size"] == "100" for row in rows)
    kept = {path.name for path in tmp_path.glob("train/*.index")}
    assert kept == {"model.ckpt-11.index", "model.ckpt-12.index"}
    best = min(rows, key=lambda row: (float(row["percent"]), int(row["step"])))
    code, out, _ = run_program(experiment.main, capsys, [*flags, "--train=false"])
    assert code == 0 and "Total wrong" not in out  # nothing is evaluated twice, also after a restart
    with (tmp_path / "test/results.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    assert {path.stem for path in tmp_path.glob("test/best/*.index")} == {f"model.ckpt-{best['step']}"}
    out = run_program(experiment.main, capsys, [*flags, "--train=false", f"--checkpoint={tmp_path}/best"])[1]
    assert f"wrong percent: {best['percent']}%" in out


def test_a_run_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    flags = [TINY, "--max_steps=30", "--save_step=1", "--batch_size=8", "--eval_size=10"]
    finish(start(*flags, f"--summary_dir={tmp_path}/whole"))
    moments, killed = random.Random(5), tmp_path / "killed/train"
    for pattern in ("events.*", "*.index"):  # before the first step, and while it steps and saves
        before = set(killed.glob(pattern))
        process = start(*flags, f"--summary_dir={tmp_path}/killed")
        while process.exitcode is None and set(killed.glob(pattern)) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.join()
    finish(start(*flags, f"--summary_dir={tmp_path}/killed"))
    assert_same(tensors(tmp_path / "whole/train/model.ckpt-30"), tensors(killed / "model.ckpt-30"))
    assert not list(killed.glob(".saving-*"))


def test_a_run_whose_output_nobody_reads_any_more_saves_and_ends(tmp_path):
    often = f"{EAGERLY}; import input_data.progress; input_data.progress.INTERVAL = 0"
    os.mkfifo(tmp_path / "pipe")
    process = start(
        f"--summary_dir={tmp_path}", TINY, "--max_steps=100000", before=often, output=str(tmp_path / "pipe")
    )
    with open(tmp_path / "pipe") as pipe:  # and closes it, as `| head` does
        assert any(line.startswith("step ") for line in pipe)
    process.join(60)
    assert process.exitcode == 128 + signal.SIGHUP
    assert len(list(tmp_path.glob("train/model.ckpt-*.index"))) == 1


def test_an_interrupted_run_saves_and_says_how_to_go_on(tmp_path):
    process = start(f"--summary_dir={tmp_path}", TINY, "--max_steps=100000", before=EAGERLY)
    wait(lambda: any(tmp_path.glob("train/events.*")), process)  # the loop is about to begin
    os.kill(process.pid, signal.SIGINT)  # SIGHUP above, SIGTERM below
    out = finish(process, 128 + signal.SIGINT)
    assert "Interrupted: saved" in out and "Traceback" not in out
    assert len(list(tmp_path.glob("train/model.ckpt-*.index"))) == 1


DEVICES = "import tensorflow as tf; tf.config.set_logical_device_configuration(\
tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)"
SHARED = [f"{SMALL},routing=1", "--max_steps=5", "--batch_size=16", "--summary_step=1", "--eval_size=20"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights after five steps on one device."""
    folder = tmp_path_factory.mktemp("alone")
    finish(start(*SHARED, f"--summary_dir={folder}", before=EAGERLY))
    return tensors(folder / "train/model.ckpt-5")


CLOSE = {"rtol": 1e-3, "atol": 2e-6}  # rounding, which Adam's division magnifies


def test_two_devices_train_as_one(tmp_path, alone):
    finish(start(*SHARED, f"--summary_dir={tmp_path}", "--num_gpus=2", before=DEVICES))
    assert_same(tensors(tmp_path / "train/model.ckpt-5"), alone, **CLOSE)
    assert "--num_gpus=3 needs 3 devices" in finish(start(*SHARED, "--num_gpus=3", before=DEVICES), code=1)


def test_xla_trains_as_well(tmp_path, alone):
    many = ["--save_step=3", "--xla"]
    finish(start(*SHARED, f"--summary_dir={tmp_path}", *many, XLA_FLAGS=FAST_START["XLA_FLAGS"]))
    assert_same(tensors(tmp_path / "train/model.ckpt-5"), alone, **CLOSE)
    assert saved(tmp_path, 3)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_close_to_float32(precision, tmp_path, alone):
    finish(start(*SHARED, f"--summary_dir={tmp_path}", f"--precision={precision}", before=EAGERLY))
    half = tensors(tmp_path / "train/model.ckpt-5")
    for name in ("conv1/weights", "capsule2/weights"):
        np.testing.assert_allclose(half[name], alone[name], atol=0.011)  # five steps of at most 0.001 each way
    assert any((half[name] != alone[name]).any() for name in alone if name in half)


def _ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def machines(*flags_of_each, kinds=("worker", "worker")):
    """A process for each machine of a job, with its flags."""
    hosts = [f"127.0.0.1:{port}" for port in _ports(len(kinds))]
    cluster = {kind: [host for host, each in zip(hosts, kinds, strict=True) if each == kind] for kind in kinds}
    tasks = [{"type": kind, "index": kinds[:place].count(kind)} for place, kind in enumerate(kinds)]
    return [
        start(*flags, TF_CONFIG=json.dumps({"cluster": cluster, "task": task}))
        for flags, task in zip(flags_of_each, tasks, strict=True)
    ]


def test_two_machines_train_as_one_end_together_and_go_on_from_the_chiefs_checkpoint(tmp_path, alone):
    shared = [*SHARED, f"--summary_dir={tmp_path}/shared", "--save_step=2", "--max_steps=100000"]
    chief, other = machines(shared, shared)
    wait(lambda: saved(tmp_path / "shared", 2), chief, other)
    os.kill(other.pid, signal.SIGTERM)  # one machine alone is asked to end
    assert "Interrupted: saved step" in finish(other, code=143)
    last = finish(chief, code=143).partition("Interrupted: saved ")[2].partition(". ")[0]
    assert Path(f"{last}.index").exists()
    step = int(last.rpartition("-")[2])

    chief, other = machines(shared, shared)
    wait(lambda: saved(tmp_path / "shared", step // 2 * 2 + 2), chief, other)
    other.kill()
    assert "Another machine of the job stopped answering" in finish(chief, code=1)
    assert f"Resuming at step {step} of" in finish(other, code=-signal.SIGKILL)

    # On disks of their own, the other machine does not see the checkpoint that it gets.
    for path in tmp_path.glob("shared/train/model.ckpt-*"):
        if not path.name.startswith("model.ckpt-2."):
            path.unlink()
    own = [*SHARED, f"--summary_dir={tmp_path}/own"]
    for process in machines([*SHARED, f"--summary_dir={tmp_path}/shared"], own, kinds=("chief", "worker")):
        out = finish(process)
        assert "Resuming at step 2 of 5" in out and "Total wrong predictions" in out
    assert_same(tensors(tmp_path / "shared/train/model.ckpt-5"), alone, **CLOSE)
    assert not list(tmp_path.glob("own/train/model*"))


def test_machines_that_would_train_differently_do_not_begin(tmp_path):
    flags = [
        [f"{TINY},learning_rate={rate}", f"--seed={seed}", f"--summary_dir={tmp_path}/{seed}", "--max_steps=5"]
        for seed, rate in enumerate(("0.1", "0.001"))
    ]
    for process in machines(*flags):
        out = finish(process, code=1)
        assert "learning_rate is 0.1 on worker 0" in out and "and 0.001 on worker 1" in out and "seed is 0 on" in out
        assert "Traceback" not in out
    assert not list(tmp_path.glob("*/train/model*"))


def train_on_one_and_two_devices():
    """The statistics of batch normalisation are averaged over all devices, which XLA cannot compile."""
    exec(f"{DEVICES}; {EAGERLY}", {})
    random = np.random.RandomState(0)
    images, labels = random.uniform(size=(8, 14, 14, 1)).astype("float32"), random.randint(0, 10, (8, 1), np.int32)
    results = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = make_model("efficient", (14, 14, 1), 10, HParams(remake=False))
            optimizer = make_optimizer(model.hparams)
            optimizer.build(model.trainable_variables)
        step = make_train_step(model, optimizer, Machines(strategy))
        step({"images": images, "labels": labels})
        results.append([model.get_layer("norm1").moving_mean.numpy(), model.get_layer("norm4").moving_variance.numpy()])
    with pytest.raises(ValueError, match="Leave --xla out"):
        make_train_step(model, optimizer, Machines(strategy), jit=True)
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_statistics_of_normalisation_are_those_of_the_whole_batch():
    process = FORKS.Process(target=train_on_one_and_two_devices, daemon=True)
    process.start()
    process.join(240)
    assert process.exitcode == 0
