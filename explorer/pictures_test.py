"""What the pictures show: the arrays against slow, plain twins, and the pixels that end up in the files."""

import functools
from dataclasses import replace

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm

from explorer import findings, pictures, sheets
from input_data import Options, evaluation_indices, open_split
from models import make_model
from models.hparams import HParams
from runner.config import NetworkConfig
from runner.loader import Trained

NAMES = tuple("0123456789")
TINY = HParams(num_prime_capsules=3, conv_channels=4)


@functools.cache
def examined(num_targets=1):
    """A network with random weights, large enough to tell classes apart, and what it makes of 40 test digits."""
    split = open_split("mnist", "test", None, Options(num_targets=num_targets))
    keras.utils.set_random_seed(0)  # a network that gets some digits right, which not every one does
    network = make_model("capsule", split.info.image_shape, 10, TINY)
    for variable in network.trainable_variables:
        variable.assign(variable * 2)
    return findings.examine(
        Trained(network, 7, NetworkConfig({"num_targets": num_targets}, class_names=NAMES)), split, 40
    )


@pytest.fixture
def single():
    return examined()


def test_right_ones_images_and_examples(single):
    outputs = np.asarray(single.trained.model(single.images(np.arange(40)))["logits"])
    np.testing.assert_allclose(single.logits, outputs, rtol=1e-4)
    assert single.labels[:, 0].tolist() == single.split.labels[evaluation_indices(len(single.split), 40)].tolist()
    assert single.right.tolist() == (outputs.argmax(axis=1) == single.labels[:, 0]).tolist()
    few = replace(single, labels=np.array([[1], [2], [1], [1]]), predictions=np.array([[0], [0], [1], [1]]))
    assert [few.example(label) for label in (0, 1, 2)] == [None, 2, 1]


def test_the_sweep_changes_one_dimension_at_a_time(single):
    model, image = single.trained.model, single.images(np.array([3]))
    found = findings.dimensions(model, image[0], label=6)
    assert found.shape == (16, 11, 28, 28, 1)
    plain = findings.reconstructions(model, image, np.array([[6]]))[0, 0]
    for dimension, column, amount in ((0, 0, -0.25), (4, 7, 0.1), (15, 10, 0.25)):
        capsules = np.array(model(image)["capsules"])
        capsules[0, 6, dimension] += amount
        expected = np.asarray(model.draw(capsules, np.eye(10, dtype=np.float32)[[6]]))[0]
        np.testing.assert_allclose(found[dimension, [column, 5]], [expected, plain], atol=1e-5)
        assert np.abs(expected - plain).max() > 1e-3


def test_confusion_counts_by_label_and_prediction():
    found = findings.confusion(np.array([[0], [0], [1], [2]]), np.array([[0], [2], [1], [1]]), 3)
    assert found.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
    pairs, said = np.array([[0, 1], [0, 1], [2, 3]]), np.array([[1, 0], [1, 3], [0, 1]])
    found = findings.confusion(pairs, said, 4)
    assert found.tolist() == [[1, 0, 0, 1], [0, 2, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]
    assert found.sum(axis=1).tolist() == [2, 2, 1, 1]


def test_pairs_keep_their_colours():
    there, said = np.array([[4, 7], [4, 7], [4, 7], [4, 7]]), np.array([[7, 4], [7, 1], [1, 4], [4, 1]])
    assert findings.aligned(there, said).tolist() == [[4, 7], [1, 7], [4, 1], [4, 1]]
    image = np.array([0, 0, 0, 1.0]).reshape(1, 2, 2, 1)
    first, second = np.array([1, 0, 1, 0.0]).reshape(1, 2, 2, 1), np.array([0, 1, 1, 0.0]).reshape(1, 2, 2, 1)
    found = findings.overlay(image, np.stack([first, second], axis=1))
    orange, blue = np.array([255, 136, 0]) / 255, np.array([0, 119, 255]) / 255
    np.testing.assert_allclose(found.reshape(4, 3), [orange, blue, [1, 1, 1], [0.35, 0.35, 0.35]])


@pytest.fixture
def made(monkeypatch):
    """The titles and the blocks of the sheets that a test draws."""
    sheets_made: list = []
    monkeypatch.setattr(pictures, "sheet", lambda title, blocks, **_: sheets_made.append((title, blocks)))
    return sheets_made


def test_reconstructions_show_right_and_wrong_ones(single, made):
    pictures.reconstructions(single)
    ((title, (right, wrong)),) = made
    assert f"{(~single.right).sum()} of 40 are wrong" in title
    (good, *_), (bad, *_) = np.flatnonzero(single.right), np.flatnonzero(~single.right)
    label, said = single.labels[bad, 0], single.predictions[bad, 0]
    assert wrong.headings[0] == f"label {label}\npredicted {said}" and label != said
    np.testing.assert_array_equal(right.rows["input"][0], single.images(np.array([good]))[0])
    both = findings.reconstructions(single.trained.model, single.images(np.array([bad])), np.array([[said, label]]))[0]
    np.testing.assert_allclose([each[0] for each in list(wrong.rows.values())[1:]], both, atol=1e-5)


def test_dimensions_are_sorted_by_their_effect(single, made):
    pictures.dimensions(single, 3, 6)
    ((title, (block,)),) = made
    effects = [np.abs(row[-1] - row[0]).mean() for row in block.rows.values()]
    assert effects == sorted(effects, reverse=True) and len(effects) == 16
    first, *_, last = block.rows
    times = effects[0] / effects[-1]
    assert title == f"{first.capitalize()} changes the drawing of 6 most, {times:.1f} times as much as {last}"


def test_pairs_are_shown_right_wrong_and_with_a_digit_that_is_not_there(made):
    double = examined(num_targets=2)
    labels = double.predictions.copy()
    labels[::2] = (labels[::2] + 1) % 10  # every other one is called wrong
    half = replace(double, labels=labels)
    pictures.reconstructions(half)
    ((title, (right, wrong, absent)),) = made
    assert f"{(~half.right).sum()} of 40 are wrong" in title
    index = np.flatnonzero(half.right)[0]
    (one, two), third = labels[index], np.argsort(-double.logits[index])[2]
    assert absent.headings[0] == f"label {one}, {two}\ndrawn {one}, {third}" and "absent" in absent.title
    image = double.images(np.array([index]))
    for block, pair in ((right, (one, two)), (absent, (one, third))):
        drawn = findings.reconstructions(double.trained.model, image, np.array([pair]))
        np.testing.assert_allclose(list(block.rows.values())[1][0], findings.overlay(image, drawn)[0], atol=1e-5)
    assert len(wrong.rows) == 3  # the input, drawn as predicted and drawn as labelled


@pytest.mark.parametrize("leaky", [False, True])
def test_coupling_is_a_mean_over_types_weighted_by_length(leaky):
    network = make_model("capsule", (20, 22, 1), 10, replace(TINY, leaky=leaky))
    for variable in network.trainable_variables:
        variable.assign(variable * 2)  # so that the routing has something to do
    images = np.random.default_rng(0).random((2, 20, 22, 1), np.float32)
    coupling = np.asarray(findings.coupling_maps(network, images))
    assert coupling.shape == (2, 3, 10, 2, 3) and (leaky or np.allclose(coupling.sum(axis=2), 1, atol=1e-5))
    np.testing.assert_allclose(coupling[:, 0], 1 / (10 + leaky), atol=1e-5)
    primary = np.asarray(network.activations(images)["conv_capsule1"])
    last = np.asarray(network.classes.route(ops.convert_to_tensor(primary)).steps[2].coefficients)  # [batch, in, out]
    for image, label, row, column in ((0, 7, 0, 2), (1, 2, 1, 1)):
        cells = [kind * 6 + row * 3 + column for kind in range(3)]
        lengths = [np.sqrt((primary[image, cell] ** 2).sum()) for cell in cells]
        expected = sum(w * last[image, cell, label] for w, cell in zip(lengths, cells, strict=True)) / sum(lengths)
        np.testing.assert_allclose(coupling[image, 2, label, row, column], expected, rtol=1e-4)


def test_the_routing_shows_one_map_a_class_and_iteration_and_counts_what_it_changes(single, made):
    pictures.routing(single)
    ((title, (_, block, *others)),) = made
    first, _, last = block.rows.values()
    assert first.shape == last.shape == (10, 84, 84, 3) and len(others) == 3
    assert np.ptp(first, axis=0).max() < 1e-3 and np.ptp(last, axis=0).max() > 0.1  # uniform: the image alone
    assert block.colours.norm.vmin >= 0  # no colour stands for a share below 0
    uniform = make_model("capsule", (28, 28, 1), 10, replace(TINY, routing=1))
    uniform.set_weights(single.trained.model.get_weights())
    other = np.asarray(uniform(single.images(np.arange(40)))["logits"]).argmax(axis=1)
    assert title.startswith(f"Routing changes {(other != single.predictions[:, 0]).sum()} answers of 40: ")


def test_a_square_lies_where_its_capsules_look():
    maps = np.full((1, 2, 2), 0.1)
    maps[0, 1, 0], maps[0, 0, 1] = 0.2, 0.0
    norm = TwoSlopeNorm(0.1, 0.0, 0.2)
    drawn = pictures.over(np.zeros((12, 12, 1)), maps, {"first": 4, "step": 2, "sees": 5}, norm)[0]
    orange, blue = (np.argwhere(drawn[..., part] > 0.5) for part in (0, 2))
    assert (orange // 3).min(axis=0).tolist() == [5, 3] and len(orange) == len(blue) == 36  # 2 × 2 pixels, three times
    assert (blue // 3).min(axis=0).tolist() == [3, 5]


def test_no_text_is_cut_however_long_the_names_of_few_classes(single):
    network, names = make_model("capsule", (28, 28, 1), 2, TINY), ("a very long name of a class", "$ [x] $")
    trained, labels = (
        replace(single.trained, model=network, config=NetworkConfig(class_names=names)),
        np.arange(40)[:, None] % 2,
    )
    few = findings.Examined(trained, single.split, single.logits[:, :2], labels, (labels + 1) % 2)
    with matplotlib.rc_context({"text.parse_math": False}):
        figures = [draw(few) for draw in (pictures.routing, pictures.reconstructions, pictures.confusion)]
        for figure in (*figures, pictures.dimensions(few, 0, 0)):
            FigureCanvasAgg(figure).draw()
            drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()  # of all that is drawn
            assert min(drawn.x0, drawn.y0) > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_a_picture_in_each_format_is_the_same_each_time_and_heeds_the_dpi(ending, start, tmp_path):
    block = sheets.Block("Block", {"one": np.zeros((2, 5, 7, 1))}, ["a", "b"])
    one, two, large = (tmp_path / f"{name}.{ending}" for name in ("one", "two", "large"))
    for path, dpi in ((one, 100), (two, 100), (large, 200)):
        sheets.write(path, sheets.sheet("Title", [block]), dpi=dpi)
    assert one.read_bytes().startswith(start) and one.read_bytes() == two.read_bytes()
    if ending == "png":
        small, twice = (np.array(tf.io.decode_png(path.read_bytes()).shape[:2]) for path in (one, large))
        np.testing.assert_allclose(twice, 2 * small, atol=1)
