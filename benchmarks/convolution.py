"""The convolution by short DFTs beside the direct one, for each network and batch size, and what the rule picks.

    python benchmarks/convolution.py                       # on TensorFlow
    python benchmarks/convolution.py --backend=jax --batches=128
    python benchmarks/convolution.py --networks=mnist,cifar10 --pass=infer
    python benchmarks/convolution.py --networks=kernels    # a layer of 64 channels on 28x28 with kernels of 3 to 15

Each line is the large convolutions of one network, in a training step (forward and both gradients) or in inference
(forward). Direct and short take turns; the ratio is the median over pairs. `auto` is what `capsules.convolution`
picks for that batch; the line is marked where its choice is slower than direct by more than a twentieth.
"""

import argparse
import math
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

NETWORKS = {  # model, image, hparams
    "mnist": ("capsule", (28, 28, 1), ""),
    "8types": ("capsule", (28, 28, 1), "num_prime_capsules=8"),
    "multimnist": ("capsule", (36, 36, 1), ""),
    "affnist": ("capsule", (40, 40, 1), ""),
    "svhn": ("capsule", (32, 32, 3), "conv_channels=64,num_prime_capsules=16,primary_atoms=6,class_atoms=8"),
    "cifar10": ("capsule", (24, 24, 3), "num_prime_capsules=64,padding=SAME,leaky=true,remake=false"),
    "baseline": ("baseline", (28, 28, 1), ""),
    "baseline_paper": ("baseline_paper", (28, 28, 1), ""),
}


KERNELS = [f"k{size}s{stride}" for size in (3, 5, 7, 9, 11, 13, 15) for stride in (1, 2)]


def main(arguments: list[str]) -> None:
    """Measures and prints a line for each network, pass and batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="with commas between")
    parser.add_argument("--batches", default="1,8,32,128,512", help="with commas between")
    parser.add_argument("--pass", dest="passes", default="train,infer", help="train, infer")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of both, fewer of long ones")
    flags = parser.parse_args(arguments)
    os.environ["KERAS_BACKEND"] = flags.backend
    from benchmarks import backends

    print(f"{backends.device_name()}; {flags.backend}; float32")
    head = ("network", "pass", "batch", "direct ms", "short ms", "short/direct", "auto")
    print("".join(f"{word:>15}" for word in head))
    for name in KERNELS if flags.networks == "kernels" else flags.networks.split(","):
        convolutions = large_convolutions(name)
        for kind in flags.passes.split(","):
            for batch in map(int, flags.batches.split(",")):
                print(_line(name, kind, batch, convolutions, flags.pairs), flush=True)


def large_convolutions(name: str) -> list[dict]:
    """The convolutions of a network that the rule would compute by short transforms for some batch."""
    from benchmarks.train_step import convolutions_of
    from models import make_model
    from models.hparams import HParams

    if name in KERNELS:
        size, stride = map(int, name[1:].split("s"))
        kernel = np.random.RandomState(0).standard_normal((size, size, 64, 64)).astype(np.float32)
        return [{"kernel": kernel, "shape": (28, 28, 64), "strides": stride, "padding": "same"}]
    model, image, override = NETWORKS[name]
    return [
        convolution
        for convolution in convolutions_of(make_model(model, image, 10, HParams().override(override)))
        if math.isfinite(_minimum_batch(convolution))
    ]


def _minimum_batch(convolution: dict) -> float:
    from capsules.convolution import minimum_batch

    kernel = tuple(convolution["kernel"].shape)
    return minimum_batch(convolution["shape"][:2], kernel, convolution["strides"], convolution["padding"])


def _line(name: str, kind: str, batch: int, convolutions: list[dict], pairs: int) -> str:
    from benchmarks.backends import convolutions_alone, seconds

    direct, short = (
        convolutions_alone(convolutions, batch, method, backward=kind == "train") for method in ("direct", "short_dft")
    )
    direct(), short()
    times: list[tuple[float, float]] = []
    while not times or (len(times) < pairs and sum(map(sum, times)) < 10):
        times.append((seconds(direct), seconds(short)))
    ratio = statistics.median(b / a for a, b in times)
    auto = "short" if all(batch >= _minimum_batch(c) for c in convolutions) else "direct"
    milliseconds = (f"{1e3 * statistics.median(column):.1f}" for column in zip(*times, strict=True))
    cells = [name, kind, batch, *milliseconds, f"{ratio:.2f}"]
    mark = " <- slower" if auto == "short" and ratio > 1.05 else ""
    return "".join(f"{cell:>15}" for cell in (*cells, auto)) + mark


if __name__ == "__main__":
    main(sys.argv[1:])
