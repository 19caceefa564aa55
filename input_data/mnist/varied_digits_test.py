"""The changes that Efficient-CapsNet's training makes to digits, each where the answer is known."""

import numpy as np

from input_data import Options, evaluation_batches, open_split, training_batches
from input_data.mnist import varied_digits

RNG = np.random.RandomState(5)


def test_normal_numbers_have_their_deviation_and_are_cut():
    numbers = varied_digits.normals(RNG.uniform(size=(50_000, 2)))
    assert numbers.shape == (2, 50_000) and np.abs(numbers).max() == 1
    assert np.allclose(numbers.std(axis=1), 0.33, atol=0.005) and np.allclose(numbers.mean(axis=1), 0, atol=0.01)


def test_a_quarter_turn_is_exact_and_no_turn_changes_nothing():
    images = RNG.uniform(size=(2, 7, 7)).astype(np.float32)
    turned = varied_digits.rotated(images, np.array([90, 0]))
    np.testing.assert_allclose(turned[0], np.rot90(images[0]), atol=1e-5)
    np.testing.assert_allclose(turned[1], images[1], atol=1e-6)


def test_ink_moves_within_its_margin():
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 5:10, 20:22] = 1  # free: 5 above, 18 below, 20 to the left, 6 to the right
    for down, right, back, corner in [
        (1, 1, (False, False), (23, 26)),
        (1, 1, (True, True), (0, 0)),
        (0.5, 0, (False, True), (14, 20)),
    ]:
        moved = varied_digits.shifted(image, np.array([down]), np.array([right]), np.array([back]))[0]
        rows, columns = np.nonzero(moved)
        assert (rows.min(), columns.min()) == corner and moved.sum() == 10


def test_a_squeezed_image_is_narrower_and_in_the_middle():
    image = np.ones((1, 28, 28), np.float32)
    narrow = varied_digits.squeezed(image, np.array([6]))[0]
    assert (narrow[:, 4:24] > 0.99).all() and not narrow[:, :3].any() and not narrow[:, 25:].any()


def test_one_square_is_erased():
    image = varied_digits.erased(np.ones((1, 28, 28), np.float32), np.array([22]), np.array([4]))[0]
    assert image.sum() == 28 * 28 - 16 and not image[22:26, 4:8].any()


def test_training_digits_vary_and_test_digits_are_pixels_over_256():
    options = Options(preparation="efficient")
    train, test = (open_split("mnist", name, None, options) for name in ("train", "test"))
    plain = open_split("mnist", "test", None)
    batch, other = (next(evaluation_batches(split, 8))["images"] for split in (test, plain))
    np.testing.assert_allclose(batch * 256, other * 255, atol=1e-3)
    one, again = (next(training_batches(train, 16, seed=3))["images"] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.shape == (16, 28, 28, 1) and one.dtype == np.float32 and one.min() >= 0 and one.max() < 1
    assert not np.array_equal(one, next(training_batches(train, 16, seed=4))["images"])


def test_pairs_of_this_recipe_move_by_up_to_six_pixels():
    split = open_split("mnist", "train", None, Options(num_targets=2, preparation="efficient"))
    assert split.info.image_shape == (36, 36, 1)
    indices = np.array([3, 3])
    digits, _ = split.pair(indices, np.array([[0.5, 0, 0, 0, 0], [0.5, 0.999, 0.999, 0, 0]]))
    rows, columns = ([np.nonzero(digit.any(axis=axis))[0].max() for digit in digits[:, 0]] for axis in (1, 0))
    assert rows[1] - rows[0] <= 12 and columns[1] - columns[0] <= 12 and max(rows[1] - rows[0], 0) > 8
