"""Images a second and memory of a network's training step and inference, and of its convolutions alone.

    python benchmarks/train_step.py                                        # CapsNet on MNIST's size, on TensorFlow
    python benchmarks/train_step.py --preset=cifar10 --image=24x24x3 --batch=32
    python benchmarks/train_step.py --backend=jax                          # the same network on JAX or torch
    python benchmarks/train_step.py --backend=plain_torch                  # CapsNet by benchmarks/plain_torch.py

On TensorFlow, two more pairs of things are timed in turns, and their ratio is taken pair by pair, so that it depends
little on the machine: the step and its *floor*, which is the bare direct convolutions at the same shapes, forward and
backward; and the large convolutions by short DFTs and directly, in training and in inference. `capsules.convolution`
takes the former from `minimum_batch` on, which is printed. The peak memory is that of before the bare convolutions.
Prints a table and JSON.
"""

import argparse
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from runner.startup import keep_memory


def main(arguments: list[str]) -> None:
    """Measures a network, and prints a line for all that was timed, and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("capsule", "efficient", "baseline", "baseline_paper"), default="capsule")
    parser.add_argument("--preset", choices=("cifar10", "svhn"), help="hparams of one of the paper's networks")
    parser.add_argument("--hparams_override", help="name=value,name=value")
    parser.add_argument("--image", default="28x28x1", help="rows x columns x depth")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch", "plain_torch"), default="tensorflow")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of each")
    flags = parser.parse_args(arguments)
    os.environ["KERAS_BACKEND"] = flags.backend.removeprefix("plain_")
    keep_memory()  # as experiment.py does
    row = vars(flags) | {"device": device_name()} | measure(flags)
    print(f"{row['device']}; {row['versions']}; {row['precision']}; {row['host_mb']:,.0f} MB")
    print(f"{'':24}{'ms':>10}{'images/s':>10}")
    for name, times in row["seconds"].items():
        print(f"{name:24}{1e3 * median(times):10.1f}{flags.batch / median(times):10,.0f}")
    for name, ratios in row["ratios"].items():
        print(f"{name}: {median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if row["minimum_batch"]:
        print(f"Short DFTs are taken from a batch of {max(row['minimum_batch']):.0f} on.")
    print(json.dumps(row))


def measure(flags: argparse.Namespace) -> dict[str, Any]:
    """Seconds by name, ratios by name, the peak memory, and what is needed to understand them."""
    if flags.backend == "plain_torch":
        from benchmarks import plain_torch

        train, infer, convolutions = *plain_torch.runs(flags.batch), []
    else:
        train, infer, convolutions = network(flags)
    seconds = in_turns({"training step": train}, flags.pairs) | in_turns({"inference": infer}, flags.pairs)
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    pairs, large, ratios = [], [], {}
    if flags.backend == "tensorflow":
        pairs.append({"training step": train, "floor": convolutions_alone(convolutions, flags.batch)})
        if flags.precision == "float32":
            large = [each for each in convolutions if math.isfinite(minimum_batch(each))]
        for name, backward in (("training", True), ("inference", False)) if large else ():
            pairs.append({f"{kind}, {name}": convolutions_alone(large, flags.batch, method, backward)
                          for kind, method in (("short DFTs", "short_dft"), ("direct", "direct"))})  # fmt: skip
    for pair in pairs:
        found = in_turns(pair, flags.pairs)
        ratios[" / ".join(found)] = [one / other for one, other in zip(*found.values(), strict=True)]
        seconds |= found
    packages = [sys.modules[name] for name in ("keras", "tensorflow", "jax", "torch") if name in sys.modules]
    return {"versions": ", ".join(f"{each.__name__} {each.__version__}" for each in packages), "seconds": seconds,
            "ratios": ratios, "minimum_batch": [minimum_batch(each) for each in large], "host_mb": host}  # fmt: skip


def in_turns(runs: dict[str, Callable], count: int) -> dict[str, list[float]]:
    """How many seconds each of some functions takes, `count` times after one call that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + count):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in seconds.items()}


def network(flags: argparse.Namespace) -> tuple[Callable, Callable, list[dict]]:
    """Functions that make a training step and an inference of one batch, and the convolutions of the network."""
    import keras

    from models import make_model
    from models.hparams import PRESETS, HParams

    keras.config.set_dtype_policy("float32" if flags.precision == "float32" else f"mixed_{flags.precision}")
    keras.utils.set_random_seed(0)
    shape = tuple(map(int, flags.image.split("x")))
    hparams = HParams().override(PRESETS.get(flags.preset)).override(flags.hparams_override)
    model = make_model(flags.model, shape, 10, hparams)
    random = np.random.RandomState(0)
    images = random.uniform(size=(flags.batch, *shape)).astype(np.float32)
    labels = random.randint(0, 10, (flags.batch, 1)).astype(np.int32)
    return train_step(model, images, labels), lambda: model.predict_on_batch(images), convolutions_of(model)


def train_step(model, images: np.ndarray, labels: np.ndarray) -> Callable:
    """A function that trains one step on this batch: the runner's own on TensorFlow, Keras' elsewhere."""
    import keras

    from models.optimizer import make_optimizer

    optimizer = make_optimizer(model.hparams, scale_loss=keras.config.dtype_policy().name == "mixed_float16")
    if keras.backend.backend() != "tensorflow":
        model.compile(optimizer)
        return lambda: model.train_on_batch(images, labels)
    import tensorflow as tf

    from runner.devices import Machines
    from runner.steps import make_train_step

    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, Machines(tf.distribute.get_strategy()))
    batch = {"images": tf.constant(images), "labels": tf.constant(labels)}
    return lambda: step([batch])[0]["total"].numpy()


def convolutions_of(model) -> list[dict]:
    """Kernel, input shape, stride and padding of each convolution of a network; the first takes the images."""
    from keras.layers import Conv2D

    from capsules import PrimaryCapsules

    layers = [layer for layer in model.layers if isinstance(layer, Conv2D | PrimaryCapsules)]
    return [
        {"kernel": layer.kernel, "shape": tuple(layer.input.shape)[1:], "strides": layer.strides[0],
         "padding": layer.padding}
        for layer in layers
    ]  # fmt: skip


def minimum_batch(convolution: dict) -> float:
    """The batch from which `capsules.convolution` takes short DFTs for a convolution; infinite where it never does."""
    from capsules import convolution as rule

    kernel = tuple(convolution["kernel"].shape)
    return rule.minimum_batch(convolution["shape"][:2], kernel, convolution["strides"], convolution["padding"])


def convolutions_alone(convolutions: list[dict], batch: int, method: str = "direct", backward: bool = True) -> Callable:
    """A function that computes bare convolutions and the gradients of their kernels and inputs, on TensorFlow.

    Args:
        convolutions: see `convolutions_of`. Inputs of three channels or fewer are images, which need no gradient.
        batch: images.
        method: of `capsules.convolution.convolution_method`.
        backward: whether to compute gradients at all.
    """
    import keras
    import tensorflow as tf

    from capsules.convolution import convolution_method, convolve

    def random(shape):
        return tf.cast(np.random.RandomState(1).standard_normal(shape), keras.config.dtype_policy().compute_dtype)

    inputs = [random((batch, *convolution["shape"])) for convolution in convolutions]
    kernels = [tf.cast(convolution["kernel"], inputs[0].dtype) for convolution in convolutions]
    watched = (kernels, [tensor for tensor in inputs if tensor.shape[-1] > 3])

    @tf.function
    def run():
        with tf.GradientTape() as tape, convolution_method(method):
            tape.watch(watched)
            outputs = [
                convolve(tensor, kernel, convolution["strides"], convolution["padding"])
                for tensor, kernel, convolution in zip(inputs, kernels, convolutions, strict=True)
            ]
        return outputs, tape.gradient(outputs, watched) if backward else []

    return lambda: [tf.reshape(result, [-1])[0].numpy() for result in tf.nest.flatten(run())]


def device_name() -> str:
    """The processor and its number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


if __name__ == "__main__":
    main(sys.argv[1:])
