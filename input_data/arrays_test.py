"""The image operations against TensorFlow's own, image by image."""

import numpy as np
import tensorflow as tf

from input_data.arrays import distort, standardised

RNG = np.random.RandomState(2)
IMAGES = RNG.randint(0, 256, (5, 12, 12, 3)).astype(np.float32)


def test_standardised_is_tensorflows_also_for_a_constant_image():
    images = np.concatenate([IMAGES, np.full((1, 12, 12, 3), 7, np.float32)])
    np.testing.assert_allclose(standardised(images), tf.image.per_image_standardization(images), atol=1e-5)


def test_distort_is_brightness_then_contrast():
    brightness, contrast = RNG.uniform(size=(2, 5))
    expected = [
        tf.image.adjust_contrast(tf.image.adjust_brightness(image, 126 * light - 63), 0.2 + 1.6 * factor)
        for image, light, factor in zip(IMAGES, brightness, contrast, strict=True)
    ]
    np.testing.assert_allclose(distort(IMAGES, brightness, contrast), expected, atol=1e-3)
