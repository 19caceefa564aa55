"""A convolution by short DFTs and directly, for kernels from 3 to 15 and strides of 1 and 2.

    python benchmarks/convolution.py
    python benchmarks/convolution.py --kernels=9 --batch=32

The layer has 64 channels in and out on 28x28, padded. The columns are those of `train_step.py`: short DFTs come first,
and the ratio is theirs to the direct convolution.
"""

import argparse
import os
import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.train_step import both_methods, measure


def main(arguments: list[str]) -> None:
    """Measures, and prints a line for each kernel, stride and pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="3,5,7,9,11,15", help="sides of the kernel, with commas between")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5, help="measurements of both")
    flags = parser.parse_args(arguments, argparse.Namespace(precision="float32"))
    os.environ["KERAS_BACKEND"] = "tensorflow"
    shapes = product(map(int, flags.kernels.split(",")), (1, 2))
    layers = {(side, stride): np.float32(np.random.standard_normal((side, side, 64, 64))) for side, stride in shapes}
    timed = (
        line
        for (side, stride), kernel in layers.items()
        for line in both_methods(f"{side}x{side}/{stride}", [((28, 28, 64), kernel, stride, "same")], flags.batch)
    )
    measure(flags, timed, {})


if __name__ == "__main__":
    main(sys.argv[1:])
