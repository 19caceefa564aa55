"""Trains a convolutional network of your own with a capsule layer on top, with Keras' `fit` on any backend.

pip install '.[cpu]' && python examples/own_model.py [FOLDER_OF_MNIST_IDX_FILES]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras

from capsules import Capsules, Length, MarginLoss
from input_data.formats.idx import load

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "input_data/mnist/sample")
(images, labels), (test_images, test_labels) = load(folder, "train"), load(folder, "test")

inputs = keras.Input((28, 28))
hidden = keras.layers.Rescaling(1 / 255)(inputs[..., None])
for channels in (32, 64):
    hidden = keras.layers.Conv2D(channels, 5, strides=2, activation="relu", data_format="channels_last")(hidden)
features = keras.layers.Reshape((4 * 4 * 8, 8))(hidden)  # 64 channels at each position: 8 capsules of 8 atoms
classes = Capsules(num_capsules=10, atoms=16, routing=3, name="classes")(features)
model = keras.Model(inputs, Length()(classes))

model.compile("adam", MarginLoss(), metrics=["accuracy"])
model.fit(images, labels, batch_size=64, epochs=4, verbose=2)
_, accuracy = model.evaluate(test_images, test_labels, verbose=0)
print(f"Right: {accuracy:.1%} of {len(test_labels):,} test digits, backend {keras.backend.backend()}")
