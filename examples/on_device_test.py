"""Images on the device: the same as from the host, shifted as `input_data` shifts them, and trained on by `fit`."""

import keras
import numpy as np

from examples.on_device import OnDevice
from models import make_model
from models.hparams import HParams

IMAGES = np.random.RandomState(4).randint(1, 256, (24, 18, 20, 1)).astype(np.uint8)
LABELS = (IMAGES.mean(axis=(1, 2, 3)) > np.median(IMAGES.mean(axis=(1, 2, 3)))).astype(np.int32)


def make(reach=3):
    network = make_model("capsule", (18, 20, 1), 2, HParams(num_prime_capsules=2, conv_channels=8))
    return OnDevice(network, IMAGES, reach)


def test_without_training_the_images_are_as_they_were():
    numbers = np.array([5, 0, 23], np.int32)
    np.testing.assert_array_equal(make().pick(numbers), IMAGES[numbers].astype(np.float32) / np.float32(255))


def test_in_training_each_image_is_shifted_by_its_own_whole_pixels_with_zeros_filled_in():
    model, found = make(reach=3), set()
    for _ in range(8):
        picked = np.round(np.asarray(model.pick(np.arange(24, dtype=np.int32), training=True)) * 255)
        for image, shifted in zip(IMAGES, picked, strict=True):
            padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
            places = [
                (row, column)
                for row in range(7)
                for column in range(7)
                if (padded[row : row + 18, column : column + 20] == shifted).all()
            ]
            assert len(places) == 1
            found.add(places[0])
    assert len(found) > 40  # of 49 places, in 192 draws


def test_fit_trains_the_network_on_its_own_shifted_images():
    model = make(reach=0)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=3)
    numbers = np.arange(24, dtype=np.int32)
    history = model.fit(numbers, LABELS, batch_size=8, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    expected = model.network.costs(outputs := model.network(model.pick(numbers)), model.pick(numbers), LABELS[:, None])
    found = model.evaluate(numbers, LABELS, batch_size=24, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["loss"], expected["total"], rtol=1e-5)
    assert found["accuracy"] == np.mean(np.argmax(outputs["logits"], axis=1) == LABELS)
