"""The changes against plain NumPy, and the report's numbers against a count by hand."""

import csv

import numpy as np
import pytest

from explorer import report
from explorer.robustness import CHANGES
from input_data import evaluation_batches, open_split
from models import make_model
from models.hparams import HParams
from runner.config import NetworkConfig
from runner.loader import Trained

NAMES = tuple("0123456789")
IMAGES = np.random.default_rng(0).random((4, 28, 28, 1)).astype(np.float32)


def test_nothing_changes_at_the_amount_of_nothing():
    for name, (change, _, amounts) in CHANGES.items():
        none = 1 if name == "scale" else 0
        assert none in amounts
        np.testing.assert_allclose(change(IMAGES, none), IMAGES, atol=1e-6, err_msg=name)


def test_what_comes_in_from_outside_has_the_colour_of_each_images_border():
    colours = np.float32([[1.0, 0.9, 0.8], [-1.2, 0.0, 0.4], [0.3, 0.3, 0.3], [2.5, 0.1, 0.0]])
    images = np.tile(colours[:, None, None], (1, 28, 28, 1))  # a frame of a pixel around other colours
    images[:, 1:-1, 1:-1] = np.random.default_rng(1).random((4, 26, 26, 3))
    for change, columns in ((6, slice(6)), (-4, slice(24, None))):
        expected = np.roll(images, change, axis=2)
        expected[:, :, columns] = colours[:, None, None]
        np.testing.assert_allclose(CHANGES["shift"][0](images, change), expected, atol=1e-5)
    np.testing.assert_allclose(CHANGES["rotation"][0](images, 45)[:, 0, 0], colours, atol=1e-5)
    np.testing.assert_allclose(CHANGES["scale"][0](images, 0.6)[:, -1, -1], colours, atol=1e-5)


def test_rotation_is_counter_clockwise():
    np.testing.assert_allclose(CHANGES["rotation"][0](IMAGES, 90), np.rot90(IMAGES, axes=(1, 2)), atol=1e-4)
    np.testing.assert_allclose(CHANGES["rotation"][0](IMAGES, -90), np.rot90(IMAGES, -1, axes=(1, 2)), atol=1e-4)


def test_scale_and_shear_move_points_about_the_centre():
    def point(row, column):
        image = np.zeros((1, 21, 21, 1), np.float32)
        image[0, 10 + row, 10 + column] = 1
        return image

    larger = CHANGES["scale"][0](point(-3, 2), 2)
    assert larger[0, 10 - 6, 10 + 4, 0] == pytest.approx(1) and larger.sum() == pytest.approx(4)
    np.testing.assert_allclose(CHANGES["shear"][0](point(-4, 1), 0.5), point(-4, 3), atol=1e-6)
    np.testing.assert_allclose(CHANGES["shear"][0](point(2, 1), 0.5), point(2, 0), atol=1e-6)


def test_noise_is_the_same_each_time_and_stays_in_range():
    grey = np.full((50, 28, 28, 1), 0.5, np.float32)
    grey[0, 0, 0], grey[0, 0, 1] = 0, 1
    found = CHANGES["noise"][0](grey, 0.1)
    np.testing.assert_array_equal(found, CHANGES["noise"][0](grey, 0.1))
    assert (found - grey).std() == pytest.approx(0.1, rel=0.02)
    assert CHANGES["noise"][0](grey, 2).min() == 0 and CHANGES["noise"][0](grey, 2).max() == 1


def network(types):
    model = make_model("capsule", (28, 28, 1), 10, HParams(num_prime_capsules=types, conv_channels=4))
    for variable in model.trainable_variables:
        variable.assign(variable * 2)
    return Trained(model, 5, NetworkConfig(image_shape=(28, 28, 1), class_names=NAMES))


def test_the_report_is_what_a_count_by_hand_gives(tmp_path, monkeypatch):
    pair, split, said = [network(1), network(2)], open_split("mnist", "test", None), []
    monkeypatch.setattr(report, "say", said.append)
    for change in ("shift", "scale", "shear"):
        monkeypatch.delitem(CHANGES, change)
    report.report("robustness", pair, split, 30, tmp_path)
    batch = next(evaluation_batches(split, 30, 30))
    with (tmp_path / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows[::12]] == ["capsnet, 5 steps (1)", "capsnet, 5 steps (2)"]
    assert len(rows) == 2 * 12 and {row["size"] for row in rows} == {"30"}
    images = [CHANGES[row["change"]][0](batch["images"], float(row["amount"])) for row in rows[:12]]
    logits = np.stack([each.model(np.concatenate(images))["logits"] for each in pair]).reshape(24, 30, 10)
    counts = (logits.argmax(axis=2) == batch["labels"][:, 0]).sum(axis=1)
    assert [int(row["correct"]) for row in rows] == counts.tolist() and len(set(counts)) > 1
    np.testing.assert_allclose([float(row["percent"]) for row in rows], 100 * counts / 30, atol=1e-3)
    table = said[0].splitlines()
    assert len(table) == 13 and table[1].split()[:2] == ["rotation", "-45"]
    assert float(table[1].split()[-1]) == pytest.approx(float(rows[12]["percent"]), abs=0.01)
    assert (tmp_path / "robustness.png").read_bytes().startswith(b"\x89PNG")
    assert said[1:] == [f"{tmp_path}/robustness.csv", f"{tmp_path}/robustness.png"]


def test_networks_of_other_images_are_not_compared(tmp_path):
    model = make_model("capsule", (36, 36, 1), 10, HParams(num_prime_capsules=1, conv_channels=4))
    words = "num_targets is 1 of one and 2 of the other; images is 28x28x1 of one and 36x36x1 of the other"
    other = Trained(model, 1, NetworkConfig({"num_targets": 2}, image_shape=(36, 36, 1), class_names=NAMES))
    with pytest.raises(ValueError, match=words):
        report.report("robustness", [network(1), other], None, 10, tmp_path)
