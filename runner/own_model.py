"""Loads a network of the user's own, which `--model=FILE.py:CLASS` names.

The class is a subclass of `models.network.Classifier`, or makes any Keras model from images to logits. It is called
as CLASS(image_shape, num_classes), or with `hparams` too if it takes them.
"""

import hashlib
import importlib.util
import inspect
import re
import sys
from collections import Counter
from pathlib import Path

import keras

from models.hparams import HParams
from models.network import Classifier
from runner.flags import UserError


def is_own(model: str) -> bool:
    """Whether `--model` names a network that is not in the repository."""
    return ".py:" in model


def locate(model: str) -> tuple[str, str]:
    """The name with the file's absolute path, as config.json keeps it, and the file's SHA-256."""
    name, _, kind = model.rpartition(":")
    path = Path(name).expanduser().resolve()
    try:
        return f"{path}:{kind}", hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"--model: {path} cannot be read ({error.strerror}). Give --model=FILE.py:CLASS.") from None


def make(model: str, image_shape: tuple[int, ...], num_classes: int, hparams: HParams) -> Classifier:
    """The network with fresh weights."""
    where, _, kind = locate(model)[0].rpartition(":")
    folder, name = str(Path(where).parent), f"own_model_{Path(where).stem}"
    if folder not in sys.path:
        sys.path.append(folder)  # the file may import others in its folder
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, where)
        assert spec and spec.loader
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)  # an error in it is the user's to see, with its traceback
    make_network = getattr(sys.modules[name], kind, None)
    if not callable(make_network):
        raise UserError(f"--model: {where} has no class {kind}.")
    takes_hparams = "hparams" in inspect.signature(make_network).parameters
    network = make_network(image_shape, num_classes, **({"hparams": hparams} if takes_hparams else {}))
    if not isinstance(network, Classifier):
        return OwnNetwork(network, kind, image_shape, num_classes, hparams)
    network.given_hparams = hparams  # a routing of the user's own cannot be described by hparams
    if type(network).named_variables is Classifier.named_variables:
        network.named_variables = lambda: variables_by_path(network)  # type: ignore[method-assign]
    return network


def variables_by_path(network: keras.Model) -> dict:
    """Weights by their paths in Keras, in which the numbers that Keras appends to names count within this network."""
    local: dict[str, str] = {}
    used: Counter[str] = Counter()
    named = {}
    for variable in network.weights:
        *parts, last = variable.path.split("/")
        for part in parts:
            if part not in local:
                base = re.sub(r"_\d+$", "", part)
                local[part] = f"{base}_{used[base]}" if used[base] else base
                used[base] += 1
        named["/".join([*(local[part] for part in parts), last])] = variable
    if len(named) < len(network.weights):
        raise UserError(f"Give the layers of {network.name} different names: two weights have the same path.")
    return named


class OwnNetwork(Classifier):
    """A Keras model from images to logits in the form that the runner trains; its loss is that of the hparams."""

    def __init__(self, network: keras.Model, kind: str, image_shape, num_classes: int, hparams: HParams):
        images = keras.Input(image_shape, name="images")
        logits = network(images)
        if (shape := getattr(logits, "shape", type(logits).__name__)) != (None, num_classes):
            raise UserError(f"--model: {kind} should give logits [batch, {num_classes}]. Received: {shape}")
        config = {"image_shape": tuple(image_shape), "num_classes": num_classes, "loss": hparams.loss_type,
                  "reconstruction_weight": hparams.reconstruction_weight, "name": kind.lower()}  # fmt: skip
        super().__init__(images, {"logits": keras.ops.cast(logits, "float32")}, config)
        self.network, self.given_hparams = network, hparams

    def named_variables(self):
        return variables_by_path(self.network)
