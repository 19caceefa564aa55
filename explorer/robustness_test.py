"""The changes against plain NumPy, and the report's numbers against a count by hand."""

import csv

import numpy as np
import pytest

from explorer import report
from explorer.robustness import CHANGES
from input_data import Options, evaluation_batches, open_split
from models import make_model
from models.hparams import HParams
from runner.loader import Trained

NAMES = tuple("0123456789")
IMAGES = np.random.default_rng(0).random((4, 28, 28, 1)).astype(np.float32)


def test_nothing_changes_at_the_amount_of_nothing():
    for name, (change, _, amounts) in CHANGES.items():
        none = 1 if name == "scale" else 0
        assert none in amounts
        np.testing.assert_allclose(change(IMAGES, none), IMAGES, atol=1e-6, err_msg=name)


def framed(images, colours):
    """The images within a frame, a pixel wide, of a colour for each."""
    framed = np.empty_like(images)
    framed[:] = np.asarray(colours, np.float32)[:, None, None, :]
    framed[:, 1:-1, 1:-1] = images[:, 1:-1, 1:-1]
    return framed


def test_what_comes_in_from_outside_has_the_colour_of_each_images_border():
    colours = [[1.0, 0.9, 0.8], [-1.2, 0.0, 0.4], [0.3, 0.3, 0.3], [2.5, 0.1, 0.0]]
    images = framed(np.random.default_rng(1).random((4, 28, 28, 3)).astype(np.float32), colours)
    for change, columns in ((6, slice(6)), (-4, slice(24, None))):
        expected = np.roll(images, change, axis=2)
        expected[:, :, columns] = np.asarray(colours)[:, None, None, :]
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


def networks():
    split = open_split("mnist", "test", None, Options())
    made = []
    for types in (1, 2):
        model = make_model("capsule", split.info.image_shape, 10, HParams(num_prime_capsules=types, conv_channels=4))
        for variable in model.trainable_variables:
            variable.assign(variable * 2)
        made.append(Trained(model, 5, "mnist", 1, NAMES))
    return made, split


def test_the_report_is_what_a_count_by_hand_gives(tmp_path, monkeypatch):
    pair, split = networks()
    said = []
    monkeypatch.setattr(report, "say", said.append)
    report.report("robustness", pair, split, 30, tmp_path)
    batch = next(evaluation_batches(split, 30, 30))
    with (tmp_path / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 29 and {row["size"] for row in rows} == {"30"}
    assert [row["network"] for row in rows[::29]] == ["capsnet, 5 steps (1)", "capsnet, 5 steps (2)"]
    images = [CHANGES[row["change"]][0](batch["images"], float(row["amount"])) for row in rows[:29]]
    counts = set()
    for network, own in zip(pair, (rows[:29], rows[29:]), strict=True):
        logits = np.asarray(network.model(np.concatenate(images))["logits"]).reshape(29, 30, 10)
        for row, lines in zip(own, logits, strict=True):
            right = sum(int(line.argmax() == label) for line, label in zip(lines, batch["labels"][:, 0], strict=True))
            assert int(row["correct"]) == right, row
            assert float(row["percent"]) == pytest.approx(100 * right / 30, abs=1e-3)
            counts.add(right)
    assert len(counts) > 1
    table = said[0].splitlines()
    assert len(table) == 30 and table[1].split()[:2] == ["rotation", "-45"]
    assert float(table[1].split()[-1]) == pytest.approx(float(rows[29]["percent"]), abs=0.01)
    assert 1e4 < (tmp_path / "robustness.png").stat().st_size < 3e5
    assert said[1:] == [f"{tmp_path}/robustness.csv", f"{tmp_path}/robustness.png"]


def test_networks_of_other_images_are_not_compared(tmp_path):
    (one, _), split = networks()
    model = make_model("capsule", (36, 36, 1), 10, HParams(num_prime_capsules=1, conv_channels=4))
    words = r"images of one are \(28, 28, 1\), of the other \(36, 36, 1\); The labels of an image of one are 1,"
    with pytest.raises(ValueError, match=words):
        report.report("robustness", [one, Trained(model, 1, "mnist", 2, NAMES)], split, 10, tmp_path)
