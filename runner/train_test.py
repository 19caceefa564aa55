"""When training saves and evaluates, and what it leaves behind."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from runner import checkpoints
from runner.run_config import RunConfig
from runner.train import _evaluation_is_due, _to_next_checkpoint, train


@pytest.mark.parametrize(
    ("flags", "saved", "evaluated"),
    [
        ({}, [4, 8, 10], []),
        ({"validate": True}, [4, 8, 10], [4, 8]),
        ({"eval_every": 3}, [3, 4, 6, 8, 9, 10], [3, 6, 9]),
        ({"eval_every": 8, "validate": True}, [4, 8, 10], [8]),
        ({"eval_every": 10}, [4, 8, 10], []),
    ],
)
def test_steps_that_are_saved_and_evaluated(flags, saved, evaluated):
    config = RunConfig(max_steps=10, save_step=4, **flags)
    assert [step for step in range(1, 11) if _to_next_checkpoint(config, step - 1) == 1] == saved
    assert [step for step in range(1, 11) if _evaluation_is_due(config, step)] == evaluated


def test_training_evaluates_as_it_goes_and_tensorboard_shows_both(tmp_path):
    config = RunConfig(
        summary_dir=str(tmp_path), max_steps=4, save_step=2, batch_size=8, eval_size=20, summary_step=2, validate=True,
        hparams_override="num_prime_capsules=1,conv_channels=4,remake=false", predictions=str(tmp_path / "out.csv"),
    )  # fmt: skip
    code, result = train(config)
    assert code == 0 and result.size == 20
    rows = list(csv.DictReader((tmp_path / "test/results.csv").open(newline="")))
    assert [(row["step"], row["split"], row["size"]) for row in rows] == [
        ("2", "validation", "20"),
        ("4", "validation", "20"),
    ]
    assert json.loads((tmp_path / "train/config.json").read_text())["flags"]["validate"] is True
    assert f"--summary_dir={tmp_path}\n" in (tmp_path / "train/flags.txt").read_text()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21
    tags = {}
    for folder in (tmp_path, tmp_path / "train", tmp_path / "validation"):
        events = (e for path in folder.glob("events.*") for e in tf.compat.v1.train.summary_iterator(str(path)))
        tags[folder.name] = {(value.tag, event.step) for event in events for value in event.summary.value}
    for step in (2, 4):
        assert {("accuracy", step), ("total_loss", step)} <= tags["train"] & tags["validation"]
        assert {("learning_rate", step), ("images_per_second", step)} <= tags["train"]
    assert ("_hparams_/session_start_info", 0) in tags[tmp_path.name]


def test_moving_statistics_resume_bit_for_bit_and_several_steps_in_a_call_keep_them(tmp_path):
    config = RunConfig(
        model="efficient", preset="efficient_mnist", hparams_override="remake=false", batch_size=2, save_step=2,
        eval_size=4,
    )  # fmt: skip
    for folder, changes in (
        ("whole", {"max_steps": 4, "steps_per_call": 4, "save_step": 4}),
        ("parts", {"max_steps": 2}),
        ("parts", {"max_steps": 4}),
    ):
        assert train(replace(config, summary_dir=str(tmp_path / folder), **changes))[0] == 0
    whole, parts = (checkpoints.read(str(tmp_path / folder / "train/model.ckpt-4")) for folder in ("whole", "parts"))
    assert whole.keys() == parts.keys() >= {"norm1/moving_mean", "norm4/moving_variance"}
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
