"""From a checkpoint's name to its network, also to one of the user's own; contradictions and other data are refused."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import experiment
from conftest import assert_same, run_program, tensors
from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import checkpoints, config
from runner.checkpoints import MissingCheckpoint
from runner.config import NetworkConfig, NetworkFlags
from runner.flags import UserError
from runner.loader import Data, build, describe, load, resolve

TINY = HParams(num_prime_capsules=1, conv_channels=2, remake=False, routing=2)


def write_pictures(folder, names, shape=(20, 22, 3)):
    """Pictures of classes, three each for training and one for testing."""
    for index in range(4):
        for name in names:
            path = folder / ("test" if index == 3 else "train") / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tf.io.encode_png(np.full(shape, 40 * index, np.uint8)).numpy())


def save(folder, hparams, image_shape, class_names, **flags):
    """A checkpoint with random weights and its config; gives its prefix."""
    folder.mkdir(parents=True)
    saved = NetworkConfig(flags, hparams, image_shape, class_names)
    model, optimizer = build(saved), make_optimizer(hparams)
    optimizer.build(model.trainable_variables)
    config.write(folder, saved)
    return checkpoints.save(folder, 2, model, optimizer)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The prefix of a network of own images that are not square."""
    return save(tmp_path_factory.mktemp("run") / "train", TINY, (20, 22, 3), ("cat", "dog"), dataset="folder")


def test_a_network_of_wide_images_meets_its_data(own, tmp_path):
    write_pictures(tmp_path / "data", ["cat", "dog"])
    data = Data(str(tmp_path / "data"))
    saved = describe(own, NetworkFlags(), data)
    split = data.for_network(saved)
    assert split.info.image_shape == (20, 22, 3) and data.for_network(saved) is split  # opened once
    trained = load(str(Path(own).parents[1]))
    assert (trained.config.dataset, trained.config.class_names, trained.step) == ("folder", ("cat", "dog"), 2)
    assert trained.model.hparams == TINY
    flags = {"dataset": "folder", "image_size": 20, "grayscale": True}
    prefix = save(tmp_path / "run/train", TINY, (20, 20, 1), ("cat", "dog"), **flags)
    assert data.for_network(describe(prefix, NetworkFlags(), data)).info.image_shape == (20, 20, 1)


def test_other_classes_and_images_of_another_size_are_refused(own, tmp_path):
    for names, shape, words in (
        (["cat", "fox"], (20, 22, 3), r"data than own images in .* there and \['cat', 'fox'\] here"),
        (["cat", "dog"], (24, 22, 3), "images is 20x22x3 there and 24x22x3 here"),
    ):
        write_pictures(tmp_path / names[1], names, shape)
        data = Data(str(tmp_path / names[1]))
        with pytest.raises(ValueError, match=words):
            data.for_network(describe(own, NetworkFlags(), data))


def test_a_flag_that_contradicts_the_config_is_named_with_both_values(own):
    wrong = {"dataset": "mnist", "model": "baseline", "num_targets": 2, "image_size": 9, "grayscale": True}
    for name, value in wrong.items():
        saved = getattr(config.read(Path(own).parent), name)
        with pytest.raises(ValueError, match=f"--{name}={value} and {saved} in config.json"):
            load(own, NetworkFlags(**{name: value}))


def test_flags_that_agree_and_hparams_on_purpose_are_taken(own, capsys):
    assert load(own, NetworkFlags(dataset="folder", model="capsule")).model.hparams == TINY
    changed = load(own, NetworkFlags(hparams_override="routing=1")).model.hparams
    assert changed == replace(TINY, routing=1)
    assert "except for those given by flags" in capsys.readouterr().out
    with pytest.raises(UserError, match="is of another network"):
        load(own, NetworkFlags(hparams_override="conv_channels=3"))


def test_without_a_config_flags_and_data_say_what_it_is(tmp_path):
    hparams = HParams(num_prime_capsules=1, conv_channels=2, padding="SAME", leaky=True)
    prefix = save(tmp_path / "known", hparams, (28, 28, 1), tuple("0123456789"))
    (tmp_path / "bare[1]").mkdir()
    for path in Path(prefix).parent.glob("model.ckpt-2.*"):
        shutil.copy(path, tmp_path / "bare[1]")
    flags = NetworkFlags(hparams_override="num_prime_capsules=1,conv_channels=2,padding=SAME,leaky=true")
    trained = load(str(tmp_path / "bare[1]"), flags)
    assert trained.model.hparams == hparams and trained.model.image_shape == (28, 28, 1)
    with pytest.raises(UserError, match=r"conv1/weights is \[9, 9, 1, 2\] there"):
        load(str(tmp_path / "bare[1]"))


@pytest.fixture
def run(tmp_path):
    """A run with two checkpoints and a best one."""
    for name in ("train/model.ckpt-9", "train/model.ckpt-10", "test/best/model.ckpt-9"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.index").touch()
    return tmp_path


def test_a_checkpoint_has_many_names(run, monkeypatch):
    newest, best, one = (str(run / f"{name}") for name in ("train/model.ckpt-10", "test/best/model.ckpt-9",
                                                           "train/model.ckpt-9"))  # fmt: skip
    names = {"": newest, "/train": newest, "/latest": newest, "/best": best, "/train/model.ckpt-9": one,
             "/train/model.ckpt-9.index": one, "/train/model.ckpt-9.data-00000-of-00001": one}  # fmt: skip
    assert {name: resolve(f"{run}{name}") for name in names} == names
    assert (resolve("latest", run), resolve("best", run)) == (newest, best)
    monkeypatch.chdir(run)
    assert resolve("best") == "test/best/model.ckpt-9"


def test_a_checkpoint_that_is_missing_is_named(run):
    (run / "empty").mkdir()
    for name, words in (("none/model.ckpt-1", "There is no checkpoint"), ("empty", "There is no checkpoint"),
                        ("train/model.ckpt-7", "has the steps 9 to 10"), ("other/latest", "There is no checkpoint"),
                        ("other/best", "Evaluations with --validate keep the best")):  # fmt: skip
        with pytest.raises(MissingCheckpoint, match=words) as error:
            resolve(str(run / name))
        assert str(run) in str(error.value)


CODE = """
import keras
from capsules import UniformRouting
from models.capsnet import CapsNet

class Small(keras.Model):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(8, "relu")
        self.normal, self.drop = keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)
        self.out = keras.layers.Dense(num_classes)
    def call(self, images, training=False):
        return self.out(self.drop(self.normal(self.dense(self.flat(images)), training=training), training=training))

def stacked(image_shape, num_classes, hparams):
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])

class Mine(UniformRouting):
    pass

class Twice(CapsNet):
    def __init__(self, image_shape, num_classes, hparams):
        super().__init__(image_shape, num_classes, hparams.conv_channels, hparams.num_prime_capsules, routing=Mine())
    def call(self, images, training=False):
        outputs = super().call(images, training)
        return outputs | {"logits": outputs["logits"] * 0.5}

def wrong(image_shape, num_classes):
    return keras.layers.Flatten()
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my_net.py").write_text(CODE)
    return tmp_path / "my_net.py"


SMALL = ["--batch_size=8", "--eval_size=30"]
SMALL += ["--hparams_override=num_prime_capsules=1,conv_channels=2,routing=1,remake=false"]


def train(capsys, *arguments):
    code, out, errors = run_program(experiment.main, capsys, arguments)
    assert code == 0, out + errors
    return out


def test_an_own_network_resumes_bit_for_bit_with_dropout_and_moving_statistics(file, eagerly, tmp_path, capsys):
    own = f"--model={file}:Small"
    train(capsys, *SMALL, own, f"--summary_dir={tmp_path}/whole", "--max_steps=2")
    train(capsys, *SMALL, own, f"--summary_dir={tmp_path}/parts", "--max_steps=1")
    file.write_text(CODE + "# a comment")
    out = train(capsys, *SMALL, f"--summary_dir={tmp_path}/parts", "--max_steps=2")
    assert "Resuming at step 1 of 2" in out and "has changed since the network was trained" in out
    one, two = (tensors(tmp_path / name / "train/model.ckpt-2") for name in ("whole", "parts"))
    assert_same(one, two)
    assert {"0/kernel", "4/moving_mean", "7/bias"} <= one.keys()
    # The names of weights do not depend on what the process made before.
    first, second = (load(str(tmp_path / "whole")).model for _ in range(2))
    assert list(first.named_variables()) == list(second.named_variables())
    images = np.zeros((2, 28, 28, 1), np.float32)
    np.testing.assert_array_equal(first(images)["logits"], second(images)["logits"])


@pytest.mark.parametrize("kind", ["stacked", "Twice"])
def test_an_own_network_is_trained_and_evaluated_under_its_name(kind, file, eagerly, tmp_path, capsys):
    out = train(capsys, *SMALL, f"--model={file}:{kind}", f"--summary_dir={tmp_path}/s", "--max_steps=1")
    assert f"{kind}: " in out
    content = json.loads((tmp_path / "s/train/config.json").read_text())
    assert content["flags"]["model"] == f"{file}:{kind}" and len(content["model_sha256"]) == 64
    (tmp_path / "moved").mkdir()
    moved = file.rename(tmp_path / "moved/my_net.py")
    file.write_text("stacked = Twice = None")
    again = train(capsys, "--train=false", f"--checkpoint={tmp_path}/s", "--eval_size=30", f"--model={moved}:{kind}")
    assert re.search(r"Total wrong.*", out)[0] == re.search(r"Total wrong.*", again)[0]


def test_what_is_no_network_is_one_sentence(file, tmp_path, capsys):
    for name, words in ((f"{file}:Other", "has no class Other"), (f"{tmp_path}/none.py:A", "No such file"),
                        (f"{file}:wrong", "should give logits [batch, 10]. Received: (None, 784)")):  # fmt: skip
        code, _, errors = run_program(
            experiment.main, capsys, [f"--model={name}", f"--summary_dir={tmp_path}/s", "--max_steps=1"]
        )
        assert code == 1 and words in errors and errors.count("\n") == 1, errors
