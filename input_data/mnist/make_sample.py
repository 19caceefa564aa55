"""Makes the embedded sample: the first 5,000 training and 1,000 test digits of MNIST.

python input_data/mnist/make_sample.py FOLDER_WITH_THE_FOUR_IDX_FILES
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from input_data.formats import idx
from input_data.mnist.mnist_input import SAMPLE

SIZES = {"train": 5000, "test": 1000}


def main(source: Path) -> None:
    """Writes the four files of the sample."""
    SAMPLE.mkdir(exist_ok=True)
    for split_name, size in SIZES.items():
        prefix = {"train": "train", "test": "t10k"}[split_name]
        names = (f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz")
        for name, array in zip(names, idx.load(source, split_name), strict=True):
            idx.write(SAMPLE / name, array[:size])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
