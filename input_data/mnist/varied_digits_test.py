"""The changes that Efficient-CapsNet's training makes to digits, each where the answer is known."""

import numpy as np

from input_data.mnist import varied_digits

RNG = np.random.RandomState(5)


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


def test_a_squeezed_image_is_in_the_middle_and_a_square_is_erased():
    image = np.ones((1, 28, 28), np.float32)
    narrow = varied_digits.squeezed(image, np.array([6]))[0]
    assert (narrow[:, 4:24] > 0.99).all() and not narrow[:, :3].any() and not narrow[:, 25:].any()
    image = varied_digits.erased(image, np.array([22]), np.array([4]))[0]
    assert image.sum() == 28 * 28 - 16 and not image[22:26, 4:8].any()
