"""A file in the form of the authors' `.h5` becomes a run's checkpoint with the same weights."""

from itertools import chain

import h5py
import numpy as np
import pytest

from models import make_model
from models.hparams import HParams
from runner.loader import load
from tools import convert_efficient


def in_keras_2(model):
    """The network's weights with the names and shapes of Keras 2: of each layer in turn, a list."""
    layers = {}
    for name, variable in model.named_variables().items():
        layer, kind = name.rsplit("/", 1)
        value = variable.numpy()
        kind = {"weights": "kernel", "biases": "bias"}.get(kind, kind)
        if layer == "classes":
            kind = {"kernel": "W", "bias": "b"}[kind]
            value = value.reshape(16, 8, 10, 16).transpose(2, 0, 1, 3) if kind == "W" else value[..., None]
        layers.setdefault(layer, []).append((f"{layer}/{kind}:0", value))
    return layers


def write(path, model, whole=False, nested="Efficient_CapsNet"):
    """A file of Keras 2, as its `save` (`whole`) or `save_weights` writes it.

    `nested` is the network's name in the model that trained it; "": it is saved alone, without its decoder.
    """
    layers = in_keras_2(model)
    decoder = [weight for layer, weights in layers.items() if layer.startswith("recons/") for weight in weights]
    network = {layer: weights for layer, weights in layers.items() if not layer.startswith("recons/")}
    if nested:
        groups = {nested: list(chain(*network.values())), "mask": [], "Generator": decoder}
    else:
        groups = network
    groups = {"input_1": []} | groups
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        names = np.array([name.encode() for name in groups], "S")
        root.attrs["layer_names"] = names
        for layer, weights in groups.items():  # the slashes in names make groups in the group
            group = root.create_group(layer)
            ordered = sorted(weights, key=lambda weight: "moving" in weight[0])  # what is not trained comes last
            group.attrs["weight_names"] = np.array([name.encode() for name, _ in ordered], "S")
            for name, value in ordered:
                group.create_dataset(name, data=value)
        if whole:
            file.attrs["model_config"] = b"{}"
            file.create_group("optimizer_weights")


@pytest.fixture(scope="module")
def model():
    made = make_model("efficient", (28, 28, 1), 10, HParams())
    random = np.random.RandomState(3)
    for variable in made.named_variables().values():
        variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return made


@pytest.mark.parametrize("form", [{"whole": True, "nested": "CapsNet"}, {"nested": ""}], ids=str)
def test_the_checkpoint_has_the_files_weights(form, model, tmp_path, capsys):
    write(tmp_path / "w.h5", model, **form)
    assert convert_efficient.main([str(tmp_path / "w.h5"), str(tmp_path / "run"), "--dataset=mnist"]) == 0
    trained = load(capsys.readouterr().out.split()[-1])
    named = trained.model.named_variables()
    for name, variable in named.items():
        np.testing.assert_array_equal(variable, model.named_variables()[name], err_msg=name)
    assert len(named) == len(model.named_variables()) or form.get("nested") == ""
    assert trained.model.hparams.preparation == "efficient" and trained.step == 0


def lose(file):
    del file["Generator/recons/recons_1/kernel:0"]


def spoil(file):
    file["Efficient_CapsNet/conv1/bias:0"][:] = np.nan


def reshape(file):
    del file["Efficient_CapsNet/conv1/kernel:0"]
    file["Efficient_CapsNet/conv1/kernel:0"] = np.ones((3, 3, 1, 32))


def add(file):
    file["Efficient_CapsNet/conv9/kernel:0"] = np.ones((2, 2))
    names = file["Efficient_CapsNet"].attrs["weight_names"]
    file["Efficient_CapsNet"].attrs["weight_names"] = [*names, b"conv9/kernel:0"]


NOT_OURS = "cannot be read as a file of weights"
FAULTS = {
    lose: NOT_OURS,
    spoil: "conv1/biases should be finite numbers",
    reshape: "conv1/weights should be finite numbers [5, 5, 1, 32]",
    add: "has 1 weights too many",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_gets_a_sentence_and_leaves_nothing(fault, model, tmp_path, capsys):
    words = FAULTS[fault]
    write(tmp_path / "w.h5", model)
    with h5py.File(tmp_path / "w.h5", "a") as file:
        fault(file)
    code = convert_efficient.main([str(tmp_path / "w.h5"), str(tmp_path / "run"), "--dataset=mnist"])
    error = capsys.readouterr().err
    assert code == 1 and words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_of_another_kind_is_refused(tmp_path, capsys):
    (tmp_path / "text.h5").write_text("no weights")
    assert convert_efficient.main([str(tmp_path / "text.h5"), str(tmp_path / "run"), "--dataset=norb"]) == 1
    assert NOT_OURS in capsys.readouterr().err and not (tmp_path / "run").exists()
