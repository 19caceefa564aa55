"""Images a second and memory of a network's training step and inference, beside the floor measured in the same run.

    python benchmarks/train_step.py                                        # CapsNet on MNIST's size, on TensorFlow
    python benchmarks/train_step.py --peers=jax,torch,plain_torch          # also on other backends, and plain PyTorch
    python benchmarks/train_step.py --preset=cifar10 --image=24x24x3
    python benchmarks/train_step.py --backend=torch --precision=bfloat16

The floor is the time of the bare direct convolutions at the same shapes, forward and backward, on TensorFlow; peers on
another backend are held against the floor of the first row. Step and floor take turns, and their ratio is taken pair
by pair, so that it depends little on the machine. Two ceilings of the hardware are measured as well: a large matrix
product and a large copy. Each row is measured in a process of its own, whose peak memory before the floor is made is
the step's. Prints a table and JSON.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from runner.startup import keep_memory


def parse(arguments: list[str]) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("capsule", "efficient", "baseline", "baseline_paper"), default="capsule")
    parser.add_argument("--preset", choices=("cifar10", "svhn"), help="hparams of one of the paper's networks")
    parser.add_argument("--hparams_override", help="name=value,name=value")
    parser.add_argument("--image", default="28x28x1", help="rows x columns x depth")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--peers", default="", help="further rows: jax or torch (this network there), plain_torch")
    parser.add_argument("--pairs", type=int, default=7, help="measurements of step and floor")
    parser.add_argument("--in_process", action="store_true", help="measure here and print JSON alone")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measures this network, and each peer, in a process of its own and prints the table."""
    flags = parse(arguments)
    os.environ["KERAS_BACKEND"] = flags.backend
    if flags.in_process:
        keep_memory()  # as experiment.py does
        print(json.dumps(measure(flags)))
        return
    commands = {"ours": [__file__, *arguments, "--in_process"]}
    commands |= {peer: [*commands["ours"], f"--backend={peer}"] for peer in filter(None, flags.peers.split(","))}
    if "plain_torch" in commands:
        script = str(Path(__file__).with_name("plain_torch.py"))
        commands["plain_torch"] = [script, f"--batch={flags.batch}", f"--steps={flags.pairs}"]
    rows: list[dict] = []
    for name, command in commands.items():
        package = name.removeprefix("plain_")
        if name != "ours" and importlib.util.find_spec(package) is None:
            print(f"{name} is left out, since {package} is not installed.")
            continue
        done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{name} ended with {done.returncode}; its errors are above.")
            continue
        row = json.loads(done.stdout.splitlines()[-1]) | {"name": name}
        if not row.get("floor") and rows:  # a peer is held against the floor of the first row
            row |= {"floor": rows[0]["floor"], "ratios": [median(row["step"]) / bare for bare in rows[0]["floor"]]}
        rows.append(row)
        if len(rows) == 1:
            print(head(row))
        print(line(row), flush=True)
    print(json.dumps(rows))


def head(row: dict) -> str:
    """The lines above the table: the machine and the columns."""
    columns = ("", "step ms", "floor ms", "step/floor", "(min-max)", "train im/s", "infer im/s", "host MB")
    return (
        f"{row['device']}; {row['versions']}; {row['precision']}; {row['gflop']:.0f} GFLOP of convolutions a step\n"
        f"matrix product {row['matmul_gflops']:,.0f} GFLOP/s, copy {row['copy_gb']:.1f} GB/s\n"
        + "".join(f"{word:>12}" for word in columns)
    )


def line(row: dict) -> str:
    """A line of the table."""
    step, infer, ratios, bare = median(row["step"]), median(row["infer"]), sorted(row["ratios"]), ("-", "-", "-")
    if ratios:
        bare = (f"{median(row['floor']) * 1e3:.1f}", f"{median(ratios):.3f}", f"{ratios[0]:.2f}-{ratios[-1]:.2f}")
    speeds = (f"{row['batch'] / step:,.0f}", f"{row['batch'] / infer:,.0f}", f"{row['host_mb']:,.0f}")
    return "".join(f"{cell:>12}" for cell in (row["name"], f"{step * 1e3:.1f}", *bare, *speeds))


def measure(flags: argparse.Namespace) -> dict:
    """Everything about one network on one backend."""
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
    train = train_step(model, images, labels)
    steps = [seconds(train) for _ in range(3)][1:]  # the first compiles
    infer = [seconds(lambda: model.predict_on_batch(images)) for _ in range(flags.pairs + 1)][1:]
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    convolutions, pairs = convolutions_of(model), list[tuple[float, float]]()
    if flags.backend == "tensorflow":
        floor = convolutions_alone(convolutions, flags.batch)
        floor()
        pairs = [(seconds(train), seconds(floor)) for _ in range(flags.pairs)]
    else:
        steps += [seconds(train) for _ in range(flags.pairs)]
    matmul, copy = ceilings(2048)
    return {
        "name": "ours",
        "device": device_name(),
        "versions": f"Keras {keras.__version__}, {flags.backend} {sys.modules[flags.backend].__version__}",
        "model": flags.model,
        "hparams": {name: getattr(hparams, name) for name in ("num_prime_capsules", "routing", "routing_gradient")},
        "image": flags.image,
        "precision": flags.precision,
        "batch": flags.batch,
        "step": steps + [step for step, _ in pairs],
        "floor": [bare for _, bare in pairs],
        "ratios": [step / bare for step, bare in pairs],
        "infer": infer,
        "gflop": sum(gflop(convolution, flags.batch) for convolution in convolutions),
        "matmul_gflops": matmul,
        "copy_gb": copy,
        "host_mb": host,
    }


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


def gflop(convolution: dict, batch: int) -> float:
    """Of forward, kernel's gradient and, but for the images, input's gradient."""
    from keras import KerasTensor, ops

    inputs, kernel = (batch, *convolution["shape"]), convolution["kernel"].shape
    how = convolution["strides"], convolution["padding"]
    shape = ops.conv(KerasTensor(inputs), KerasTensor(kernel), *how, data_format="channels_last").shape
    passes = 2 if inputs[-1] <= 3 else 3
    return passes * 2 * np.prod(shape) * np.prod(kernel[:3]) / 1e9


def ceilings(size: int) -> tuple[float, float]:
    """GFLOP/s of a square matrix product and GB/s, read and written, of a copy; the best of five each."""
    import keras
    from keras import ops

    dtype = keras.config.dtype_policy().compute_dtype
    matrix = ops.cast(np.random.RandomState(2).uniform(size=(size, size)).astype(np.float32), dtype)
    long = ops.ones((size * size * 4,), "float32")

    def best(run) -> float:
        return min([seconds(lambda: float(ops.reshape(run(), (-1,))[0])) for _ in range(6)][1:])

    product, copy = best(lambda: ops.matmul(matrix, matrix)), best(lambda: ops.add(long, 1.0))
    return 2 * size**3 / product / 1e9, 2 * 4 * size * size * 4 / copy / 1e9


def seconds(run: Callable) -> float:
    """How long a call of `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def device_name() -> str:
    """The processor and its number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"


if __name__ == "__main__":
    main(sys.argv[1:])
