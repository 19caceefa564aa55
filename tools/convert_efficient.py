"""Converts weights released by the authors of Efficient-CapsNet (Keras 2, `.h5`) to the checkpoint of a run.

    python -m tools.convert_efficient efficient_capsnet_MNIST.h5 S --dataset=mnist

The result is S/train/model.ckpt-0. The program needs h5py.

The file was written by `save_weights`, or by `save`, which has the same content under `model_weights`. Its attribute
`layer_names` lists groups, and the attribute `weight_names` of a group lists its weights, the trainable ones first. The
network is the group CapsNet or Efficient_CapsNet, or else all layers; the decoder is the group Generator.
"""

import argparse
import sys
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
Weight = tuple[str, np.ndarray]  # a name and its values


def read(path: Path) -> dict[str, list[Weight]]:
    """The weights of the network (CapsNet) and of its decoder (Generator), with their names, in the file's order.

    Raises:
        UserError: the file is not of this kind.
    """
    import h5py

    def names(group: Any, attribute: str) -> list[str]:
        """The text in an attribute, or in attribute0, attribute1, … into which Keras 2 splits a long one."""
        pieces = sorted(
            (each for each in group.attrs if each.rstrip("0123456789") == attribute), key=lambda x: (len(x), x)
        )
        return [
            name.decode() if isinstance(name, bytes) else str(name) for each in pieces for name in group.attrs[each]
        ]

    def weights(root: Any, layers: list[str]) -> list[Weight]:
        pairs = [(layer, name) for layer in layers for name in names(root[layer], "weight_names")]
        return [(name.split(":")[0], np.asarray(root[layer][name], np.float32)) for layer, name in pairs]

    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            layers = names(root, "layer_names")
            network = [name for name in layers if name in ("CapsNet", "Efficient_CapsNet")]
            groups = {
                "CapsNet": weights(root, network or [name for name in layers if name != "Generator"]),
                "Generator": weights(root, [name for name in layers if name == "Generator"]),
            }
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a file of weights: {error}") from None
    if not groups["CapsNet"]:
        raise UserError(
            f"{path} has no weights in the form of Keras 2, with layer_names and weight_names. "
            "Give a .h5 file of Efficient-CapsNet's authors."
        )
    return groups


def fill(model, groups: dict[str, list[Weight]]) -> None:
    """Sets the weights of a network, or none if one does not fit. Weights of one kind come in the order of the layers.

    Raises:
        UserError: the weights are of another network.
    """
    named, values, used = model.named_variables(), {}, set()
    for name, variable in named.items():
        layer, kind = name.rsplit("/", 1)
        group = "Generator" if layer.startswith("recons/") else "CapsNet"
        kinds = {"weights": "W", "biases": "b"} if layer == "classes" else {"weights": "kernel", "biases": "bias"}
        kind = kinds.get(kind, kind)
        given = [i for i, (each, _) in enumerate(groups[group]) if each.split("/")[-1] == kind]
        place = next((i for i in given if (group, i) not in used), None)
        if place is None:
            raise UserError(f"The file has {len(given)} weights called {kind}, too few for {name}.")
        used.add((group, place))
        value = groups[group][place][1]
        if kind == "W" and value.ndim == 4:  # [out, in, atoms_in, atoms]
            value = value.transpose(1, 2, 0, 3).reshape(*value.shape[1:3], -1)  # [in, atoms_in, out·atoms]
        if kind == "b" and value.ndim == 3:
            value = value[..., 0]
        if value.shape != tuple(variable.shape):
            raise UserError(f"{name} should be numbers {list(variable.shape)}. Received: {list(value.shape)}")
        if not np.isfinite(value).all():
            raise UserError(f"{name} should be finite numbers. Received NaN or infinite ones.")
        values[name] = value
    if (received := sum(map(len, groups.values()))) > len(values):
        raise UserError(f"The file should have the {len(values)} weights of the network. Received: {received}")
    for name, value in values.items():
        named[name].assign(value)


def convert(path: Path, folder: Path, dataset: str) -> str:
    """Writes the checkpoint and its config; returns the checkpoint's prefix."""
    from models import make_model
    from models.hparams import PRESETS, HParams
    from models.optimizer import make_optimizer
    from runner import checkpoints, config

    preset, image_shape, class_names, num_targets = NETWORKS[dataset]
    groups = read(path)
    hparams = HParams(remake=bool(groups["Generator"])).override(PRESETS[preset])
    model, optimizer = make_model("efficient", image_shape, len(class_names), hparams), make_optimizer(hparams)
    fill(model, groups)
    optimizer.build(model.trainable_variables)
    train = folder / "train"
    if config.read(train) is not None:
        raise UserError(f"{train} has a run already. Give another folder.")
    train.mkdir(parents=True, exist_ok=True)
    flags = {"model": "efficient", "dataset": "norb" if dataset == "norb" else "mnist", "num_targets": num_targets}
    config.write(train, config.NetworkConfig(flags, hparams, image_shape, class_names))
    return checkpoints.save(train, 0, model, optimizer)


def main(arguments: list[str]) -> int:
    """Converts the file that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools.convert_efficient", description="Converts Efficient-CapsNet's released weights to a checkpoint."
    )
    parser.add_argument("weights", type=Path, help="the .h5 file")
    parser.add_argument("folder", type=Path, help="a new run's folder")
    parser.add_argument("--dataset", choices=NETWORKS, required=True)
    flags = parser.parse_args(arguments)

    def job() -> int:
        use_tensorflow()
        print(convert(flags.weights, flags.folder, flags.dataset))
        return 0

    return exit_code("tools.convert_efficient", job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
