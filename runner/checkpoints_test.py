"""Checkpoints: bit-exact round trips, files of TF 1, and everything that can be wrong with a file."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models import make_model
from models.hparams import HParams
from models.optimizer import Adam, make_optimizer
from runner import checkpoints
from runner.devices import Machines
from runner.naming import last_good
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
    return model, optimizer, make_train_step(model, optimizer, Machines(tf.distribute.get_strategy()))


@pytest.mark.parametrize(("name", "scale_loss"), [("capsule", False), ("capsule", True), ("efficient", False)])
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
    values = {name: variable.numpy() for name, variable in model.named_variables().items()}
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
    for name, variable in model.named_variables().items():
        np.testing.assert_array_equal(variable.numpy(), values[name] * 2 + 1)


def test_only_the_newest_are_kept_and_tf_finds_the_last(tmp_path):
    model, optimizer, _ = trainable()
    for step in (5, 10, 15, 20):
        checkpoints.save(tmp_path, step, model, optimizer, keep=2)
    assert checkpoints.steps(tmp_path) == [15, 20]
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 20)
    assert not list(tmp_path.glob(".*"))


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
    with pytest.raises(checkpoints.CheckpointError, match=r"recons/recons_1/weights is not in it.*remake=false"):
        checkpoints.restore(path, trainable()[0])


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_newest_checkpoint_is_reported_and_passed_over(ending, damage, tmp_path, capsys):
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
    assert checkpoints.restore_latest(tmp_path, model, optimizer) == 1
    assert "the checkpoint before it is used" in capsys.readouterr().out
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


@pytest.fixture(scope="module")
def network():
    """A network and its optimizer that tests share: each gives it the weights that it needs."""
    return trainable()[:2]


def rewrite(path, changes):
    """Writes a checkpoint anew by TensorFlow, with some variables changed; None leaves one out."""
    reader = tf.train.load_checkpoint(path)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()} | changes
    tensors = {name: value for name, value in tensors.items() if value is not None}
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
    )
    Path(f"{path}.sha256").unlink(missing_ok=True)  # as for a file of another program


def spoilt(value, number):
    value = value.copy()
    value.flat[-1] = number
    return value


ODD = {
    "another step": lambda old: {"global_step": np.int64(3)},
    "no step": lambda old: {"global_step": None},
    "a wrong checksum": None,
    "NaN in the weights": lambda old: {"conv1/weights": spoilt(old("conv1/weights"), np.nan)},
    "an infinite weight": lambda old: {"capsule2/weights": spoilt(old("capsule2/weights"), -np.inf)},
    "NaN in a slot": lambda old: {"conv1/weights/Adam": spoilt(old("conv1/weights/Adam"), np.nan)},
}


@pytest.mark.parametrize("what", ODD)
def test_a_whole_checkpoint_of_odd_content_is_passed_over_set_aside_and_never_overwritten(
    what, network, tmp_path, capsys
):
    model, optimizer = network
    (tmp_path / "config.json").write_text("{}")  # a run's own folder, in which names tell steps
    checkpoints.save(tmp_path, 1, model, optimizer)
    first = model.get_weights()
    model.set_weights([weights + 1 for weights in first])
    path = checkpoints.save(tmp_path, 2, model, optimizer)
    if ODD[what]:
        rewrite(path, ODD[what](tf.train.load_checkpoint(path).get_tensor))
    else:
        Path(f"{path}.sha256").write_text(f"{'0' * 64}  model.ckpt-2.index\n")
    with pytest.raises(checkpoints.DamagedCheckpoint, match="model.ckpt-2"):
        checkpoints.restore(path, model, optimizer)
    assert checkpoints.restore_latest(tmp_path, model, optimizer) == 1
    assert "the checkpoint before it is used" in capsys.readouterr().out
    for old, new in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    checkpoints.save(tmp_path, 2, model, optimizer, keep=1)
    assert checkpoints.steps(tmp_path) == [2]
    assert {path.name for path in tmp_path.glob("*.index")} == {"model.ckpt-2.index", "damaged-model.ckpt-2.index"}


def test_the_code_of_2017_counted_steps_in_float32(network, tmp_path):
    model, optimizer = network
    path = checkpoints.save(tmp_path, 2, model, optimizer)
    rewrite(path, {"global_step": np.float32(350)})
    assert checkpoints.restore(path, model, optimizer) == 350


def test_pruning_counts_no_checkpoint_from_after_the_step_that_was_gone_back_to(network, tmp_path):
    model, optimizer = network
    for step in (5, 10, 15):
        checkpoints.save(tmp_path, step, model, optimizer)
    checkpoints.save(tmp_path, 6, model, optimizer, keep=1)
    assert checkpoints.steps(tmp_path) == [6, 10, 15]
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 6)


def test_where_no_checkpoint_can_be_read_nothing_is_changed(network, tmp_path):
    model, optimizer = network
    for step in (1, 2):
        path = checkpoints.save(tmp_path, step, model, optimizer)
        with open(f"{path}.data-00000-of-00001", "r+b") as file:
            file.truncate(9)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(checkpoints.CheckpointError, match=r"None of the 2 checkpoints in .* can be read; nothing was"):
        checkpoints.restore_latest(tmp_path, model, optimizer)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_that_are_not_finite_are_not_saved_and_the_last_good_checkpoint_is_named(network, tmp_path):
    model, optimizer = network
    checkpoints.save(tmp_path, 3, model, optimizer)
    variable = model.named_variables()["conv1/weights"]
    before = variable.numpy()
    variable.assign(spoilt(before, np.nan))
    with pytest.raises(checkpoints.CheckpointError, match=r"After step 4, conv1/weights is not finite.*model.ckpt-3:"):
        checkpoints.save(tmp_path, 4, model, optimizer)
    variable.assign(before)
    assert checkpoints.steps(tmp_path) == [3]
    assert "model.ckpt-3" in last_good(tmp_path, 3)
    assert "No earlier checkpoint was saved" in last_good(tmp_path, 2)


@pytest.mark.parametrize("name", ["lr[1e-3]", "a*b?", "run@4", "two words", "ä—日本", "x" * 200, "50%{}", "new\nline"])
def test_a_folder_may_have_any_name(name, network, tmp_path):
    model, optimizer = network
    folder = tmp_path / name
    folder.mkdir()
    checkpoints.save(folder, 1, model, optimizer)
    checkpoints.save(folder, 2, model, optimizer, keep=1)
    assert checkpoints.restore_latest(folder, model, optimizer) == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint", "model.ckpt-2.data-00000-of-00001", "model.ckpt-2.index", "model.ckpt-2.sha256",
    ]  # fmt: skip


def averaging(hparams=TINY):
    """A network whose optimizer averages its weights."""
    model = make_model("capsule", (20, 20, 1), 10, hparams)
    optimizer = Adam(0.01, use_ema=True, ema_momentum=0.5, name="adam")
    optimizer.build(model.trainable_variables)
    return model, optimizer, make_train_step(model, optimizer, Machines(tf.distribute.get_strategy()))


def test_averaged_weights_resume_bit_for_bit_and_are_those_that_are_loaded(tmp_path):
    model, optimizer, step = averaging()
    for _ in range(3):
        step([BATCH])
    path = checkpoints.save(tmp_path, 3, model, optimizer)
    last = model.named_variables()["conv1/weights"].numpy()
    with checkpoints.averaged(model, optimizer):
        average = model.named_variables()["conv1/weights"].numpy()
    assert checkpoints.keeps_averages(optimizer) and (average != last).any()
    np.testing.assert_array_equal(model.named_variables()["conv1/weights"].numpy(), last)
    arrays = checkpoints.read(path)
    np.testing.assert_array_equal(arrays["conv1/weights/ExponentialMovingAverage"], average)
    np.testing.assert_array_equal(arrays["conv1/weights"], last)
    other, other_optimizer, other_step = averaging()
    assert checkpoints.restore_latest(tmp_path, other, other_optimizer) == 3
    for one in (step, other_step):
        one([BATCH])
    for ours, theirs in zip(optimizer.variables, other_optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.name)
    for flag, expected in ((True, average), (False, last)):
        plain = make_model("capsule", (20, 20, 1), 10, TINY)
        checkpoints.restore(path, plain, averaged=flag)
        np.testing.assert_array_equal(plain.named_variables()["conv1/weights"].numpy(), expected)
    assert [checkpoints.weights_of(path, flag) for flag in (True, False)] == ["averaged", "last"]


def test_averages_begin_at_the_weights_of_a_checkpoint_that_has_none(tmp_path):
    model, optimizer, _ = trainable()
    path = checkpoints.save(tmp_path, 3, model, optimizer)
    other, other_optimizer, _ = averaging()
    assert checkpoints.restore(path, other, other_optimizer) == 3
    with checkpoints.averaged(other, other_optimizer):
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["model[1].ckpt", "a*b?", "ckpt{}", "ä—日本"])
def test_a_checkpoint_of_2017_may_have_any_name(name, network, tmp_path):
    model, optimizer = network
    path = checkpoints.save(tmp_path, 4, model, optimizer)
    for ending in (".index", ".data-00000-of-00001"):
        Path(path + ending).rename(tmp_path / f"{name}{ending}")
    assert checkpoints.restore(str(tmp_path / name), model) == 4


def test_the_minutes_of_training_are_kept_with_the_checkpoint(network, tmp_path):
    path = checkpoints.save(tmp_path, 4, *network, minutes=12.345)
    assert checkpoints.minutes(path) == 12.35 or checkpoints.minutes(path) == 12.34
    Path(f"{path}.sha256").unlink()
    assert checkpoints.minutes(path) == 0


def test_what_a_kill_left_half_done_is_finished(network, tmp_path):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, *network)
    checkpoints._write_state_file(tmp_path, 2)  # killed before the file was written for step 3
    (tmp_path / "model.ckpt-4.data-00000-of-00001").touch()
    (tmp_path / ".saving-x").mkdir()
    checkpoints.tidy(tmp_path, keep=2)
    assert tf.train.latest_checkpoint(str(tmp_path)) == checkpoints.prefix(tmp_path, 3)
    assert checkpoints.steps(tmp_path) == [2, 3] and len(list(tmp_path.iterdir())) == 7
