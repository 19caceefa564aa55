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
    for part, size in SIZES.items():
        for path, array in zip(idx.find(source, part), idx.load(source, part), strict=True):
            idx.write(SAMPLE / f"{path.name.removesuffix('.gz')}.gz", array[:size])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
