"""A network of the user's own trains, resumes and is evaluated under its name."""

import json
import re

import numpy as np
import pytest

import experiment
from conftest import assert_same, run_program, tensors
from runner.loader import load

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


FLAGS = ["--batch_size=8", "--eval_size=30", "--hparams_override=num_prime_capsules=1,conv_channels=2,routing=1"]


def run(capsys, *arguments):
    code, out, errors = run_program(experiment.main, capsys, arguments)
    assert code == 0, out + errors
    return out


def test_an_own_network_resumes_bit_for_bit_with_dropout_and_moving_statistics(file, tmp_path, capsys):
    own = f"--model={file}:Small"
    run(capsys, *FLAGS, own, f"--summary_dir={tmp_path}/whole", "--max_steps=4", "--steps_per_call=2")
    run(capsys, *FLAGS, own, f"--summary_dir={tmp_path}/parts", "--max_steps=2")
    file.write_text(CODE + "# a comment")
    out = run(capsys, *FLAGS, f"--summary_dir={tmp_path}/parts", "--max_steps=4")
    assert "Resuming at step 2 of 4" in out and "has changed since this run began" in out
    one, two = (tensors(tmp_path / name / "train/model.ckpt-4") for name in ("whole", "parts"))
    assert_same(one, two)
    assert {"small/dense/kernel", "small/batch_normalization/moving_mean", "small/dense_1/bias"} <= one.keys()
    # Names count within a network: those of weights do not depend on what the process made before.
    first, second = (load(str(tmp_path / "whole")).model for _ in range(2))
    assert list(first.named_variables()) == list(second.named_variables())
    images = np.zeros((2, 28, 28, 1), np.float32)
    np.testing.assert_array_equal(first(images)["logits"], second(images)["logits"])


@pytest.mark.parametrize(("kind", "name"), [("stacked", "stacked"), ("Twice", "capsnet")])
def test_an_own_network_is_trained_and_evaluated_under_its_name(kind, name, file, eagerly, tmp_path, capsys):
    out = run(capsys, *FLAGS, f"--model={file}:{kind}", f"--summary_dir={tmp_path}/s", "--max_steps=1")
    assert f"{name}: " in out
    content = json.loads((tmp_path / "s/train/config.json").read_text())
    assert content["flags"]["model"] == f"{file}:{kind}" and len(content["model_sha256"]) == 64
    again = run(capsys, "--train=false", f"--checkpoint={tmp_path}/s", "--eval_size=30")
    assert re.search(r"Total wrong.*", out)[0] == re.search(r"Total wrong.*", again)[0]


def test_what_is_no_network_is_one_sentence(file, tmp_path, capsys):
    for name, words in ((f"{file}:Other", "has no class Other"), (f"{tmp_path}/none.py:A", "cannot be read"),
                        (f"{file}:wrong", "should give logits [batch, 10]. Received: (None, 784)")):  # fmt: skip
        code, _, errors = run_program(
            experiment.main, capsys, [f"--model={name}", f"--summary_dir={tmp_path}/s", "--max_steps=1"]
        )
        assert code == 1 and words in errors and errors.count("\n") == 1, errors
