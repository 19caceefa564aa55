"""The benchmark measures what it says: its arithmetic is the paper's."""

import json
import subprocess
from statistics import median

import pytest

from benchmarks import train_step
from models import make_model
from models.hparams import PRESETS, HParams


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
    found = [train_step.gflop(convolution, 128) for convolution in train_step.convolutions_of(model)]
    assert sum(found) == pytest.approx(gflop)


def test_a_row_has_a_time_for_every_pair_and_a_peer_is_held_against_its_floor(capsys, monkeypatch):
    monkeypatch.setattr(train_step, "ceilings", lambda size, of=train_step.ceilings: of(size // 16))
    small = ["--hparams_override=num_prime_capsules=1,conv_channels=4", "--batch=4", "--pairs=2"]
    train_step.main([*small, "--in_process"])
    measured = capsys.readouterr().out
    row = json.loads(measured)
    assert row["ratios"] == [step / bare for step, bare in zip(row["step"][2:], row["floor"], strict=True)]
    assert len(row["ratios"]) == 2 and row["host_mb"] > 100 and row["matmul_gflops"] > 1
    cells = train_step.line(row).split()
    assert cells[0] == "ours" and float(cells[3]) == pytest.approx(sum(row["ratios"]) / 2, abs=1e-3)

    def run(command, **options):  # the network's own process would print what was measured above
        if "--in_process" in command:
            return subprocess.CompletedProcess(command, 0, measured)
        return start(command, **options)

    start = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    train_step.main([*small, "--peers=plain_torch"])
    ours, peer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert peer["name"] == "plain_torch" and peer["floor"] == ours["floor"] == row["floor"]
    assert len(peer["infer"]) == 2 and peer["ratios"] == [median(peer["step"]) / bare for bare in row["floor"]]
