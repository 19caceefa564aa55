"""The benchmark measures what it says: all convolutions of a network, and each thing as often as is asked."""

import json
from statistics import median

from benchmarks import convolution, plain_torch, train_step
from models import make_model


def measured(main, arguments, capsys):
    """The lines of a run without their head, and its JSON."""
    main(arguments)
    _, _, *table, line = capsys.readouterr().out.splitlines()
    return table, json.loads(line)


def test_the_floor_has_all_convolutions_of_the_network():
    found = train_step.convolutions_of(make_model("capsule", (28, 28, 1), 10))
    assert [(shape, tuple(kernel.shape), strides) for shape, kernel, strides, _ in found] == [
        ((28, 28, 1), (9, 9, 1, 256), 1),
        ((20, 20, 256), (9, 9, 256, 256), 2),
    ]


def test_things_are_timed_in_turns_and_compared_pair_by_pair(capsys):
    arguments = ["--hparams_override=num_prime_capsules=8,conv_channels=64", "--batch=4", "--pairs=2"]
    table, row = measured(train_step.main, arguments, capsys)
    assert [len(times) for times in row["seconds"].values()] == [1, 1, 2, 2, 2]
    assert all(len(each) == 2 for times in row["seconds"].values() for each in times)
    step, floor = row["seconds"]["training step / floor"]
    (line,) = (line.split() for line in table if line.startswith("training step / floor"))
    ratio = median(a / b for a, b in zip(step, floor, strict=True))
    assert line[4:8] == [
        f"{1e3 * median(step):.1f}",
        f"{4 / median(step):,.0f}",
        f"{1e3 * median(floor):.1f}",
        f"{ratio:.3f}",
    ]
    assert row["host_mb"] > 100 and row["batch"] == 4


def test_a_convolution_is_timed_for_each_stride_and_pass(capsys):
    table, _ = measured(convolution.main, ["--kernels=3", "--batch=2", "--pairs=1"], capsys)
    assert [line.split(" (")[0] for line in table] == [
        f"3x3/{strides}, {kind}" for strides in (1, 2) for kind in ("training", "inference")
    ]


def test_the_network_in_plain_pytorch_learns():
    train, infer = plain_torch.runs(2)
    before = infer()
    train()
    assert before.shape == (2, 10, 16) and not before.equal(infer())
