"""Converts weights released by the authors of Efficient-CapsNet (Keras 2, `.h5`) to the checkpoint of a run.

    python -m runner.convert_efficient efficient_capsnet_MNIST.h5 S --dataset=mnist

The result is S/train/model.ckpt-0. The program needs h5py.

The file was written by `save_weights`, or by `save`, which has the same content under `model_weights`. Its attribute
`layer_names` lists groups, and the attribute `weight_names` of a group lists its weights, the trainable ones first. The
network is the group CapsNet or Efficient_CapsNet, or else all layers; the decoder is the group Generator.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from runner.startup import use_tensorflow

use_tensorflow()  # first, since Keras would load it with all the lines that it prints

import numpy as np

from models import make_model
from models.hparams import PRESETS, HParams
from models.network import Classifier
from models.optimizer import make_optimizer
from runner import checkpoints, config

NETWORKS = {  # by data set: preset, image shape, class names, number of targets
    "mnist": ("efficient_mnist", (28, 28, 1), tuple("0123456789"), 1),
    "multimnist": ("efficient_multimnist", (36, 36, 1), tuple("0123456789"), 2),
    "norb": ("efficient_norb", (48, 48, 2), ("animal", "human", "airplane", "truck", "car"), 1),
}
_LARGEST = 10**7  # numbers in a weight; the largest of the released ones has 1,327,104
Weight = tuple[str, np.ndarray]  # a name and its values
_KINDS = {"weights": "kernel", "biases": "bias"}  # what Keras calls them; the others have one name


def read(path: Path) -> dict[str, list[Weight]]:
    """The weights of the network (CapsNet) and of its decoder (Generator), with their names, in the file's order.

    Raises:
        ValueError: the file is not of this kind.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            layers = _names(root, "layer_names")
            decoder = [name for name in layers if name == "Generator"]
            network = [name for name in layers if name in ("CapsNet", "Efficient_CapsNet")]
            groups = {
                "CapsNet": _weights(root, network or [name for name in layers if name not in decoder]),
                "Generator": _weights(root, decoder),
            }
    except (OSError, LookupError, RuntimeError, TypeError, UnicodeError) as error:
        raise ValueError(f"{path} cannot be read as a file of weights: {error}") from None
    if not groups["CapsNet"]:
        raise ValueError(
            f"{path} has no weights in the form of Keras 2, with layer_names and weight_names. "
            "Give a .h5 file of Efficient-CapsNet's authors."
        )
    return groups


def _names(group: Any, attribute: str) -> list[str]:
    """The text in an attribute, or in attribute0, attribute1, … into which Keras 2 splits a long one."""
    pieces = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(f"{attribute}{len(pieces)}")
    names = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _weights(root: Any, layers: list[str]) -> list[Weight]:
    import h5py

    weights = []
    for layer in layers:
        group = root[layer]
        for name in _names(group, "weight_names"):
            values = group[name]
            if not isinstance(values, h5py.Dataset) or values.dtype.kind != "f" or values.size > _LARGEST:
                raise TypeError(f"{layer}/{name} should be at most {_LARGEST:,} real numbers")
            weights.append((name.split(":")[0], np.asarray(values, np.float32)))
    return weights


def fill(model: Classifier, groups: dict[str, list[Weight]]) -> None:
    """Sets the weights of a network, or none if one does not fit. Weights of one kind come in the order of the layers.

    Raises:
        ValueError: the weights are of another network.
    """
    named, values = model.named_variables(), {}
    for name, variable in named.items():
        layer, kind = name.rsplit("/", 1)
        in_decoder = layer.startswith("recons/")
        if layer == "classes":
            kind = {"weights": "W", "biases": "b"}[kind]
        kind = _KINDS.get(kind, kind)
        like = [
            other for other in named
            if other.rsplit("/", 1)[1] == name.rsplit("/", 1)[1]
            and other.startswith("recons/") == in_decoder and not other.startswith("classes/")
        ]  # fmt: skip
        given = [
            value for each, value in groups["Generator" if in_decoder else "CapsNet"] if each.split("/")[-1] == kind
        ]
        place = 0 if layer == "classes" else like.index(name)
        if place >= len(given):
            raise ValueError(f"The file has {len(given)} weights called {kind}; {name} is number {place + 1}.")
        value = given[place]
        if kind == "W" and value.ndim == 4:  # [out, in, atoms_in, atoms]
            value = value.transpose(1, 2, 0, 3).reshape(*value.shape[1:3], -1)
        if kind == "b" and value.ndim == 3:
            value = value[..., 0]
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name} should be numbers {list(variable.shape)}. Received: {list(value.shape)}")
        if not np.isfinite(value).all():
            raise ValueError(f"{name} should be finite numbers. Received NaN or infinite ones.")
        values[name] = value
    if (received := sum(map(len, groups.values()))) > len(values):
        raise ValueError(f"The file should have the {len(values)} weights of the network. Received: {received}")
    for name, value in values.items():
        named[name].assign(value)


def convert(path: Path, folder: Path, dataset: str) -> str:
    """Writes the checkpoint and its config; returns the checkpoint's prefix."""
    preset, image_shape, class_names, num_targets = NETWORKS[dataset]
    groups = read(path)
    hparams = HParams(remake=bool(groups["Generator"])).override(PRESETS[preset])
    model, optimizer = make_model("efficient", image_shape, len(class_names), hparams), make_optimizer(hparams)
    fill(model, groups)
    optimizer.build(model.trainable_variables)
    train = folder / "train"
    if config.read(train) is not None:
        raise ValueError(f"{train} has a run already. Give another folder.")
    train.mkdir(parents=True, exist_ok=True)
    spec = config.NetworkSpec("efficient", hparams, "norb" if dataset == "norb" else "mnist", num_targets)
    config.write(train, config.make(spec, image_shape, class_names))
    return checkpoints.save(train, 0, model, optimizer)


def main(arguments: list[str]) -> int:
    """Converts the file that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="the .h5 file")
    parser.add_argument("folder", type=Path, help="a new run's folder")
    parser.add_argument("--dataset", choices=NETWORKS, required=True)
    flags = parser.parse_args(arguments)
    try:
        print(convert(flags.weights, flags.folder, flags.dataset))
    except (ValueError, OSError) as error:
        print(f"convert_efficient: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
