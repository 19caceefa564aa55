"""When training saves and evaluates, and what it leaves behind."""

import json
from dataclasses import replace

import pytest
import tensorflow as tf

from conftest import assert_same, scalars, tensors
from runner import checkpoints, config, loader, results
from runner.checkpoints import MissingCheckpoint
from runner.config import RunConfig
from runner.flags import UserError
from runner.train import train, train_all

TINY = "num_prime_capsules=1,conv_channels=2,remake=false,routing=1"
pytestmark = pytest.mark.usefixtures("eagerly")


def tiny(folder, **flags):
    return RunConfig(summary_dir=str(folder), **{"batch_size": 4, "eval_size": 20, "hparams_override": TINY} | flags)


def test_training_evaluates_as_it_goes_and_tensorboard_shows_both(tmp_path):
    often = {"max_steps": 10, "save_step": 4, "eval_every": 3, "summary_step": 3}
    code, result = train(tiny(tmp_path, **often, validate=True, predictions=str(tmp_path / "out.csv")))
    assert code == 0 and result.size == 20
    assert checkpoints.steps(tmp_path / "train") == [3, 4, 6, 8, 9, 10]
    rows = results.read(tmp_path / "test")
    assert [(row.step, row.split, row.size) for row in rows] == [(step, "validation", 20) for step in (3, 6, 9, 10)]
    assert json.loads((tmp_path / "train/config.json").read_text())["flags"]["validate"] is True
    assert f"--summary_dir={tmp_path}\n" in (tmp_path / "train/flags.txt").read_text()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21
    training, validation = (scalars(tmp_path / name).keys() for name in ("train", "validation"))
    for step in (3, 6, 9, 10):
        assert {("accuracy", step), ("total_loss", step)} <= training & validation
        assert {("learning_rate", step), ("images_per_second", step)} <= training
    assert ("_hparams_/session_start_info", 0) in scalars(tmp_path)


def test_a_run_goes_on_without_what_only_its_beginning_needs(tmp_path, capsys):
    run = tmp_path / "train"  # a folder may be called so
    assert train(tiny(tmp_path / "old", max_steps=2, save_step=1, validate=True))[0] == 0
    begun = tiny(run, max_steps=3, checkpoint=str(tmp_path / "old"), hparams_override=None, validate=True)
    assert train(begun)[0] == 0 and "Resuming at step 2 of 3" in capsys.readouterr().out
    (tmp_path / "old").rename(tmp_path / "gone")
    assert train(replace(begun, max_steps=4, checkpoint=None, hparams_override="verbose=true"))[0] == 0  # harmless
    written = json.loads((run / "train/config.json").read_text())
    del written["flags"]["grayscale"], written["flags"]["precision"], written["hparams"]["average"], written["data"]
    (run / "train/config.json").write_text(json.dumps(written))  # as an older version wrote it
    assert train(replace(begun, max_steps=5))[0] == 0  # the same command
    assert config.read(run / "train").hparams.num_prime_capsules == 1
    with pytest.raises(UserError, match="is of step 3, and .* has later checkpoints, up to step 5"):
        train(replace(begun, max_steps=9, checkpoint=f"{run}/train/model.ckpt-3"))
    with pytest.raises(MissingCheckpoint, match="There is no checkpoint .*model.ckpt-9.* has the steps"):
        train(replace(begun, max_steps=9, checkpoint=f"{run}/train/model.ckpt-9"))
    with pytest.raises(UserError, match="efficient has no hparam conv_channels, num_prime_capsules"):
        train(tiny(tmp_path / "new", model="efficient", hparams_override="conv_channels=2,num_prime_capsules=1"))
    with pytest.raises(UserError, match=r"has 5 steps already, and --max_steps=4 .* give --max_steps=1005"):
        train(tiny(tmp_path / "new", max_steps=4, checkpoint=str(run)))
    with pytest.raises(UserError, match=r"nothing at step 4, and --max_steps=6 .* --hparams_override=decay_steps=6"):
        train(tiny(tmp_path / "new", max_steps=6, hparams_override=f"{TINY},schedule=linear,decay_steps=4"))
    assert not (tmp_path / "new").exists()
    assert loader.resolve(f"{run}/best").startswith(f"{run}/test/best/model.ckpt-")


def test_an_evaluation_that_was_cut_off_is_made_up_for(tmp_path, monkeypatch):
    flags = tiny(tmp_path, max_steps=5, save_step=2, validate=True)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(results, "record", killed)
        train(flags)
    assert train(flags)[0] == 0
    rows = results.read(tmp_path / "test")
    assert [(row.step, row.checkpoint) for row in rows] == [(n, f"train/model.ckpt-{n}") for n in (2, 4, 5)]
    assert all(row.minutes > 0 for row in rows)


def test_averaged_and_last_weights_are_both_evaluated_at_the_end(tmp_path, capsys):
    flags = tiny(tmp_path / "whole", max_steps=4, save_step=2, validate=True, hparams_override=f"{TINY},average=0.9")
    assert train(flags)[0] == 0
    rows = results.read(tmp_path / "whole/test")
    assert [(row.step, row.weights) for row in rows] == [(2, "averaged"), (4, "last"), (4, "averaged")]
    assert "Step 4, averaged weights: 20 validation examples" in capsys.readouterr().out
    for steps in (2, 4):
        assert train(replace(flags, summary_dir=str(tmp_path / "parts"), max_steps=steps))[0] == 0
    whole, parts = (tensors(tmp_path / name / "train/model.ckpt-4") for name in ("whole", "parts"))
    assert "conv1/weights/ExponentialMovingAverage" in whole
    assert_same(whole, parts)


def test_a_full_disk_for_events_ends_no_training(tmp_path, monkeypatch, capsys):
    def full(*arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.summary, "create_file_writer", full)
    assert train(tiny(tmp_path, max_steps=2))[0] == 0
    assert "TensorBoard's events cannot be written: No space left" in capsys.readouterr().out


def test_trials_train_in_their_own_folders_and_report_mean_and_spread(tmp_path, capsys):
    assert train_all(tiny(tmp_path, max_steps=1, num_trials=2)) == 0
    out = capsys.readouterr().out
    assert "Error of 2 trials" in out and "±" in out
    assert [config.read(tmp_path / f"trial{number}/train").flags["seed"] for number in range(2)] == [0, 1]
    assert [row.checkpoint for row in results.read(tmp_path, "trials.csv")] == [
        f"trial{number}/train/model.ckpt-1" for number in range(2)
    ]
