"""Adds a routing of one's own, trains a network with it and draws its coefficients.

python examples/new_routing.py [FOLDER_OF_MNIST_IDX_FILES]

The routing gives each vote a weight by how far it points along the sum of all votes, in one pass.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import matplotlib.pyplot as plt
from keras import ops

from capsules import CapsNet, Routed, Routing, Step, length, squash
from input_data import evaluation_batches, open_split


@keras.saving.register_keras_serializable("my_routings")
class OnePassRouting(Routing):
    """Coefficients are the softmax of `sharpness` · component along the sum of all votes, as a share of the largest."""

    def __init__(self, sharpness: float = 4.0):
        self.sharpness = sharpness

    def __call__(self, votes, activations=None) -> Routed:
        total = votes.sum()  # [batch, out, atoms]
        agreement = votes.agreement(total / (length(total)[..., None] + 1e-6))  # [batch, in, out]
        largest = ops.max(ops.abs(agreement), axis=1, keepdims=True)
        coefficients = ops.softmax(self.sharpness * agreement / (largest + 1e-6), axis=-1)
        capsules = squash(votes.weighted_sum(coefficients))
        return Routed(capsules, length(capsules), [Step(coefficients, capsules)])


digits = open_split("mnist", "train", sys.argv[1] if len(sys.argv) > 1 else None)
batch = next(evaluation_batches(digits, 1000, 1000))
model = CapsNet((28, 28, 1), 10, filters=32, primary_types=4, routing=OnePassRouting(), loss="margin_sum")
model.compile(keras.optimizers.Adam(3e-3))
model.fit(batch["images"], batch["labels"], batch_size=50, epochs=2, verbose=2)

image = batch["images"][:1]
(step,) = model.classes.route(model.primary_capsules(image)).steps
answer = int(ops.argmax(length(step.capsules)[0]))
grid = ops.reshape(step.coefficients[0, :, answer], (4, *model.primary.grid))  # [types, rows, columns]
figure, axes = plt.subplots(1, 5, figsize=(10, 2), layout="constrained")
for axis, picture in zip(axes, [image[0, :, :, 0], *ops.convert_to_numpy(grid)], strict=True):
    axis.imshow(picture, "gray" if axis is axes[0] else "viridis")
    axis.set_axis_off()
figure.suptitle(f"Coefficients of the votes for {answer}, for each type of primary capsule")
figure.savefig("new_routing.png")
print("new_routing.png")
