"""Trains CapsNet on MNIST with plain `keras.Model.fit` on any backend; the digits are stored and shifted on the device.

    KERAS_BACKEND=jax python examples/mnist_fit.py --data_dir=D --epochs=50 --seeds=3
    python examples/mnist_fit.py --types=8 --epochs=2 --digits=5000       # a few minutes on a laptop

It repeats rows of the paper's first table (--routing=1, --no_decoder, --model=baseline). For each seed it prints the
test error, the images per second and the time, and at the end the mean and deviation of the error as a line of JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np

from examples.on_device import OnDevice
from input_data.formats import idx
from models import MODELS, make_model
from models.hparams import HParams
from models.optimizer import make_optimizer


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default="input_data/mnist/sample", help="folder of IDX files")
    parser.add_argument("--digits", type=int, help="number of training digits to use (default: all)")
    parser.add_argument("--model", choices=MODELS, default="capsule")
    parser.add_argument("--routing", type=int, default=3, help="routing iterations")
    parser.add_argument("--no_decoder", action="store_true")
    parser.add_argument("--types", type=int, default=32, help="types of primary capsules")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning_rate", type=float, default=0.001, help="falls by 0.96 every 2000 steps")
    parser.add_argument("--steps_per_call", type=int, default=1, help="training steps per call of the device")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--seeds", type=int, default=1, help="number of networks to train, each with its own seed")
    return parser.parse_args()


def train(flags: argparse.Namespace, seed: int) -> tuple[float, float, float]:
    """Returns the test error in percent, training images per second without the first epoch, and total seconds."""
    keras.utils.set_random_seed(seed)
    images, labels = (array[: flags.digits] for array in idx.load(flags.data_dir, "train"))
    test_images, test_labels = idx.load(flags.data_dir, "test")
    hparams = HParams(
        routing=flags.routing,
        remake=not flags.no_decoder,
        num_prime_capsules=flags.types,
        learning_rate=flags.learning_rate,
        loss_type="margin" if flags.model == "capsule" else "softmax",
    )
    network = make_model(flags.model, (*images.shape[1:], 1), 10, hparams)
    model = OnDevice(network, images[..., None], reach=2, seed=seed)
    optimizer = make_optimizer(hparams, scale_loss=flags.precision == "float16")
    model.compile(optimizer, steps_per_execution=flags.steps_per_call)
    whole = len(images) // flags.batch * flags.batch  # all batches have one size, so an epoch leaves a few digits out
    start, timed = time.perf_counter(), [0.0, 0.0]
    for epoch in range(flags.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(images))[:whole].astype(np.int32)
        begin = time.perf_counter()
        figures = model.fit(order, labels[order].astype(np.int32), flags.batch, shuffle=False, verbose=0).history
        if epoch or flags.epochs == 1:
            timed[0] += whole
            timed[1] += time.perf_counter() - begin
        print(f"seed {seed} epoch {epoch + 1}/{flags.epochs}: loss {figures['loss'][0]:.5f}, "
              f"{whole / (time.perf_counter() - begin):,.0f} images/s", flush=True)  # fmt: skip
    logits = network.predict(test_images[..., None].astype(np.float32) / 255, 100, verbose=0)["logits"]
    error = 100 * float(np.mean(logits.argmax(axis=1) != test_labels))
    return error, timed[0] / timed[1], time.perf_counter() - start


def main() -> None:
    """Trains a network for each seed and prints the results."""
    flags = parse()
    keras.config.set_dtype_policy(flags.precision if flags.precision == "float32" else f"mixed_{flags.precision}")
    errors, rates = [], []
    for seed in range(flags.seeds):
        error, rate, seconds = train(flags, seed)
        errors.append(error)
        rates.append(rate)
        print(f"seed {seed}: {error:.2f} % wrong, {rate:,.0f} training images/s, {seconds:,.0f} s", flush=True)
    spread = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
    settings = {name: str(value) for name, value in vars(flags).items()}
    print(json.dumps({"backend": keras.backend.backend(), "error_percent": float(np.mean(errors)), "deviation": spread,
                      "images_per_second": float(np.median(rates)), "flags": settings}))  # fmt: skip


if __name__ == "__main__":
    main()
