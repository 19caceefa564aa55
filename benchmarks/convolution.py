"""The convolution by short DFTs beside the direct one, for each network and batch size, and what the rule picks.

    python benchmarks/convolution.py
    python benchmarks/convolution.py --networks=mnist,cifar10 --batches=128 --pass=infer
    python benchmarks/convolution.py --networks=k5s1,k9s2      # a layer of 64 channels on 28x28, kernel 5, stride 1

Each line is the large convolutions of one network on TensorFlow, in a training step (forward and both gradients) or in
inference (forward). Direct and short take turns; the ratio is the median over pairs. `auto` is what
`capsules.convolution` picks for that batch; a line is marked where its choice takes over a twentieth longer.
"""

import argparse
import math
import os
import re
import statistics
import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.train_step import convolutions_alone, convolutions_of, device_name, seconds

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


def main(arguments: list[str]) -> None:
    """Measures and prints a line for each network, pass and batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="with commas between")
    parser.add_argument("--batches", default="1,8,32,128,512", help="with commas between")
    parser.add_argument("--pass", dest="passes", default="train,infer", help="train, infer")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of both, fewer of long ones")
    flags = parser.parse_args(arguments)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    print(f"{device_name()}; float32")
    head = ("network", "pass", "batch", "direct ms", "short ms", "short/direct", "auto")
    print("".join(f"{word:>15}" for word in head))
    for name in flags.networks.split(","):
        convolutions = [each for each in _convolutions(name) if math.isfinite(_minimum_batch(each))]
        for kind, batch in product(flags.passes.split(","), map(int, flags.batches.split(","))):
            print(_line(name, kind, batch, convolutions, flags.pairs), flush=True)


def _convolutions(name: str) -> list[dict]:
    from models import make_model
    from models.hparams import HParams

    if sizes := re.fullmatch(r"k(\d+)s(\d)", name):
        size, stride = map(int, sizes.groups())
        kernel = np.random.RandomState(0).standard_normal((size, size, 64, 64)).astype(np.float32)
        return [{"kernel": kernel, "shape": (28, 28, 64), "strides": stride, "padding": "same"}]
    model, image, override = NETWORKS[name]
    return convolutions_of(make_model(model, image, 10, HParams().override(override)))


def _minimum_batch(convolution: dict) -> float:
    """The batch from which the rule takes short transforms; infinite where it never does."""
    from capsules.convolution import minimum_batch

    kernel = tuple(convolution["kernel"].shape)
    return minimum_batch(convolution["shape"][:2], kernel, convolution["strides"], convolution["padding"])


def _line(name: str, kind: str, batch: int, convolutions: list[dict], pairs: int) -> str:
    methods = ("direct", "short_dft")
    direct, short = (convolutions_alone(convolutions, batch, method, kind == "train") for method in methods)
    direct(), short()
    times: list[tuple[float, float]] = []
    while not times or (len(times) < pairs and sum(map(sum, times)) < 10):
        times.append((seconds(direct), seconds(short)))
    ratio = statistics.median(b / a for a, b in times)
    auto = "short" if all(batch >= _minimum_batch(each) for each in convolutions) else "direct"
    milliseconds = (f"{1e3 * statistics.median(column):.1f}" for column in zip(*times, strict=True))
    mark = " <- slower" if auto == "short" and ratio > 1.05 else ""
    return "".join(f"{cell:>15}" for cell in (name, kind, batch, *milliseconds, f"{ratio:.2f}", auto)) + mark


if __name__ == "__main__":
    main(sys.argv[1:])
