"""Networks that ship: what is written is what is read, and nothing damaged is loaded."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from capsules import DynamicRouting
from models import CapsNet, Classifier, EfficientCapsNet, make_model, pretrained

HPARAMS = {"num_prime_capsules": 1, "conv_channels": 2}
CONFIG = {"flags": {"model": "capsule"}, "hparams": HPARAMS, "image_shape": [20, 22, 1], "class_names": ["a", "b"]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder `pretrained/` with the network `tiny`, float16 but for one weight, and that network."""
    root = tmp_path_factory.mktemp("pretrained")
    keras.utils.set_random_seed(0)
    model = make_model("capsule", (20, 22, 1), 2, HPARAMS)
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(np.float16(variable * 3))
    model.conv1.kernel.assign(model.conv1.kernel + 1e-6)
    values = {name: variable.numpy() for name, variable in model.named_variables().items()}
    halves = {name: value if name == "conv1/weights" else np.float16(value) for name, value in values.items()}
    pretrained.write(root / "tiny", CONFIG, halves, 7)
    return root, model


@pytest.fixture
def copied(tiny, tmp_path, monkeypatch):
    """A copy of that folder, from which networks are loaded."""
    shutil.copytree(tiny[0], tmp_path / "pretrained")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_the_network_that_is_loaded_is_the_one_that_was_written(tiny, copied):
    model, images = Classifier.from_preset("tiny"), np.random.RandomState(0).rand(3, 20, 22, 1).astype(np.float32)
    np.testing.assert_array_equal(model(images)["logits"], tiny[1](images)["logits"])
    for name, variable in tiny[1].named_variables().items():
        np.testing.assert_array_equal(model.named_variables()[name], variable, err_msg=name)
    assert pretrained.read_weights(copied / "tiny")["global_step"] == 7


@pytest.mark.parametrize("file", [pretrained.CONFIG, pretrained.WEIGHTS, pretrained.SUMS])
@pytest.mark.parametrize("harm", ["changed", "cut", "missing", "not text"])
def test_a_damaged_or_missing_file_is_one_sentence(copied, file, harm):
    path = copied / "tiny" / file
    content = path.read_bytes()
    path.unlink()
    if harm != "missing":
        middle = len(content) // 3
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"changed": changed, "cut": content[:20], "not text": b"\xff\xfe"}[harm])
    with pytest.raises(
        ValueError, match=r"^The pretrained network tiny (is damaged|cannot be read).*Copy .* again"
    ) as e:
        Classifier.from_preset("tiny")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["other", "", ".", "..", "../pretrained/tiny", "tiny/", "Tiny"])
def test_an_unknown_name_gets_the_names_that_there_are(copied, name):
    (copied / "README.md").touch()
    (copied / "second").mkdir()
    with pytest.raises(ValueError, match=r"no pretrained network '.*'\. The networks are: second, tiny\.$"):
        Classifier.from_preset(name)


def test_without_the_folder_the_sentence_says_where_it_should_be(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "none")
    with pytest.raises(ValueError, match="none is missing or empty"):
        Classifier.from_preset("tiny")


def test_a_preset_of_ones_own_is_what_was_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = CapsNet((20, 20, 1), 3, filters=2, primary_types=1, routing=DynamicRouting(2, scale="sqrt"), decoder=False)
    model.save_to_preset("mine", ["a", "b", "c"], step=5)
    loaded = CapsNet.from_preset("mine")
    images = np.random.RandomState(0).rand(3, 20, 20, 1).astype(np.float32)
    np.testing.assert_array_equal(loaded(images)["lengths"], model(images)["lengths"])
    assert loaded.hparams == model.hparams and pretrained.read_weights(tmp_path / "mine")["global_step"] == 5
    with pytest.raises(ValueError, match=r"network of CapsNet\. Use CapsNet\.from_preset"):
        EfficientCapsNet.from_preset(str(tmp_path / "mine"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="holds something else"):
        model.save_to_preset(tmp_path / "other")
    with pytest.raises(ValueError, match="a name for each of the 3 classes"):
        model.save_to_preset(tmp_path / "new", ["a", "b"])


def test_another_number_of_classes_gets_a_new_head_on_the_same_features():
    model, other = CapsNet.from_preset("capsnet_mnist_small"), CapsNet.from_preset("capsnet_mnist_small", num_classes=3)
    images = np.random.RandomState(0).rand(2, 28, 28, 1).astype(np.float32)
    np.testing.assert_array_equal(other.primary_capsules(images), model.primary_capsules(images))
    assert other(images)["lengths"].shape == (2, 3)


def test_a_runs_folder_is_a_preset(tmp_path):
    model = make_model("capsule", (20, 22, 1), 2, HPARAMS)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "config.json").write_text(json.dumps(CONFIG))
    names = [*model.named_variables()]
    values = [tf.convert_to_tensor(variable) for variable in model.named_variables().values()]
    prefix = str(tmp_path / "train" / "model.ckpt-9")
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    loaded = Classifier.from_preset(str(tmp_path))
    images = np.random.RandomState(0).rand(3, 20, 22, 1).astype(np.float32)
    np.testing.assert_array_equal(loaded(images)["logits"], model(images)["logits"])


def test_what_ships_is_small_and_has_the_network_that_is_used_where_none_is_named():
    assert "capsnet_mnist_small" in pretrained.names()
    sizes = [path.stat().st_size for path in pretrained.FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) <= 40e6
