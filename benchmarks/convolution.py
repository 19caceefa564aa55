"""A convolution by short DFTs and directly, for kernels from 3 to 15 and strides of 1 and 2, and which the rule takes.

    python benchmarks/convolution.py
    python benchmarks/convolution.py --kernels=9 --batches=1,8,32,128

The layer has 64 channels in and out on 28x28, padded. Both are timed in turns, in training (forward and both gradients)
and in inference; the ratio is the median of each pair's. A line is marked where `capsules.convolution` takes short DFTs
at this batch, which it does from `minimum_batch` on.
"""

import argparse
import logging
import os
import sys
from itertools import product
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.train_step import convolutions_alone, device_name, in_turns, minimum_batch


def main(arguments: list[str]) -> None:
    """Measures, and prints a line for each kernel, stride, batch and pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", default="3,5,7,9,11,15", help="sides of the kernel, with commas between")
    parser.add_argument("--batches", default="128", help="images, with commas between")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of both")
    flags = parser.parse_args(arguments)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    logging.getLogger("tensorflow").setLevel("ERROR")  # it warns that each convolution is compiled anew
    print(f"{device_name()}; float32")
    print("".join(f"{word:>12}" for word in ("kernel", "stride", "batch", "pass", "direct ms", "short ms", "ratio")))
    sides, batches = (map(int, text.split(",")) for text in (flags.kernels, flags.batches))
    for side, stride, batch, kind in product(sides, (1, 2), batches, ("train", "infer")):
        kernel = np.random.RandomState(0).standard_normal((side, side, 64, 64)).astype(np.float32)
        layer = {"kernel": kernel, "shape": (28, 28, 64), "strides": stride, "padding": "same"}
        methods = ("direct", "short_dft")
        times = in_turns(
            {name: convolutions_alone([layer], batch, name, kind == "train") for name in methods}, flags.pairs
        )
        direct, short = times.values()
        numbers = [f"{1e3 * median(each):.1f}" for each in (direct, short)]
        numbers.append(f"{median(b / a for a, b in zip(direct, short, strict=True)):.2f}")
        taken = "  short DFTs are taken" if batch >= minimum_batch(layer) else ""
        print("".join(f"{cell:>12}" for cell in (side, stride, batch, kind, *numbers)) + taken, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
