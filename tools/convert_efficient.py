"""Converts weights released by the authors of Efficient-CapsNet (Keras 2, `.h5`) to the checkpoint of a run.

    python -m tools.convert_efficient efficient_capsnet_MNIST.h5 S --dataset=mnist

The result is S/train/model.ckpt-0. The program needs h5py. The file was written by `save_weights`, or by `save`, which
has the same content under `model_weights`. The network is the group CapsNet or Efficient_CapsNet, or else all layers;
the decoder is the group Generator.
"""

import argparse
import math
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from runner.flags import UserError, exit_code
from runner.startup import use_tensorflow

NETWORKS = {  # by data set: preset, image shape, class names, number of targets
    "mnist": ("efficient_mnist", (28, 28, 1), tuple("0123456789"), 1),
    "multimnist": ("efficient_multimnist", (36, 36, 1), tuple("0123456789"), 2),
    "norb": ("efficient_norb", (48, 48, 2), ("animal", "human", "airplane", "truck", "car"), 1),
}


KINDS = {"weights": "kernel", "biases": "bias"}  # the last part of a weight's name here and there; `classes` has W, b

Weights = list[tuple[str, np.ndarray]]  # the last part of each name and the values, in the file's order


def read(path: Path) -> tuple[Weights, Weights]:
    """The weights of the network and of its decoder."""
    import h5py

    def names(group: Any, attribute: str) -> list[str]:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]

    def values(group: Any) -> Weights:
        listed = names(group, "weight_names")
        return [(name.split("/")[-1].split(":")[0], np.asarray(group[name], np.float32)) for name in listed]

    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            layers = {name: values(root[name]) for name in names(root, "layer_names")}
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a file of weights of Keras 2: {error}") from None
    decoder = layers.pop("Generator", [])
    network = layers.get("CapsNet") or layers.get("Efficient_CapsNet") or list(chain(*layers.values()))
    return network, decoder


def fill(model, network: Weights, decoder: Weights) -> None:
    """Sets the weights of a model; those of one kind come in the order of the layers."""
    for name, variable in model.named_variables().items():
        layer, kind = name.rsplit("/", 1)
        left = decoder if layer.startswith("recons/") else network
        theirs = {"weights": "W", "biases": "b"}[kind] if layer == "classes" else KINDS.get(kind, kind)
        place = next((index for index, (each, _) in enumerate(left) if each == theirs), None)
        if place is None:
            raise UserError(f"The file has no weights for {name}.")
        value, shape = left.pop(place)[1], tuple(variable.shape)
        if theirs == "W" and value.ndim == 4:
            value = value.transpose(1, 2, 0, 3)  # [out, in, atoms_in, atoms] → [in, atoms_in, out, atoms]
        if layer == "classes" and value.size == math.prod(shape):
            value = value.reshape(shape)  # [in, atoms_in, out, atoms] → [in, atoms_in, out·atoms]; [out, atoms, 1] too
        if value.shape != shape or not np.isfinite(value).all():
            raise UserError(f"{name} should be finite numbers {list(shape)}. Received: {list(value.shape)}")
        variable.assign(value)
    if rest := len(network) + len(decoder):
        raise UserError(f"The file has {rest} weights too many.")


def convert(weights: Path, folder: Path, dataset: str) -> int:
    """Writes the checkpoint and its config, prints the checkpoint's prefix and returns 0."""
    use_tensorflow()
    from models import make_model
    from models.hparams import PRESETS, HParams
    from models.optimizer import make_optimizer
    from runner import checkpoints, config

    preset, image_shape, class_names, num_targets = NETWORKS[dataset]
    (network, decoder), train = read(weights), folder / "train"
    hparams = HParams(remake=bool(decoder)).override(PRESETS[preset])
    model, optimizer = make_model("efficient", image_shape, len(class_names), hparams), make_optimizer(hparams)
    fill(model, network, decoder)
    optimizer.build(model.trainable_variables)
    train.mkdir(parents=True)  # a run that is there stays as it is
    flags = {"model": "efficient", "dataset": "norb" if dataset == "norb" else "mnist", "num_targets": num_targets}
    config.write(train, config.NetworkConfig(flags, hparams, image_shape, class_names))
    print(checkpoints.save(train, 0, model, optimizer))
    return 0


def main(arguments: list[str]) -> int:
    """Converts the file that the arguments name."""
    parser = argparse.ArgumentParser(prog="tools.convert_efficient", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path, help="the .h5 file")
    parser.add_argument("folder", type=Path, help="a new run's folder")
    parser.add_argument("--dataset", choices=NETWORKS, required=True)
    flags = vars(parser.parse_args(arguments))
    return exit_code("tools.convert_efficient", lambda: convert(**flags))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
