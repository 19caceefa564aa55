"""Checkpoints: bit-exact round trips, files of TF 1, and everything that can be wrong with a file."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from conftest import assert_same, tensors
from models import make_model
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import checkpoints
from runner.checkpoints import last_good
from runner.devices import Machines
from runner.flags import UserError
from runner.steps import make_train_step

TINY = HParams(num_prime_capsules=2, conv_channels=8, routing=1)
BATCH = {
    "images": np.random.RandomState(0).uniform(size=(4, 20, 20, 1)).astype(np.float32),
    "labels": np.array([[1], [2], [3], [4]], np.int32),
}
pytestmark = pytest.mark.usefixtures("eagerly")


def trainable(name="capsule", hparams=TINY, scale_loss=False, average=0.0):
    """A network, its optimizer, which may average its weights, and a step of training."""
    model = make_model(name, (20, 20, 1), 10, hparams)
    optimizer = make_optimizer(replace(hparams, average=average), scale_loss)
    optimizer.build(model.trainable_variables)
    return model, optimizer, make_train_step(model, optimizer, Machines(tf.distribute.get_strategy()))


@pytest.fixture(scope="module")
def network():
    """A network and its optimizer that tests share: each gives it the weights that it needs."""
    return trainable()[:2]


def weights(model):
    """The weights of a network by name."""
    return {name: variable.numpy() for name, variable in model.named_variables().items()}


@pytest.mark.parametrize("options", [{"scale_loss": True, "average": 0.5}, {"name": "efficient", "hparams": HParams()}],
                         ids=["capsules", "efficient"])  # fmt: skip
def test_training_goes_on_bit_for_bit(options, tmp_path):
    model, optimizer, step = trainable(**options)
    for _ in range(2):
        step(BATCH)
    checkpoints.save(tmp_path, 2, model, optimizer)
    other, other_optimizer, other_step = trainable(**options)
    assert checkpoints.restore_latest(tmp_path, other, other_optimizer) == 2
    metrics, others = step(BATCH), other_step(BATCH)
    assert list(map(float, metrics.values())) == list(map(float, others.values()))
    assert_same(weights(model), weights(other))
    for one, two in zip(optimizer.variables, other_optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=one.name)


def test_a_saver_of_tf1_writes_what_we_read_and_reads_what_we_write(tmp_path):
    """The real TF 1 Saver on a graph with the variables of 2017: there and back without a difference."""
    model, optimizer, step = trainable()
    step(BATCH)
    ours = checkpoints.save(tmp_path, 1, model, optimizer)
    values = weights(model)
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
    assert_same(weights(model), {name: value * 2 + 1 for name, value in values.items()})
    rewrite(theirs, global_step=np.float32(350))  # as the code of 2017 counted
    assert checkpoints.restore(theirs, model, optimizer) == 350


def test_only_the_newest_are_kept_and_none_counts_from_after_the_step_that_was_gone_back_to(network, tmp_path):
    for step in (5, 10, 15, 20):
        checkpoints.save(tmp_path, step, *network, keep=2)
    assert checkpoints.steps(tmp_path) == [15, 20] and not list(tmp_path.glob(".*"))
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 20)
    checkpoints.save(tmp_path, 6, *network, keep=1)
    assert checkpoints.steps(tmp_path) == [6, 15, 20]
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 6)


def test_another_network_is_refused_with_the_variable_and_both_shapes(network, tmp_path):
    model, optimizer = network
    path = checkpoints.save(tmp_path, 1, model, optimizer)
    wider = make_model("capsule", (20, 20, 1), 10, replace(TINY, num_prime_capsules=3))
    before = weights(wider)
    words = r"conv_capsule1/weights is \[9, 9, 8, 16\] there and \[9, 9, 8, 24\] here"
    with pytest.raises(UserError, match=words):
        checkpoints.restore(path, wider)
    assert_same(weights(wider), before)  # nothing was changed
    plain, optimizer, _ = trainable(hparams=replace(TINY, remake=False))
    path = checkpoints.save(tmp_path, 2, plain, optimizer)
    with pytest.raises(UserError, match=r"recons/recons_1/weights is not in it.*remake=false"):
        checkpoints.restore(path, model)


def test_a_failed_save_leaves_the_older_checkpoints_and_no_litter(network, tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, *network)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UserError, match="Cannot write .*model.ckpt-2: .*No space left"):
            checkpoints.save(tmp_path, 2, *network)
    assert checkpoints.steps(tmp_path) == [1] and not list(tmp_path.glob(".saving-*"))
    assert checkpoints.restore_latest(tmp_path, *network) == 1


def rewrite(path, **changes):
    """Writes a checkpoint anew by TensorFlow, with some variables changed."""
    arrays = tensors(path) | changes
    values = [tf.convert_to_tensor(value) for value in arrays.values()]
    tf.raw_ops.SaveV2(prefix=path, tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=values)
    Path(f"{path}.sha256").unlink(missing_ok=True)  # as for a file of another program


def spoil(name, number):
    """Writes a checkpoint anew with one number changed."""

    def change(path):
        value = tensors(path)[name]
        value.flat[-1] = number
        rewrite(path, **{name: value})

    return change


def damage(ending, change):
    """Changes the bytes of one of a checkpoint's files."""
    return lambda path: Path(path + ending).write_bytes(change(Path(path + ending).read_bytes()))


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


INDEX, DATA = ".index", ".data-00000-of-00001"
DAMAGES = {
    "index cut": damage(INDEX, lambda content: content[: len(content) // 2]),
    "index flipped": damage(INDEX, flipped),
    "data cut": damage(DATA, lambda content: content[: len(content) // 2]),
    "data flipped": damage(DATA, flipped),
    "a wrong checksum": damage(".sha256", lambda content: b"0" * 64 + content[64:]),
    "NaN in the weights": spoil("conv1/weights", np.nan),
    "NaN in a slot": spoil("conv1/weights/Adam", np.nan),
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_newest_checkpoint_is_reported_passed_over_renamed_and_never_overwritten(
    change, network, tmp_path, capsys
):
    model, optimizer = network
    checkpoints.save(tmp_path, 1, model, optimizer)
    first = weights(model)
    model.set_weights([value + 1 for value in model.get_weights()])
    path = checkpoints.save(tmp_path, 2, model, optimizer)
    change(path)
    with pytest.raises(checkpoints.DamagedCheckpoint, match="model.ckpt-2"):
        checkpoints.restore(path, model, optimizer)
    assert checkpoints.restore_latest(tmp_path, model, optimizer) == 1
    assert "the checkpoint before it is used" in capsys.readouterr().out
    assert_same(weights(model), first)
    checkpoints.save(tmp_path, 2, model, optimizer, keep=1)
    assert checkpoints.steps(tmp_path) == [2]
    assert {path.name for path in tmp_path.glob("*.index")} == {"model.ckpt-2.index", "damaged-model.ckpt-2.index"}


def test_where_no_checkpoint_can_be_read_nothing_is_changed(network, tmp_path):
    model, optimizer = network
    for step in (1, 2):
        path = checkpoints.save(tmp_path, step, model, optimizer)
        with open(f"{path}.data-00000-of-00001", "r+b") as file:
            file.truncate(9)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="No checkpoint in .* can be read; nothing was"):
        checkpoints.restore_latest(tmp_path, model, optimizer)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_that_are_not_finite_are_not_saved_and_the_last_good_checkpoint_is_named(network, tmp_path):
    model, optimizer = network
    checkpoints.save(tmp_path, 3, model, optimizer)
    variable = model.named_variables()["conv1/weights"]
    before = variable.numpy()
    variable.assign(np.full_like(before, np.nan))
    with pytest.raises(UserError, match=r"After step 4, conv1/weights is not finite.*model.ckpt-3:"):
        checkpoints.save(tmp_path, 4, model, optimizer)
    variable.assign(before)
    assert checkpoints.steps(tmp_path) == [3]
    assert "model.ckpt-3" in last_good(tmp_path, 3)
    assert "No earlier checkpoint was saved" in last_good(tmp_path, 2)


def test_a_folder_and_a_checkpoint_of_2017_may_have_any_name(network, tmp_path):
    name = "lr[1e-3] a*b?, ä—日本@4, 50%{}\n" + "x" * 150
    folder = tmp_path / name
    folder.mkdir()
    checkpoints.save(folder, 1, *network)
    path = checkpoints.save(folder, 2, *network, keep=1)
    assert checkpoints.restore_latest(folder, *network) == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint", "model.ckpt-2.data-00000-of-00001", "model.ckpt-2.index", "model.ckpt-2.sha256",
    ]  # fmt: skip
    for ending in (INDEX, DATA):
        Path(path + ending).rename(folder / f"{name}{ending}")
    assert checkpoints.restore(str(folder / name), network[0]) == 2


def test_averaged_weights_are_those_that_are_loaded(network, tmp_path):
    model, optimizer, step = trainable(average=0.5)
    step(BATCH)
    step(BATCH)
    path = checkpoints.save(tmp_path, 2, model, optimizer)
    last = weights(model)
    with checkpoints.averaged(model, optimizer):
        average = weights(model)
    assert (average["conv1/weights"] != last["conv1/weights"]).any()
    assert_same(weights(model), last)
    np.testing.assert_array_equal(tensors(path)["conv1/weights/ExponentialMovingAverage"], average["conv1/weights"])
    np.testing.assert_array_equal(tensors(path)["conv1/weights"], last["conv1/weights"])
    plain = make_model("capsule", (20, 20, 1), 10, TINY)
    checkpoints.restore(path, plain)
    assert_same(weights(plain), average)
    path = checkpoints.save(tmp_path, 3, *network)  # without averages, which begin at its weights
    assert checkpoints.restore(path, model, optimizer) == 3
    with checkpoints.averaged(model, optimizer):
        assert_same(weights(network[0]), weights(model))


def test_a_save_keeps_the_minutes_and_removes_what_a_killed_one_left(network, tmp_path):
    for ending in ("data-00000-of-00001", "sha256"):
        (tmp_path / f"model.ckpt-4.{ending}").touch()
    (tmp_path / ".saving-x").mkdir()
    path = checkpoints.save(tmp_path, 3, *network, minutes=12.345)
    assert len(list(tmp_path.iterdir())) == 4 and checkpoints.minutes(path) == 12.345
    Path(f"{path}.sha256").unlink()
    assert checkpoints.minutes(path) == 0
