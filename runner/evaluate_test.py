"""Evaluation of ensembles whose members are not alike, and of names that are not there."""

import numpy as np
import pytest

from models.hparams import HParams
from runner import results
from runner.checkpoints import MissingCheckpoint
from runner.config import RunConfig
from runner.evaluate import evaluate
from runner.loader_test import save

DIGITS = tuple("0123456789")
pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs with random weights: two of different width, one of other classes."""
    root = tmp_path_factory.mktemp("runs")
    for name, width, names in (("net0", 2, DIGITS), ("net1", 3, DIGITS), ("odd1", 2, (*DIGITS[:9], "ten"))):
        hparams = HParams(num_prime_capsules=1, conv_channels=width, remake=False, routing=1)
        save(root / name / "train", hparams, (28, 28, 1), names)
    (root / "odd0").symlink_to(root / "net0")
    return root


def config(runs, tmp_path, checkpoint, **flags):
    given = {"checkpoint": f"{runs}/{checkpoint}", "predictions": str(tmp_path / "out.npz"), **flags}
    return RunConfig(train=False, summary_dir=str(tmp_path), eval_size=30, **given)


def logits(tmp_path):
    with np.load(tmp_path / "out.npz") as arrays:
        return arrays["logits"]


def test_members_of_an_ensemble_may_be_networks_of_different_shape(runs, tmp_path, capsys):
    alone = []
    for member in range(2):
        assert evaluate(config(runs, tmp_path, f"net{member}")) == 0
        alone.append(logits(tmp_path))
    assert evaluate(config(runs, tmp_path, "net{}", num_trials=2)) == 0
    np.testing.assert_allclose(logits(tmp_path), alone[0] + alone[1], rtol=1e-6)
    assert capsys.readouterr().out.count("embedded sample") == 3  # each job opens its split once


def test_a_member_of_other_classes_and_one_that_is_missing_are_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="have different data or classes"):
        evaluate(config(runs, tmp_path, "odd{}", num_trials=2))
    with pytest.raises(MissingCheckpoint, match="There is no checkpoint .*net2"):
        evaluate(config(runs, tmp_path, "net{}", num_trials=3))


def test_every_evaluation_has_a_row_with_its_split_and_checkpoint(runs, tmp_path):
    changed = {"hparams_override": "routing=2"}
    for name, flags in (("net0", {}), ("net0", {}), ("net0", {"validate": True}), ("net{}", {"num_trials": 2}),
                        ("net0", changed)):  # fmt: skip
        assert evaluate(config(runs, tmp_path, name, **flags)) == 0
    rows = results.read(tmp_path / "test")
    assert [(row.split, row.checkpoint, row.step, row.weights) for row in rows] == [
        ("test", f"{runs}/net0/train/model.ckpt-2", 2, ""),
        ("validation", f"{runs}/net0/train/model.ckpt-2", 2, ""),
        ("test", f"{runs}/net{{0-1}}", 2, ""),
        ("test", f"{runs}/net0/train/model.ckpt-2", 2, "routing=2"),
    ]
    evaluate(RunConfig(train=False, checkpoint=f"{runs}/net0", eval_size=20, validate=True, **changed))
    assert results.steps(runs / "net0/test", "validation") == set()
    assert not (tmp_path / "test/best").exists() and not (tmp_path / "validation").exists()


def test_without_a_folder_the_results_go_to_the_checkpoints_run(runs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert evaluate(RunConfig(train=False, checkpoint=f"{runs}/net1", eval_size=20)) == 0
    (row,) = results.read(runs / "net1/test")
    assert (row.checkpoint, row.size) == ("train/model.ckpt-2", 20) and not list(tmp_path.iterdir())
