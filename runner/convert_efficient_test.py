"""A file in the form of the authors' `.h5` becomes a run's checkpoint with the same weights."""

import h5py
import numpy as np
import pytest

from models import make_model
from models.hparams import HParams
from runner import convert_efficient
from runner.loader import load


def write(path, model):
    """The network's weights as Keras 2 saved them: the statistics of normalisation after all others."""
    named = {name: variable.numpy() for name, variable in model.named_variables().items()}
    ordered = sorted(named, key=lambda name: "moving" in name)
    with h5py.File(path, "w") as file:
        for group, chosen in (("CapsNet", False), ("Generator", True)):
            names = []
            file.create_group(group)
            for name in (name for name in ordered if name.startswith("recons/") == chosen):
                layer, kind = name.rsplit("/", 1)
                value = named[name]
                if layer == "classes":
                    kind = {"weights": "W", "biases": "b"}[kind]
                    value = value.reshape(16, 8, 10, 16).transpose(2, 0, 1, 3) if kind == "W" else value[..., None]
                names.append(f"{layer}/{ {'weights': 'kernel', 'biases': 'bias'}.get(kind, kind) }:0")
                file[group][names[-1]] = value
            file[group].attrs["weight_names"] = [name.encode() for name in names]


@pytest.fixture(scope="module")
def model():
    made = make_model("efficient", (28, 28, 1), 10, HParams())
    random = np.random.RandomState(3)
    for variable in made.named_variables().values():
        variable.assign(random.uniform(0.1, 1.0, variable.shape))
    return made


def test_the_checkpoint_has_the_files_weights(model, tmp_path, capsys):
    write(tmp_path / "w.h5", model)
    assert convert_efficient.main([str(tmp_path / "w.h5"), str(tmp_path / "run"), "--dataset=mnist"]) == 0
    trained = load(capsys.readouterr().out.split()[-1])
    for name, variable in trained.model.named_variables().items():
        np.testing.assert_array_equal(variable, model.named_variables()[name], err_msg=name)
    assert trained.model.hparams.preparation == "efficient" and trained.step == 0


def test_what_does_not_fit_gets_a_sentence_and_leaves_nothing(model, tmp_path, capsys):
    write(tmp_path / "w.h5", model)
    (tmp_path / "text.h5").write_text("no weights")
    for name, dataset, words in (("w.h5", "norb", "should be"), ("text.h5", "mnist", "no file of weights"),
                                 ("none.h5", "mnist", "no file of weights")):  # fmt: skip
        assert convert_efficient.main([str(tmp_path / name), str(tmp_path / "run"), f"--dataset={dataset}"]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
