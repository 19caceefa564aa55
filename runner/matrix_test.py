"""The network of matrix capsules learns, and its activations stay between 0 and 1."""

import keras
import numpy as np

from capsules import ConvCapsules, SpreadLoss
from input_data import open_split
from models import MatrixCapsNet


def test_matrix_capsules_learn_two_digits_and_do_not_saturate():
    split = open_split("mnist", "train", None)
    chosen = np.flatnonzero(split.labels < 2)[:800]
    batch = split.batch(chosen, np.full((800, split.noise), 0.5))
    images, labels = batch["images"][:, 4:-4, 4:-4], batch["labels"][:, 0]  # where the digits are
    model = MatrixCapsNet((20, 20, 1), 2, sizes=(8, 2, 4, 4), iterations=2)
    model.compile(keras.optimizers.Adam(0.01), SpreadLoss(0.5), jit_compile=False)  # XLA compiles for minutes
    model.fit(images[:640], labels[:640], batch_size=16, verbose=0)
    layers = [layer for layer in model.layers if isinstance(layer, ConvCapsules)]
    outputs = [model.output["logits"], *(layer.output[1] for layer in layers)]
    logits, *activations = (np.array(each) for each in keras.Model(model.inputs[0], outputs)(images[640:]))
    assert (logits.argmax(axis=1) == labels[640:]).mean() > 0.7  # by chance 0.5
    for each in activations:
        assert np.isfinite(each).all() and (each < 0.999).mean() > 0.5 and each.mean() > 0.05
