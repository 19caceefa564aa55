"""Images a second and memory of a network's training step and inference, beside the floor measured in the same run.

    python benchmarks/train_step.py                                        # CapsNet on MNIST's size, on TensorFlow
    python benchmarks/train_step.py --peers=jax,torch,plain_torch          # also on other backends, and plain PyTorch
    python benchmarks/train_step.py --model=baseline
    python benchmarks/train_step.py --preset=cifar10 --image=24x24x3
    python benchmarks/train_step.py --backend=jax --precision=bfloat16

The floor is the time of the bare direct convolutions at the same shapes, forward and backward. A peer on another
backend is held against the floor of the first row.
Step and floor take turns, and their ratio is taken pair by pair, so that it depends little on the machine. Two
ceilings of the hardware are measured as well: a large matrix product and a large copy. Each row is measured in a
process of its own, whose peak memory before the floor is made is the step's. Prints a table and JSON.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np


def parse(arguments: list[str]) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("capsule", "efficient", "baseline", "baseline_paper"), default="capsule")
    parser.add_argument("--preset", choices=("cifar10", "svhn"), help="hparams of one of the paper's networks")
    parser.add_argument("--hparams_override", help="name=value,name=value")
    parser.add_argument("--image", default="28x28x1", help="rows x columns x depth")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--precision", choices=("float32", "tf32", "bfloat16", "float16"), default="float32")
    parser.add_argument(
        "--peers",
        default="",
        help="further rows: jax or torch (this network on that backend), plain_torch (a CapsNet as people write it)",
    )
    parser.add_argument("--pairs", type=int, default=7, help="measurements of step and floor")
    parser.add_argument("--in_process", action="store_true", help="measure here and print JSON alone")
    parser.add_argument("--no_floor", action="store_true", help="leave the bare convolutions out")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measures this network, and each peer, in a process of its own and prints the table."""
    flags = parse(arguments)
    os.environ["KERAS_BACKEND"] = flags.backend
    if flags.in_process:
        print(json.dumps(measure(flags)))
        return
    rows: list[dict] = []
    for name, command in _commands(flags, arguments):
        if name in ("jax", "torch", "plain_torch") and importlib.util.find_spec(name.removeprefix("plain_")) is None:
            print(f"{name}: left out, {name.removeprefix('plain_')} is not installed")
            continue
        done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{name}: ended with {done.returncode}, for want of memory perhaps")
            continue
        row = json.loads(done.stdout.splitlines()[-1]) | {"name": name}
        if not row.get("floor"):  # a peer is held against the floor of the first row
            floor = rows[0]["floor"]
            row |= {"floor": floor, "ratios": [statistics.median(row["step"]) / bare for bare in floor]}
        rows.append(row)
        if len(rows) == 1:
            print(_machine(row))
        print(_line(row), flush=True)
    print(json.dumps(rows))


def _commands(flags: argparse.Namespace, arguments: list[str]) -> list[tuple[str, list[str]]]:
    """The name of each row and the arguments of the process that measures it."""
    here = [__file__, *arguments, "--in_process"]
    commands = [("ours", here)]
    for peer in filter(None, flags.peers.split(",")):
        if peer == "plain_torch":
            script = str(Path(__file__).with_name("plain_torch.py"))
            commands.append((peer, [script, f"--batch={flags.batch}", f"--steps={flags.pairs}"]))
        else:
            commands.append((peer, [*here, f"--backend={peer}", "--no_floor"]))
    return commands


def _machine(row: dict) -> str:
    head = ("", "step ms", "floor ms", "step/floor", "(min-max)", "train im/s", "infer im/s", "host MB", "dev MB")
    return (
        f"{row['device']}; {row['versions']}; {row['precision']}; {row['gflop']:.0f} GFLOP of convolutions a step\n"
        f"matrix product {row['matmul_gflops']:,.0f} GFLOP/s, copy {row['copy_gb']:.1f} GB/s\n"
        + "".join(f"{word:>12}" for word in head)
    )


def _line(row: dict) -> str:
    ratios = sorted(row["ratios"])
    step, floor, infer = (statistics.median(row[name]) for name in ("step", "floor", "infer"))
    cells = (row["name"], f"{step * 1e3:.1f}", f"{floor * 1e3:.1f}", f"{statistics.median(ratios):.3f}")
    cells += (f"{ratios[0]:.2f}-{ratios[-1]:.2f}", f"{row['batch'] / step:,.0f}", f"{row['batch'] / infer:,.0f}")
    cells += (f"{row['host_mb']:,.0f}", f"{row['device_mb']:,.0f}" if row.get("device_mb") else "-")
    return "".join(f"{cell:>12}" for cell in cells)


def measure(flags: argparse.Namespace) -> dict:
    """Everything about one network on one backend."""
    import keras

    from benchmarks import backends
    from models import make_model
    from models.hparams import PRESETS, HParams

    backends.set_precision(flags.precision)
    keras.utils.set_random_seed(0)
    shape = tuple(map(int, flags.image.split("x")))
    hparams = HParams().override(PRESETS.get(flags.preset)).override(flags.hparams_override)
    model = make_model(flags.model, shape, 10, hparams)
    random = np.random.RandomState(0)
    images = random.uniform(size=(flags.batch, *shape)).astype(np.float32)
    labels = random.randint(0, 10, (flags.batch, 1)).astype(np.int32)
    train = backends.train_step(model, images, labels)
    step_times = [backends.seconds(train) for _ in range(3)][1:]  # the first compiles
    infer = [backends.seconds(lambda: model.predict_on_batch(images)) for _ in range(flags.pairs + 1)][1:]
    host, device = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, backends.peak_device_mb()

    convolutions = convolutions_of(model)
    if flags.no_floor:
        step_times += [backends.seconds(train) for _ in range(flags.pairs)]
        pairs = []
    else:
        floor = backends.convolutions_alone(convolutions, flags.batch)
        floor()
        pairs = [(backends.seconds(train), backends.seconds(floor)) for _ in range(flags.pairs)]
    matmul, copy = backends.ceilings(size=8192 if device else 2048)
    return {
        "device": backends.device_name(),
        "versions": f"Keras {keras.__version__}, {flags.backend} {sys.modules[flags.backend].__version__}",
        "model": flags.model,
        "hparams": {name: getattr(hparams, name) for name in ("num_prime_capsules", "routing", "routing_gradient")},
        "image": flags.image,
        "precision": flags.precision,
        "batch": flags.batch,
        "name": "ours",
        "step": step_times + [step for step, _ in pairs],
        "floor": [bare for _, bare in pairs],
        "ratios": [step / bare for step, bare in pairs],
        "infer": infer,
        "gflop": sum(_gflop(convolution, flags.batch) for convolution in convolutions),
        "matmul_gflops": matmul,
        "copy_gb": copy,
        "host_mb": host,
        "device_mb": device,
    }


def convolutions_of(model) -> list[dict]:
    """Kernel, input shape, stride and padding of each convolution of a network; the first takes the images."""
    from keras.layers import Conv2D

    from capsules import PrimaryCapsules

    layers = [layer for layer in model.layers if isinstance(layer, Conv2D | PrimaryCapsules)]
    return [
        {
            "kernel": layer.kernel,
            "shape": tuple(layer.input.shape)[1:],
            "strides": layer.strides[0],
            "padding": layer.padding,
        }
        for layer in layers
    ]


def _gflop(convolution: dict, batch: int) -> float:
    """Of forward, kernel's gradient and, but for the images, input's gradient."""
    import keras

    shape = keras.ops.conv(
        keras.KerasTensor((batch, *convolution["shape"])),
        keras.KerasTensor(convolution["kernel"].shape),
        convolution["strides"],
        convolution["padding"],
        data_format="channels_last",
    ).shape
    rows, columns, depth_in, _ = convolution["kernel"].shape
    passes = 2 if convolution["shape"][-1] <= 3 else 3
    return passes * 2 * np.prod(shape) * rows * columns * depth_in / 1e9


if __name__ == "__main__":
    main(sys.argv[1:])
