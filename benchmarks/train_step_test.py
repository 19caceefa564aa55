"""The benchmark measures what it says: its plain votes compute what ours do, and its arithmetic is the paper's."""

import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import train_step
from benchmarks.plain_votes import STORED_VOTES
from models import make_model
from models.capsnet import CapsNet
from models.hparams import PRESETS, HParams


@pytest.mark.parametrize("name", STORED_VOTES)
@pytest.mark.parametrize("override", ["", "leaky=true,routing=2", "routing_gradient=last"])
def test_plain_votes_are_ours_in_value_and_gradient(name, override):
    gradients = []
    for network in (CapsNet, STORED_VOTES[name]):
        model = network((20, 20, 1), 4, HParams(num_prime_capsules=2, conv_channels=4).override(override))
        for index, variable in enumerate(model.trainable_variables):
            value = np.random.RandomState(index).standard_normal(variable.shape)
            variable.assign(0.1 * value.astype(np.float32))
        images = np.random.RandomState(9).uniform(size=(3, 20, 20, 1)).astype(np.float32)
        with tf.GradientTape() as tape:
            loss = model.costs(model(images), images, np.array([[0], [3], [1]]))["total"]
        gradients.append(tape.gradient(loss, [variable.value for variable in model.trainable_variables]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("name", "shape", "preset", "gflop"),
    [
        ("capsule", (28, 28, 1), None, 2 * 128 * (2 * 400 * 81 * 256 + 3 * 36 * 81 * 256 * 256) / 1e9),
        ("capsule", (24, 24, 3), "cifar10", 2 * 128 * (2 * 576 * 243 * 256 + 3 * 144 * 81 * 256 * 512) / 1e9),
        ("baseline", (28, 28, 1), None, 2 * 128 * (2 * 576 * 25 * 512 + 3 * 64 * 25 * 512 * 256) / 1e9),
    ],
)
def test_the_floor_has_the_networks_arithmetic(name, shape, preset, gflop):
    model = make_model(name, shape, 10, HParams().override(PRESETS.get(preset)))
    found = [train_step._gflop(convolution, 128) for convolution in train_step.convolutions_of(model)]
    assert sum(found) == pytest.approx(gflop)


def test_a_row_has_a_time_for_every_pair(capsys):
    small = ["--hparams_override=num_prime_capsules=1,conv_channels=4", "--batch=4", "--pairs=2"]
    train_step.main([*small, "--in_process"])
    row = json.loads(capsys.readouterr().out)
    assert row["ratios"] == [step / bare for step, bare in zip(row["step"][2:], row["floor"], strict=True)]
    assert len(row["ratios"]) == 2 and row["host_mb"] > 100 and row["matmul_gflops"] > 1
    cells = train_step._line(row).split()
    assert cells[0] == "ours" and float(cells[3]) == pytest.approx(sum(row["ratios"]) / 2, abs=1e-3)


def test_a_peer_is_held_against_the_first_rows_floor(capsys):
    small = ["--hparams_override=num_prime_capsules=1,conv_channels=4", "--batch=4", "--pairs=2"]
    train_step.main([*small, "--peers=plain_torch"])
    ours, peer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert peer["name"] == "plain_torch" and peer["floor"] == ours["floor"] and len(peer["infer"]) == 2
