"""What the page shows is what the network computes."""

import numpy as np
import pytest
import tensorflow as tf

from explorer.page.conftest import untrained
from explorer.page.inference import Inspector
from explorer.routing import routing_steps
from input_data.arrays import ImageArrays
from input_data.dataset import Info


def some_split(shape, name="other", targets=1):
    random = np.random.RandomState(2)
    info = Info(name, shape, 10, targets, tuple("0123456789"))
    return ImageArrays(info, random.randint(0, 256, (5, *shape), np.uint8), np.arange(5), 0)


def test_scores_capsules_and_reconstruction_are_the_networks(taught, digits):
    inspector = Inspector(taught, digits)
    image, labels = inspector.example(7)
    assert labels == [digits.labels[7]]
    found, outputs = inspector.look(image), taught.model(image[None])
    np.testing.assert_allclose(found["scores"], outputs["logits"][0], atol=1e-5)
    np.testing.assert_allclose(found["capsules"], outputs["capsules"][0], atol=1e-5)
    assert found["chosen"].tolist() == [np.argmax(outputs["logits"])]
    remake = taught.model.remake(outputs, found["chosen"][None])[0]
    np.testing.assert_allclose(found["drawn"], remake, atol=1e-5)


def test_a_capsule_draws_alone_and_its_dimensions_change_the_picture(taught, digits):
    inspector = Inspector(taught, digits)
    found = inspector.look(inspector.example(0)[0])
    label = int(found["chosen"][0])
    capsule = found["capsules"][label]
    np.testing.assert_allclose(inspector.draw(label, capsule), found["drawn"][0], atol=1e-5)
    moved = inspector.draw(label, capsule + 0.25 * np.eye(16, dtype=np.float32)[3])
    assert np.abs(moved - found["drawn"][0]).max() > 0.05


def test_the_routing_is_that_of_the_pictures(taught, digits):
    inspector = Inspector(taught, digits)
    image, _ = inspector.example(3)
    looked, expected = inspector.look(image), routing_steps(taught.model, image[None])
    for name in ("coupling", "agreement", "lengths"):
        np.testing.assert_allclose(looked[name], expected[name][0], atol=1e-5)


@pytest.mark.parametrize(("padding", "size"), [("VALID", 28), ("SAME", 28), ("SAME", 27)])
def test_the_grid_lies_where_its_capsules_look(padding, size):
    trained = untrained("capsule", (size, size, 1), padding=padding, remake=False)
    places = Inspector(trained, some_split((size, size, 1))).facts["routing"]
    images, (rows, columns) = tf.random.uniform((1, size, size, 1)), trained.model.primary.grid
    row, column = rows // 2, columns // 2  # far from the border
    with tf.GradientTape() as tape:
        tape.watch(images)
        primary = trained.model.activations(images)["conv_capsule1"]
        value = tf.reduce_sum(primary[0, row * columns + column])
    seen = np.flatnonzero(np.abs(tape.gradient(value, images)).sum(axis=(0, 2, 3)))
    assert (seen[0] + seen[-1]) / 2 == places["first"] + places["step"] * row
    assert len(seen) == places["sees"]


def test_two_digits_are_composed_from_two_pairs_or_are_the_test_sets_own(pairs):
    inspector = Inspector(untrained("capsule", (36, 36, 1), targets=2), pairs)
    batch = pairs.batch(np.array([4, 9]), np.zeros((2, 0)))
    own, labels = inspector.example(4)
    np.testing.assert_allclose(own, batch["images"][0], atol=1e-6)
    assert labels == batch["labels"][0].tolist()
    mixed, labels = inspector.example(4, 9)
    np.testing.assert_allclose(
        mixed, np.minimum(batch["reconstruction_targets"][0, 0] + batch["reconstruction_targets"][1, 1], 1)
    )
    assert labels == [batch["labels"][0, 0], batch["labels"][1, 1]]
    found = inspector.look(mixed)
    assert found["chosen"].tolist() == np.argsort(-found["scores"])[:2].tolist()
    for label, drawn in zip(found["chosen"], found["drawn"], strict=True):
        np.testing.assert_allclose(drawn, inspector.draw(int(label), found["capsules"][label]), atol=1e-5)


@pytest.mark.parametrize("loss", ["margin", "softmax", "sigmoid"])
def test_a_baseline_has_scores_alone(loss):
    inspector = Inspector(untrained("baseline", (20, 20, 1), loss_type=loss), some_split((20, 20, 1)))
    facts = inspector.facts
    assert facts["routing"] is None and not facts["decoder"] and facts["atoms"] == 0
    image, _ = inspector.example(1)
    found, logits = inspector.look(image), np.array(inspector.model(image[None])["logits"][0])
    assert set(found) == {"scores", "chosen"}
    expected = {"margin": np.clip(logits, 0, 1), "sigmoid": 1 / (1 + np.exp(-logits))}
    expected["softmax"] = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found["scores"], expected[loss], atol=1e-5)


def test_without_a_decoder_there_is_no_drawing_and_colour_images_are_not_drawn_by_hand():
    trained = untrained("capsule", (20, 20, 3), dataset="cifar10", remake=False)
    inspector = Inspector(trained, some_split((20, 20, 3)))
    facts = inspector.facts
    assert not facts["decoder"] and not facts["drawing"] and facts["atoms"] == 16
    assert "drawn" not in inspector.look(inspector.example(0)[0])


def test_wrong_examples_and_data_of_another_size_are_refused(taught, digits, pairs):
    with pytest.raises(ValueError, match="numbered 0 to 999. Received: 1000"):
        Inspector(taught, digits).example(1000)
    with pytest.raises(ValueError, match=r"images \(28, 28, 1\) with 1 label.*Received.*\(36, 36, 1\) and 2 label"):
        Inspector(taught, pairs)


def test_another_networks_scores_stand_beside(taught, digits):
    baseline = untrained("baseline", (28, 28, 1), loss_type="softmax")
    inspector = Inspector(taught, digits, baseline)
    image, _ = inspector.example(2)
    expected = baseline.model.scores(baseline.model(image[None])["logits"])[0]
    np.testing.assert_allclose(inspector.look(image)["compared"], expected, atol=1e-5)
    assert inspector.facts["compared"] == "baseline, 0 steps"
    with pytest.raises(ValueError, match="for the same images and classes"):
        Inspector(taught, digits, untrained("baseline", (20, 20, 1)))


def test_the_next_wrong_answer_is_searched_to_the_end_and_from_the_start(taught, digits):
    inspector = Inspector(taught, digits)
    logits = np.asarray(taught.model.predict(digits.images / np.float32(255), verbose=0)["logits"])
    wrong = np.flatnonzero(logits.argmax(axis=1) != digits.labels).tolist()
    assert inspector.next_wrong(0) == next(index for index in wrong if index > 0)
    assert inspector.next_wrong(wrong[0]) == wrong[1] and inspector.next_wrong(wrong[-1]) == wrong[0]
    few = ImageArrays(digits.info, digits.images[:0], digits.labels[:0], 0)
    right = next(index for index in range(1000) if index not in wrong)
    few.images, few.labels = digits.images[[right]], digits.labels[[right]]
    assert Inspector(taught, few).next_wrong(0) is None
