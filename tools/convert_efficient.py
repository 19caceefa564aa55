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
    """The weights of the network (CapsNet) and of its decoder (Generator), with their names, in the file's order."""
    import h5py

    def names(group: Any, attribute: str) -> list[str]:
        """The text in an attribute, or in attribute0, attribute1, … into which Keras 2 splits a long one."""
        pieces = [each for each in group.attrs if each.rstrip("0123456789") == attribute]
        found = [name for each in sorted(pieces, key=lambda each: (len(each), each)) for name in group.attrs[each]]
        return [name.decode() if isinstance(name, bytes) else str(name) for name in found]

    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            layers = [name for name in names(root, "layer_names") if name != "Generator"]
            network = [name for name in layers if name in ("CapsNet", "Efficient_CapsNet")] or layers
            return {
                kind: [(name.split(":")[0], np.asarray(root[layer][name], np.float32))
                       for layer in groups for name in names(root[layer], "weight_names")]
                for kind, groups in (("CapsNet", network), ("Generator", ["Generator"] if "Generator" in root else []))
            }  # fmt: skip
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a file of weights of Keras 2: {error}") from None


def fill(model, groups: dict[str, list[Weight]]) -> None:
    """Sets the weights of a network, or none if one does not fit; those of one kind come in the order of the layers."""
    left = {group: list(weights) for group, weights in groups.items()}
    values = {}
    for name, variable in model.named_variables().items():
        layer, kind = name.rsplit("/", 1)
        group = "Generator" if layer.startswith("recons/") else "CapsNet"
        kinds = {"weights": "W", "biases": "b"} if layer == "classes" else {"weights": "kernel", "biases": "bias"}
        place = next(
            (i for i, (each, _) in enumerate(left[group]) if each.split("/")[-1] == kinds.get(kind, kind)), None
        )
        if place is None:
            raise UserError(f"The file has no weights for {name}.")
        value = left[group].pop(place)[1]
        if layer == "classes":  # [out, in, atoms_in, atoms] → [in, atoms_in, out·atoms]; [out, atoms, 1] → [out, atoms]
            value = (
                value.transpose(1, 2, 0, 3).reshape(*value.shape[1:3], -1) if value.ndim == 4 else np.squeeze(value, -1)
            )
        if value.shape != tuple(variable.shape) or not np.isfinite(value).all():
            raise UserError(f"{name} should be finite numbers {list(variable.shape)}. Received: {list(value.shape)}")
        values[name] = value
    if rest := sum(map(len, left.values())):
        raise UserError(f"The file has {rest} weights too many.")
    for name, value in values.items():
        model.named_variables()[name].assign(value)


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
