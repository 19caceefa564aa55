"""The network of matrix capsules learns, and its activations stay between 0 and 1."""

import keras
import numpy as np

from capsules import SpreadLoss
from input_data import open_split
from models.matrix import MatrixCapsNet


def test_matrix_capsules_learn_digits_and_do_not_saturate():
    split = open_split("mnist", "train", None)
    batch = split.batch(np.arange(1100), np.full((1100, split.noise), 0.5))
    images, labels = batch["images"], batch["labels"][:, 0]
    model = MatrixCapsNet((28, 28, 1), 10, sizes=(16, 4, 6, 6), iterations=2)
    model.compile(keras.optimizers.Adam(0.005), SpreadLoss(0.5), jit_compile=False)  # XLA compiles for minutes
    model.fit(images[:900], labels[:900], batch_size=15, epochs=2, verbose=0)
    logits = model.predict(images[900:], verbose=0)["logits"]
    assert (logits.argmax(axis=1) == labels[900:]).mean() > 0.25  # by chance 0.1
    for layer in model.named_layers[3:]:
        activations = keras.Model(model.inputs[0], layer.output[1]).predict(images[900:], verbose=0)
        assert np.isfinite(activations).all() and (activations < 0.999).mean() > 0.5 and activations.mean() > 0.05
