"""The memory estimate grows as training's memory does, and what cannot fit is refused with the numbers."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from models import make_model
from models.hparams import PRESETS, HParams
from runner import memory

MEASURED = """
import sys, numpy as np, tensorflow as tf
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import memory
from runner.steps import make_train_step
name, shape, override, *sizes = sys.argv[1:]
shape, sizes = tuple(map(int, shape.split("x"))), list(map(int, sizes))
model = make_model(name, shape, 10, HParams().override(override))
optimizer = make_optimizer(model.hparams)
optimizer.build(model.trainable_variables)
step = make_train_step(model, optimizer, tf.distribute.get_strategy())
def run(size):
    batch = [{"images": np.ones((size, *shape), "f"), "labels": np.ones((size, 1), "i4")}]
    for _ in range(2):
        step(batch)[0]["total"].numpy()
    (peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
small, large = map(run, sizes)
print(large - small, memory.estimate(model, sizes[1]) - memory.estimate(model, sizes[0]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize(
    "network",
    [
        ("capsule", "20x20x1", "num_prime_capsules=32,conv_channels=64,padding=SAME", "8", "512"),
        ("capsule", "20x20x1", "conv_channels=512", "8", "512"),
        ("efficient", "48x48x2", "", "4", "64"),
    ],
    ids=lambda network: f"{network[0]} {network[2]}",
)
def test_the_estimate_grows_with_the_batch_as_training_does(network):
    command = [sys.executable, "-c", MEASURED, *network]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    measured, estimated = map(float, done.stdout.split())
    assert 0.5 * measured < estimated < 2 * measured, f"{measured / 1e6:.0f} MB, estimated {estimated / 1e6:.0f} MB"


def test_what_does_not_fit_is_refused_with_the_numbers():
    model = make_model("capsule", (24, 24, 3), 10, HParams().override(PRESETS["cifar10"]))
    assert 3e9 < memory.estimate(model, 128) < 4.3e9  # see benchmarks/results/memory_cpu.txt
    efficient = make_model("efficient", (28, 28, 1), 10, HParams())
    assert 0.5e9 < memory.estimate(efficient, 512) < 0.8e9
    with pytest.raises(ValueError, match=r"about \d+\.\d GB of memory and 1\.0 GB are free.*--batch_size \(now 128"):
        memory.check(model, 128, free=1e9)
    assert memory.check(model, 128, free=None).startswith("Training takes about ")


def test_free_memory_is_between_nothing_and_all_there_is():
    free = memory.available()
    assert free is None or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < free < 1e14
