"""The benchmark measures what it says: all convolutions of a network, and each thing as often as is asked."""

import json

import pytest

from benchmarks import convolution, train_step
from models import make_model


def test_the_floor_has_all_convolutions_of_the_network():
    found = train_step.convolutions_of(make_model("capsule", (28, 28, 1), 10))
    assert [(tuple(each["kernel"].shape), each["shape"], each["strides"]) for each in found] == [
        ((9, 9, 1, 256), (28, 28, 1), 1),
        ((9, 9, 256, 256), (20, 20, 256), 2),
    ]


def test_things_are_timed_in_turns_and_compared_pair_by_pair(capsys):
    train_step.main(["--hparams_override=num_prime_capsules=4,conv_channels=16", "--batch=4", "--pairs=2"])
    *table, line = capsys.readouterr().out.splitlines()
    row = json.loads(line)
    pairs = ("training step", "floor"), ("short DFTs, training", "direct, training"), ("short DFTs, inference",)
    assert [len(row["seconds"][name]) for pair in pairs for name in pair] == [2] * 5
    steps, floors = (row["seconds"][name] for name in pairs[0])
    assert row["ratios"]["training step / floor"] == [step / bare for step, bare in zip(steps, floors, strict=True)]
    shown = next(line.split() for line in table if line.startswith("training step "))
    assert float(shown[2]) == pytest.approx(1e3 * sum(steps) / 2, abs=0.1)
    assert row["host_mb"] > 100 and row["batch"] == 4


def test_the_network_in_plain_pytorch_takes_steps(on_backend):
    code = "from benchmarks import plain_torch\nfor run in plain_torch.runs(2):\n    run()\nprint('done')"
    assert on_backend("torch", code) == "done\n"


def test_a_convolution_is_timed_for_each_stride_and_pass(capsys):
    convolution.main(["--kernels=3", "--batches=2", "--pairs=1"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[:4] for line in lines] == [["3", s, "2", each] for s in "12" for each in ("train", "infer")]
    for direct, short, ratio in (map(float, line[4:7]) for line in lines):
        assert ratio == pytest.approx(short / direct, rel=0.2)
