"""Images a second and memory of a network's training step and inference, and of its convolutions alone.

    python benchmarks/train_step.py                                        # CapsNet on MNIST's size, on TensorFlow
    python benchmarks/train_step.py --preset=cifar10 --image=24x24x3 --batch=32
    python benchmarks/train_step.py --backend=jax                          # the same network on JAX or torch
    python benchmarks/train_step.py --backend=plain_torch                  # CapsNet by benchmarks/plain_torch.py

On TensorFlow, pairs of things are timed in turns, and their ratio is taken pair by pair, so that it depends little on
the machine: the step and its *floor*, which is the bare direct convolutions at the same shapes, forward and backward;
and its large convolutions by short DFTs and directly, in training and in inference. `capsules.convolution` takes short
DFTs from the batch on that is in parentheses. The peak memory is that of before the bare convolutions.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from runner.startup import keep_memory


def main(arguments: list[str]) -> None:
    """Measures, and prints a line for all that was timed, and JSON."""
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
    row: dict = {}
    measure(flags, network(flags, row), row)


def measure(flags: argparse.Namespace, timed: Iterable[tuple], row: dict) -> None:
    """Times functions in turns, and prints a line for each name, and JSON with `row`."""
    keep_memory()  # as experiment.py does
    row |= vars(flags) | {"device": device_name(), "seconds": {}}
    print(f"{row['device']}, {flags.precision}\n{'':44}{'ms':>10}{'images/s':>10}{'second ms':>10}{'ratio':>10}")
    for name, *runs in timed:
        first, *others = row["seconds"][name] = in_turns(runs, flags.pairs)
        line = f"{name:44}{1e3 * median(first):10.1f}{flags.batch / median(first):10,.0f}"
        for second in others:
            ratios = [a / b for a, b in zip(first, second, strict=True)]
            line += f"{1e3 * median(second):10.1f}{median(ratios):10.3f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line, flush=True)
    packages = [sys.modules[name] for name in ("keras", "tensorflow", "jax", "torch") if name in sys.modules]
    print(json.dumps(row | {"versions": {each.__name__: each.__version__ for each in packages}}))


def in_turns(runs: Sequence[Callable], count: int) -> list[list[float]]:
    """How many seconds each of some functions takes, `count` times after one call that is not counted."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(1 + count):
        for times, run in zip(seconds, runs, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return [times[1:] for times in seconds]


def network(flags: argparse.Namespace, row: dict) -> Iterator[tuple]:
    """What is to be timed of a network: a name, a function and perhaps one to compare with; memory goes to `row`."""
    if flags.backend == "plain_torch":
        from benchmarks import plain_torch

        train, infer = plain_torch.runs(flags.batch)
    else:
        import keras

        from models import make_model
        from models.hparams import PRESETS, HParams

        keras.config.set_dtype_policy("float32" if flags.precision == "float32" else f"mixed_{flags.precision}")
        keras.utils.set_random_seed(0)
        shape = tuple(map(int, flags.image.split("x")))
        hparams = HParams().override(PRESETS.get(flags.preset or "")).override(flags.hparams_override)
        model, random = make_model(flags.model, shape, 10, hparams), np.random.RandomState(0)
        images = random.uniform(size=(flags.batch, *shape)).astype(np.float32)
        train = train_step(model, images, random.randint(0, 10, (flags.batch, 1)).astype(np.int32))
        infer = partial(model.predict_on_batch, images)
    yield "training step", train
    yield "inference", infer
    row["host_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{row['host_mb']:,.0f} MB")
    if flags.backend == "tensorflow":
        convolutions = convolutions_of(model)
        yield "training step / floor", train, convolutions_alone(convolutions, flags.batch)
        large = [each for each in convolutions if flags.precision == "float32" and np.isfinite(minimum_batch(*each))]
        yield from both_methods("large convolutions", large, flags.batch) if large else ()


def both_methods(name: str, convolutions: list[tuple], batch: int) -> Iterator[tuple]:
    """Convolutions by short DFTs and directly, with and without their gradients."""
    needed = max(minimum_batch(*each) for each in convolutions)
    for kind, backward in (("training", True), ("inference", False)):
        runs = [convolutions_alone(convolutions, batch, method, backward) for method in ("short_dft", "direct")]
        yield f"{name}, {kind} (from {needed:.0f})", *runs


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
    return lambda: step(batch)["total"].numpy()


def convolutions_of(model) -> list[tuple]:
    """Input shape, kernel, stride and padding of each convolution of a network; the first takes the images."""
    from keras.layers import Conv2D

    from capsules import PrimaryCapsules

    layers = [layer for layer in model.layers if isinstance(layer, Conv2D | PrimaryCapsules)]
    return [(tuple(layer.input.shape)[1:], layer.kernel, layer.strides[0], layer.padding) for layer in layers]


def minimum_batch(shape: tuple, kernel, strides: int, padding: str) -> float:
    """The batch from which `capsules.convolution` takes short DFTs for a convolution; infinite where it never does."""
    from capsules import convolution

    return convolution.minimum_batch(shape[:2], tuple(kernel.shape), strides, padding)


def convolutions_alone(
    convolutions: list[tuple], batch: int, method: str = "direct", backward: bool = True
) -> Callable:
    """A function that computes bare convolutions and, if `backward`, their gradients, on TensorFlow.

    Inputs of three channels or fewer are images, which need no gradient; `method` is that of `convolution_method`.
    """
    import keras
    import tensorflow as tf

    from capsules.convolution import convolution_method, convolve

    dtype, random = keras.config.dtype_policy().compute_dtype, np.random.RandomState(1)
    inputs = [tf.cast(random.standard_normal((batch, *shape)), dtype) for shape, *_ in convolutions]
    kernels = [tf.cast(kernel, dtype) for _, kernel, *_ in convolutions]
    watched = (kernels, [tensor for tensor in inputs if tensor.shape[-1] > 3])

    @tf.function
    def run():
        with tf.GradientTape() as tape, convolution_method(method):
            tape.watch(watched)
            places = zip(inputs, kernels, (rest for _, _, *rest in convolutions), strict=True)
            outputs = [convolve(tensor, kernel, *rest) for tensor, kernel, rest in places]
        return outputs, tape.gradient(outputs, watched) if backward else []

    return lambda: [tf.reshape(result, [-1])[0].numpy() for result in tf.nest.flatten(run())]


def device_name() -> str:
    """The processor and its number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


if __name__ == "__main__":
    main(sys.argv[1:])
