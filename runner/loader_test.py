"""From a checkpoint to its network: what config.json says is used, contradictions and other data are refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.hparams import HParams
from models.optimizer import make_optimizer
from runner import checkpoints, config
from runner.config import NetworkConfig
from runner.loader import Data, build, describe, load
from runner.run_config import NetworkFlags

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
    assert (trained.dataset, trained.class_names, trained.step) == ("folder", ("cat", "dog"), 2)
    assert trained.model.hparams == TINY


def test_resizing_and_grey_come_from_the_config(tmp_path):
    flags = {"dataset": "folder", "image_size": 20, "grayscale": True}
    prefix = save(tmp_path / "run/train", TINY, (20, 20, 1), ("cat", "dog"), **flags)
    write_pictures(tmp_path / "data", ["cat", "dog"])
    data = Data(str(tmp_path / "data"))
    assert data.for_network(describe(prefix, NetworkFlags(), data)).info.image_shape == (20, 20, 1)


@pytest.mark.parametrize(
    ("names", "shape", "words"),
    [
        (["cat", "fox"], (20, 22, 3), "class 1 is dog there and fox in own images"),
        (["ant", "cat", "dog"], (20, 22, 3), "classes is .* there and .*ant"),
        (["cat", "dog"], (24, 22, 3), "images is 20x22x3 there and 24x22x3 in own images in"),
    ],
)
def test_other_classes_and_images_of_another_size_are_refused(names, shape, words, own, tmp_path):
    write_pictures(tmp_path / "data", names, shape)
    data = Data(str(tmp_path / "data"))
    with pytest.raises(ValueError, match=words):
        data.for_network(describe(own, NetworkFlags(), data))


@pytest.mark.parametrize("flags", [{"dataset": "mnist"}, {"model": "baseline"}, {"num_targets": 2},
                                   {"image_size": 9}, {"grayscale": True}])  # fmt: skip
def test_a_flag_that_contradicts_the_config_is_named_with_both_values(flags, own):
    ((name, value),) = flags.items()
    saved = getattr(config.read(Path(own).parent), name)
    with pytest.raises(ValueError, match=f"--{name}={value} and {saved} in config.json"):
        load(own, NetworkFlags(**flags))


def test_flags_that_agree_and_hparams_on_purpose_are_taken(own, capsys):
    assert load(own, NetworkFlags(dataset="folder", model="capsule")).model.hparams == TINY
    changed = load(own, NetworkFlags(hparams_override="routing=1")).model.hparams
    assert changed == replace(TINY, routing=1)
    assert "except for those given by flags" in capsys.readouterr().out
    with pytest.raises(checkpoints.CheckpointError, match="is of another network"):
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
    with pytest.raises(checkpoints.CheckpointError, match=r"conv1/weights is \[9, 9, 1, 2\] there"):
        load(str(tmp_path / "bare[1]"))
