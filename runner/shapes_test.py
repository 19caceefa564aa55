"""What follows from the shapes of a checkpoint, for networks of several kinds."""

import pytest

from models import make_model
from models.hparams import HParams
from runner.shapes import infer


def shapes_of(model, image_shape, classes, override=""):
    made = make_model(model, image_shape, classes, HParams().override(override))
    return {name: tuple(variable.shape) for name, variable in made.named_variables().items()}


@pytest.mark.parametrize(
    ("image_shape", "classes", "override"),
    [
        ((28, 28, 1), 10, "num_prime_capsules=2,conv_channels=4"),
        ((24, 24, 3), 5, "num_prime_capsules=3,conv_channels=4,primary_atoms=6,class_atoms=8,padding=SAME"),
        ((24, 24, 3), 10, "num_prime_capsules=3,conv_channels=4,padding=SAME,remake=false"),
        ((32, 32, 2), 5, "num_prime_capsules=1,conv_channels=2,remake=false"),
    ],
)
def test_hparams_of_a_capsule_network_follow_from_its_shapes(image_shape, classes, override):
    inferred = infer(shapes_of("capsule", image_shape, classes, override), data_size=image_shape[0])
    assert (inferred.model, inferred.num_classes, inferred.depth) == ("capsule", classes, image_shape[2])
    assert HParams(**inferred.hparams) == HParams().override(override)
    assert inferred.size == (None if "remake=false" in override else image_shape[0])


def test_padding_is_left_open_where_the_size_of_images_is():
    shapes = shapes_of("capsule", (24, 24, 3), 10, "num_prime_capsules=3,conv_channels=4,padding=SAME,remake=false")
    assert "padding" not in infer(shapes).hparams


def test_baselines_are_told_apart():
    shapes = {"conv1/weights": (5, 5, 1, 512), "softmax_layer/biases": (10,), "fc1/weights": (12544, 1024)}
    assert infer(shapes).model == "baseline"
    assert infer(shapes | {"fc2/weights": (328, 192)}).model == "baseline_paper"


@pytest.mark.parametrize("shapes", [{}, {"w": (3,)}, {"conv1/weights": (3,), "capsule2/biases": (1, 2, 3)}])
def test_nothing_follows_from_other_shapes(shapes):
    assert infer(shapes).model is None
