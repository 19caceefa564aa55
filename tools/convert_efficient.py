"""Converts weights released by the authors of Efficient-CapsNet (Keras 2, `.h5`) to the checkpoint of a run.

    python -m tools.convert_efficient efficient_capsnet_MNIST.h5 S --dataset=mnist

The result is S/train/model.ckpt-0. It needs h5py. The file was written by `save_weights`, or by `save`, which has the
same content under `model_weights`. The decoder is the group Generator, and the network all others.
"""

import argparse
import math
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from runner.flags import UserError, exit_code
from runner.startup import use_tensorflow

NETWORKS: dict[str, tuple] = {  # image shape and class names by data set
    "mnist": ((28, 28, 1), tuple("0123456789")),
    "multimnist": ((36, 36, 1), tuple("0123456789")),
    "norb": ((48, 48, 2), ("animal", "human", "airplane", "truck", "car")),
}


def read(path: Path) -> dict[tuple[bool, str], list[np.ndarray]]:
    """The weights in a file by (whether the decoder has them, the last part of their names), in the file's order."""
    import h5py

    found: dict[tuple[bool, str], list[np.ndarray]] = defaultdict(list)
    try:
        with h5py.File(path, "r") as file:
            root: Any = file.get("model_weights", file)
            for layer in map(os.fsdecode, root.attrs["layer_names"]):
                for name in map(os.fsdecode, root[layer].attrs["weight_names"]):
                    kind = name.split("/")[-1].split(":")[0]
                    found[layer == "Generator", kind].append(np.asarray(root[layer][name], np.float32))
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a file of weights of Keras 2: {error}") from None
    return found


def fill(model, weights: dict[tuple[bool, str], list[np.ndarray]]) -> None:
    """Sets the weights of a model; those of one kind come in the order of the layers."""
    for name, variable in model.named_variables().items():
        layer, kind = name.rsplit("/", 1)
        kinds = ("W", "b") if layer == "classes" else ("kernel", "bias")
        theirs = dict(zip(("weights", "biases"), kinds, strict=True)).get(kind, kind)
        left, shape = weights[layer.startswith("recons/"), theirs], tuple(variable.shape)
        value = left.pop(0) if left else np.zeros(0)
        if theirs == "W" and value.ndim == 4:
            value = value.transpose(1, 2, 0, 3)  # [out, in, atoms_in, atoms] → [in, atoms_in, out, atoms]
        if layer == "classes" and value.size == math.prod(shape):
            value = value.reshape(shape)  # [in, atoms_in, out, atoms] → [in, atoms_in, out·atoms]; [out, atoms, 1] too
        if value.shape != shape or not np.isfinite(value).all():
            raise UserError(f"{name} should be finite numbers {list(shape)}. Received: {list(value.shape)}")
        variable.assign(value)
    if rest := sum(map(len, weights.values())):
        raise UserError(f"The file has {rest} weights too many.")


def convert(weights: Path, folder: Path, dataset: str) -> int:
    """Writes the checkpoint and its config, prints the checkpoint's prefix and returns 0."""
    use_tensorflow()
    from models import make_model
    from models.hparams import PRESETS, HParams
    from models.optimizer import make_optimizer
    from runner import checkpoints, config

    image_shape, class_names = NETWORKS[dataset]
    theirs, train = read(weights), folder / "train"
    hparams = HParams(remake=any(decoder for decoder, _ in theirs)).override(PRESETS[f"efficient_{dataset}"])
    model, optimizer = make_model("efficient", image_shape, len(class_names), hparams), make_optimizer(hparams)
    fill(model, theirs)
    optimizer.build(model.trainable_variables)
    train.mkdir(parents=True)  # a run that is there stays as it is
    flags = {"model": "efficient", "dataset": dataset.removeprefix("multi"), "num_targets": 1 + ("multi" in dataset)}
    config.write(train, config.NetworkConfig(flags, hparams, image_shape, class_names))
    print(checkpoints.save(train, 0, model, optimizer))
    return 0


def main(arguments: list[str]) -> int:
    """Converts the file that the arguments name."""
    parser = argparse.ArgumentParser(prog="tools.convert_efficient", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("weights", type=Path, help="the .h5 file")
    parser.add_argument("folder", type=Path, help="a new run's folder")
    parser.add_argument("--dataset", choices=NETWORKS, required=True)
    return exit_code("tools.convert_efficient", lambda: convert(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
