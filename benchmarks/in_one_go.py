"""CapsNet's first two convolutions in one go beside one after the other, for several sizes of images and batches.

    python benchmarks/in_one_go.py

Each line is conv1 and the primary capsules, in training (forward and the gradients of their weights) or in inference
(forward). The two ways take turns. Batches that `capsules.convolution` computes directly are left out, since there is
nothing to compare: both ways are the same then.
"""

import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.backends import device_name, seconds
from capsules.convolution import minimum_batch
from models import make_model
from models.hparams import HParams

NETWORKS = {  # side of the images, hparams
    "mnist": (28, ""),
    "8types": (28, "num_prime_capsules=8"),
    "multimnist": (36, ""),
    "affnist": (40, ""),
}
BATCHES = (16, 32, 128, 512)
TURNS = 7


def main() -> None:
    """Measures and prints a line for each network, pass and batch."""
    print(f"{device_name()}; TensorFlow {tf.__version__}; float32")
    print("".join(f"{word:>15}" for word in ("network", "pass", "batch", "in turn ms", "in one go ms", "ratio")))
    for name, (side, override) in NETWORKS.items():
        model = make_model("capsule", (side, side, 1), 10, HParams().override(override))
        primary, features = model.primary, model.conv1.compute_output_shape((None, side, side, 1))
        needed = minimum_batch(features[1:3], primary.kernel.shape, primary.strides, primary.padding)
        for kind in ("train", "infer"):
            for batch in (batch for batch in BATCHES if batch >= needed):
                images = np.random.RandomState(0).uniform(size=(batch, side, side, 1)).astype(np.float32)
                in_turn, in_one_go = _times(model, tf.constant(images), kind == "train")
                ratio = in_one_go / in_turn
                cells = (name, kind, batch, f"{1e3 * in_turn:.1f}", f"{1e3 * in_one_go:.1f}", f"{ratio:.2f}")
                print("".join(f"{cell:>15}" for cell in cells), flush=True)


def _times(model, images: tf.Tensor, train: bool) -> tuple[float, float]:
    """Seconds of conv1 and the primary capsules, one after the other and in one go."""
    weights = [variable.value for layer in (model.conv1, model.primary) for variable in layer.trainable_variables]

    def compiled(capsules: Callable) -> Callable:
        @tf.function
        def run():
            if not train:
                return [capsules()]
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(tf.square(capsules()))
            return tape.gradient(total, weights)

        return lambda: [result.numpy() for result in run()]

    ways = (
        compiled(lambda: model.primary(model.conv1(images))),
        compiled(lambda: model.primary.after_convolution(model.conv1, images)),
    )
    times: tuple[list, list] = ([], [])
    for _ in range(TURNS + 1):
        for way, measured in zip(ways, times, strict=True):
            measured.append(seconds(way))
    in_turn, in_one_go = (statistics.median(measured[1:]) for measured in times)  # the first compiles
    return in_turn, in_one_go


if __name__ == "__main__":
    main()
