"""Several processes and devices: watching, locking, killing, and sharing a batch."""

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

HERE = Path(__file__).parent
TINY = "--hparams_override=num_prime_capsules=1,conv_channels=4,remake=false"


def start(*arguments, before="", **environment):
    """A process that runs experiment.py; `before` is code to run first."""
    code = f"import sys, experiment\n{before}\nsys.exit(experiment.main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=HERE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, code=0):
    """What a process printed; its exit code is checked."""
    out, _ = process.communicate(timeout=240)
    assert process.returncode == code, out
    return out


def tensors(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance:
            np.testing.assert_allclose(value, other[name], **tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_watcher_evaluates_each_checkpoint_once_and_keeps_the_best(tmp_path):
    flags = [f"--summary_dir={tmp_path}", "--eval_size=100", "--validate"]
    training = start(*flags, TINY, "--max_steps=2000", "--save_step=250", "--max_to_keep=2")
    while not list(tmp_path.glob("train/model.ckpt-*.index")):
        time.sleep(0.05)
        assert training.poll() is None
    assert "is running in" in finish(start(*flags, TINY, "--max_steps=2000"), code=1)
    watcher = start(*flags, "--train=false")
    finish(training)
    out = finish(watcher)
    assert "Every checkpoint is evaluated" in out
    with (tmp_path / "test/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)) and 2000 in steps and all(row["size"] == "100" for row in rows)
    kept = {path.name for path in tmp_path.glob("train/*.index")}
    assert kept == {"model.ckpt-1750.index", "model.ckpt-2000.index"}
    best = json.loads((tmp_path / "test/best/best.json").read_text())
    assert best["percent"] == min(float(row["percent"]) for row in rows)
    again = finish(start(*flags, "--train=false"))  # nothing is evaluated twice, also after a restart
    assert "Total wrong" not in again
    with (tmp_path / "test/results.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    kept = f"--checkpoint={tmp_path}/test/best/model.ckpt-{best['step']}"
    assert f"wrong percent: {best['percent']:.6g}%" in finish(start(*flags, "--train=false", kept))


def test_a_run_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    flags = [TINY, "--max_steps=40", "--save_step=1", "--batch_size=8", "--eval_size=10"]
    finish(start(*flags, f"--summary_dir={tmp_path}/whole"))
    moments = random.Random(5)
    for _ in range(6):
        process = start(*flags, f"--summary_dir={tmp_path}/killed")
        begun = len(list(tmp_path.glob("killed/train/events.*")))
        while process.poll() is None and len(list(tmp_path.glob("killed/train/events.*"))) == begun:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.3, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    finish(start(*flags, f"--summary_dir={tmp_path}/killed"))
    assert_same(tensors(tmp_path / "whole/train/model.ckpt-40"), tensors(tmp_path / "killed/train/model.ckpt-40"))
    assert not list(tmp_path.glob("killed/train/.saving-*"))


def test_a_run_whose_output_nobody_reads_any_more_saves_and_ends(tmp_path):
    often = "import input_data.progress; input_data.progress.INTERVAL = 0"
    process = start(f"--summary_dir={tmp_path}", TINY, "--max_steps=100000", before=often)
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.stdout.close()  # as `| head` does
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert len(list(tmp_path.glob("train/model.ckpt-*.index"))) == 1


DEVICES = "import tensorflow as tf; tf.config.set_logical_device_configuration(\
tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)"
SHARED = [TINY.replace(",remake=false", ""), "--max_steps=5", "--batch_size=16", "--summary_step=1", "--eval_size=20"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights after five steps on one device."""
    folder = tmp_path_factory.mktemp("alone")
    finish(start(*SHARED, f"--summary_dir={folder}"))
    return tensors(folder / "train/model.ckpt-5")


CLOSE = {"rtol": 1e-3, "atol": 2e-6}  # rounding, which Adam's division magnifies


def test_two_devices_train_as_one(tmp_path, alone):
    finish(start(*SHARED, f"--summary_dir={tmp_path}", "--num_gpus=2", before=DEVICES))
    assert_same(tensors(tmp_path / "train/model.ckpt-5"), alone, **CLOSE)
    assert "--num_gpus=3 needs 3 devices" in finish(start(*SHARED, "--num_gpus=3", before=DEVICES), code=1)


def test_several_steps_in_one_call_and_xla_train_as_one_by_one(tmp_path, alone):
    finish(start(*SHARED, f"--summary_dir={tmp_path}/calls", "--steps_per_call=3", "--save_step=4"))
    assert_same(tensors(tmp_path / "calls/train/model.ckpt-5"), alone, **CLOSE)
    assert (tmp_path / "calls/train/model.ckpt-4.index").exists()
    finish(start(*SHARED, f"--summary_dir={tmp_path}/xla", "--xla"))
    assert_same(tensors(tmp_path / "xla/train/model.ckpt-5"), alone, **CLOSE)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_close_to_float32(precision, tmp_path, alone):
    finish(start(*SHARED, f"--summary_dir={tmp_path}", f"--precision={precision}"))
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


def _workers(*arguments, count=2):
    hosts = [f"127.0.0.1:{port}" for port in _ports(count)]
    return [
        start(*arguments, TF_CONFIG=json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}}))
        for i in range(count)
    ]


def test_two_machines_train_as_one(tmp_path, alone):
    for process in _workers(*SHARED, f"--summary_dir={tmp_path}"):
        assert "Total wrong predictions" in finish(process)
    assert_same(tensors(tmp_path / "train/model.ckpt-5"), alone, **CLOSE)


def test_a_machine_that_dies_stops_the_others_and_the_job_resumes(tmp_path, alone):
    flags = [*SHARED, f"--summary_dir={tmp_path}", "--save_step=2"]
    long = ["--max_steps=100000" if flag.startswith("--max_steps") else flag for flag in flags]
    chief, other = _workers(*long)
    while not (tmp_path / "train/model.ckpt-2.index").exists():
        time.sleep(0.05)
        assert chief.poll() is None
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert "Another machine of the job stopped answering" in finish(chief, code=1)
    for path in tmp_path.glob("train/model.ckpt-*"):
        if not path.name.startswith("model.ckpt-2."):
            path.unlink()
    for process in _workers(*flags):
        assert "Resuming at step 2 of 5" in finish(process)
    assert_same(tensors(tmp_path / "train/model.ckpt-5"), alone, **CLOSE)


def test_machines_with_own_disks_leave_together_save_and_go_on_from_the_chiefs_checkpoint(tmp_path, alone):
    def machines(*flags):
        first, second = (f"127.0.0.1:{port}" for port in _ports(2))
        cluster = {"chief": [first], "worker": [second]}
        return [
            start(
                *SHARED, f"--summary_dir={tmp_path}/{kind}", "--save_step=2", *flags,
                TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": kind, "index": 0}}),
            )
            for kind in ("chief", "worker")
        ]  # fmt: skip

    chief, other = machines("--max_steps=100000")
    while not (tmp_path / "chief/train/model.ckpt-2.index").exists():
        time.sleep(0.05)
        assert chief.poll() is None
    other.send_signal(signal.SIGTERM)  # one machine alone is asked to end
    assert "Interrupted: saved step" in finish(other, code=143)
    saved = finish(chief, code=143).partition("Interrupted: saved ")[2].partition(". ")[0]
    assert Path(f"{saved}.index").exists() and not list(tmp_path.glob("worker/train/model*"))
    for path in tmp_path.glob("chief/train/model.ckpt-*"):
        if not path.name.startswith("model.ckpt-2."):
            path.unlink()
    for process in machines("--max_steps=5"):
        assert "Resuming at step 2 of 5" in finish(process)
    assert_same(tensors(tmp_path / "chief/train/model.ckpt-5"), alone, **CLOSE)


def test_machines_that_would_train_differently_do_not_begin(tmp_path):
    hosts = [f"127.0.0.1:{port}" for port in _ports(2)]
    processes = [
        start(
            "--hparams_override=num_prime_capsules=1,conv_channels=4,remake=false,learning_rate=" + rate,
            f"--seed={seed}", f"--summary_dir={tmp_path}/{seed}", "--max_steps=5",
            TF_CONFIG=json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": seed}}),
        )
        for seed, rate in enumerate(("0.1", "0.001"))
    ]  # fmt: skip
    for process in processes:
        out = finish(process, code=1)
        assert "learning_rate is 0.1 on worker 0" in out and "and 0.001 on worker 1" in out and "seed is 0 on" in out
        assert "Traceback" not in out
    assert not list(tmp_path.glob("*/train/model*"))


def test_trials_train_in_their_own_folders_and_report_mean_and_spread(tmp_path):
    out = finish(start(TINY, f"--summary_dir={tmp_path}", "--num_trials=2", "--max_steps=2", "--eval_size=50"))
    assert "Error of 2 trials" in out and "±" in out
    seeds = [json.loads((tmp_path / f"trial{i}/train/config.json").read_text())["flags"]["seed"] for i in range(2)]
    assert seeds == [0, 1]
