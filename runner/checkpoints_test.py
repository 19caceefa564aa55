"""Checkpoints: bit-exact round trips, files of TF 1, and everything that can be wrong with a file."""

import numpy as np
import pytest
import tensorflow as tf

from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import checkpoints
from runner.steps import make_train_step

TINY = HParams(num_prime_capsules=2, conv_channels=8)
BATCH = {
    "images": np.random.RandomState(0).uniform(size=(4, 20, 20, 1)).astype(np.float32),
    "labels": np.array([[1], [2], [3], [4]], np.int32),
}


def trainable(name="capsule", hparams=TINY, scale_loss=False):
    model = make_model(name, (20, 20, 1), 10, hparams)
    optimizer = make_optimizer(hparams, scale_loss)
    optimizer.build(model.trainable_variables)
    return model, optimizer, make_train_step(model, optimizer, tf.distribute.get_strategy())


@pytest.mark.parametrize("name", ["capsule", "baseline_paper"])
@pytest.mark.parametrize("scale_loss", [False, True])
def test_training_goes_on_bit_for_bit(name, scale_loss, tmp_path):
    model, optimizer, step = trainable(name, scale_loss=scale_loss)
    for _ in range(3):
        step([BATCH])
    checkpoints.save(tmp_path, 3, model, optimizer)
    other, other_optimizer, other_step = trainable(name, scale_loss=scale_loss)
    assert checkpoints.restore_latest(tmp_path, other, other_optimizer) == 3
    for _ in range(2):
        assert {k: float(v) for k, v in step([BATCH])[0].items()} == {
            k: float(v) for k, v in other_step([BATCH])[0].items()
        }
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saver_of_tf1_writes_what_we_read_and_reads_what_we_write(tmp_path):
    """The real TF 1 Saver on a graph with the variables of 2017: there and back without a difference."""
    model, optimizer, step = trainable()
    step([BATCH])
    ours = checkpoints.save(tmp_path, 1, model, optimizer)
    values = {name: variable.numpy() for name, variable in model.variables_2017().items()}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.create_global_step()
        variables = {name: tf.compat.v1.get_variable(name, list(value.shape)) for name, value in values.items()}
        assert variables["conv_capsule1/biases"].shape == (2, 8, 1, 1)
        saver = tf.compat.v1.train.Saver()
        saver.restore(session, ours)
        for name, value in values.items():
            np.testing.assert_array_equal(session.run(variables[name]), value)
        for variable in variables.values():
            session.run(variable.assign(variable * 2 + 1))
        session.run(tf.compat.v1.train.get_global_step().assign(77))
        theirs = saver.save(session, str(tmp_path / "tf1" / "model.ckpt"), global_step=77)
    assert checkpoints.restore(theirs, model, optimizer) == 77
    assert int(optimizer.iterations) == 77
    for name, variable in model.variables_2017().items():
        np.testing.assert_array_equal(variable.numpy(), values[name] * 2 + 1)


def test_only_the_newest_are_kept_and_tf_finds_the_last(tmp_path):
    model, optimizer, _ = trainable()
    for step in (5, 10, 15, 20):
        checkpoints.save(tmp_path, step, model, optimizer, keep=2, protect=(5,))
    assert checkpoints.steps(tmp_path) == [5, 15, 20]
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 20)
    assert not list(tmp_path.glob(".*"))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(checkpoints.CheckpointError, match="There is no checkpoint .*model.ckpt-9"):
        checkpoints.restore(checkpoints.prefix(tmp_path, 9), trainable()[0])


def test_another_architecture_is_refused_with_the_variable_and_both_shapes(tmp_path):
    model, optimizer, _ = trainable()
    path = checkpoints.save(tmp_path, 1, model, optimizer)
    wider = make_model("capsule", (20, 20, 1), 10, HParams(num_prime_capsules=3, conv_channels=8))
    before = wider.get_weights()
    with pytest.raises(
        checkpoints.CheckpointError, match=r"conv_capsule1/weights is \[9, 9, 8, 16\] there and \[9, 9, 8, 24\] here"
    ):
        checkpoints.restore(path, wider)
    for old, new in zip(before, wider.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # nothing was changed
    with pytest.raises(checkpoints.CheckpointError, match=r"conv1/weights is \[9, 9, 1, 8\] there"):
        checkpoints.restore(path, make_model("baseline", (20, 20, 1), 10, HParams()))


def test_a_network_without_decoder_is_told_from_one_with(tmp_path):
    plain = HParams(num_prime_capsules=2, conv_channels=8, remake=False)
    model, optimizer, _ = trainable(hparams=plain)
    path = checkpoints.save(tmp_path, 1, model, optimizer)
    with pytest.raises(checkpoints.CheckpointError, match=r"recons/recons_1/weights \[160, 512\].*remake=false"):
        checkpoints.restore(path, trainable()[0])


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_newest_checkpoint_is_reported_and_passed_over(ending, damage, tmp_path):
    model, optimizer, step = trainable()
    checkpoints.save(tmp_path, 1, model, optimizer)
    first = model.get_weights()
    step([BATCH])
    path = checkpoints.save(tmp_path, 2, model, optimizer)
    with open(path + ending, "r+b") as file:
        content = file.read()
        middle = len(content) // 2
        file.seek(0)
        file.truncate()
        file.write(
            {
                "cut": content[:middle],
                "empty": b"",
                "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            }[damage]
        )
    with pytest.raises(checkpoints.DamagedCheckpoint, match=r"model.ckpt-2 is cut short or damaged"):
        checkpoints.restore(path, model, optimizer)
    said = []
    assert checkpoints.restore_latest(tmp_path, model, optimizer, said.append) == 1
    assert len(said) == 1 and "Passed over" in said[0]
    for old, new in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_failed_save_leaves_the_older_checkpoints_and_no_litter(tmp_path, monkeypatch):
    model, optimizer, _ = trainable()
    checkpoints.save(tmp_path, 1, model, optimizer)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "replace", full)
    with pytest.raises(checkpoints.CheckpointError, match="Cannot write .*model.ckpt-2: .*No space left"):
        checkpoints.save(tmp_path, 2, model, optimizer)
    monkeypatch.undo()
    assert checkpoints.steps(tmp_path) == [1]
    assert not list(tmp_path.glob(".saving-*"))
    assert checkpoints.restore_latest(tmp_path, model, optimizer) == 1
