"""Fashion-MNIST under a name of its own; `--dataset=mnist` with its folder recognises its files as well."""

from functools import partial

from input_data.mnist import mnist_input
from input_data.mnist.mnist_input import FASHION, fit, view

__all__ = ["fit", "open_split", "view"]

open_split = partial(mnist_input.open_split, wanted=FASHION)
