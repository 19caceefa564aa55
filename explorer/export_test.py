"""`--export`: each format gives the live network's numbers, in its own runtime; bad exports do not stay."""

import json
import re
import sys
import zipfile

import keras
import numpy as np
import pytest

import experiment
from explorer import export as exporting
from explorer.export import FORMATS, export
from models import make_model
from models.hparams import HParams
from runner.loader import Trained

SMALL = "num_prime_capsules=2,conv_channels=4"
NETWORKS = {
    "leaky": ("capsule", (20, 21, 3), f"{SMALL},leaky=true"),
    "one iteration": ("capsule", (20, 20, 2), f"{SMALL},routing=1,remake=false"),
    "efficient": ("efficient", (20, 20, 1), "remake=false"),
    "em": ("capsule", (20, 20, 1), f"{SMALL},routing_type=em,routing=2,remake=false"),
    "matrix": ("matrix", (17, 17, 1), "routing=1"),
    "baseline": ("baseline", (16, 16, 1), ""),
}
# Converters have a rule for each operation, and thus meet every network; Keras and TensorFlow keep what they have.
EXPORTS = [(network, name) for network in NETWORKS for name in ("net.onnx", "net.tflite") if network != "one iteration"]
EXPORTS += [(network, name) for network in ("leaky", "baseline") for name in ("net.keras", "net")]


def fresh(network, scale=1.0):
    """A network with random weights as if trained; `scale` makes its capsules longer than fresh ones."""
    name, shape, hparams = NETWORKS[network]
    model = make_model(name, shape, 3, HParams().override(hparams))
    for variable in model.trainable_variables:
        variable.assign(variable * scale)
    return Trained(model, 7, "folder", 1, ("cat", "dog", "ä"))


@pytest.mark.parametrize(("network", "name"), EXPORTS)
def test_an_export_gives_the_networks_numbers(network, name, tmp_path):
    trained = fresh(network, 1.0 if network == "baseline" else 2.0)
    path = tmp_path / "new" / name
    said = export(trained, path)
    form = FORMATS[path.suffix]
    assert said.startswith(form.name) and name in said
    assert [path.name for path in path.parent.iterdir()] == [name]
    batches = [np.random.RandomState(size).rand(size, *trained.model.image_shape) for size in (1, 5)]
    batches = [batch.astype(np.float32) for batch in batches]
    for images, outputs in zip(batches, form.run(path, batches), strict=True):
        expected = {
            key: values for key, values in trained.model(images).items() if key not in ("lengths", "activations")
        }
        assert sorted(outputs) == sorted(expected)
        for key, values in expected.items():
            np.testing.assert_allclose(np.asarray(outputs[key]), values, atol=1e-4)
        if network != "baseline":
            assert 0.05 < np.asarray(outputs["logits"]).max() < 1, "capsules of some length, or nothing is compared"
    if name == "net.keras":
        check_keras(path)
    if (network, name) == ("leaky", "net.onnx"):
        check_onnx(path)


def check_keras(path):
    """Every class that the file names is one of Keras or of the library, which is all that it needs to load."""
    with zipfile.ZipFile(path) as file:
        modules = set(re.findall(r'"module": "(\w+)', file.read("config.json").decode()))
    assert "keras" in modules and modules <= {"keras", "capsules"}


def check_onnx(path):
    """The file carries names, free batches and the classes, and leaves the choice of a class to its user."""
    import onnx

    model = onnx.load(path)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"images": ["batch", 20, 21, 3], "logits": ["batch", 3], "capsules": ["batch", 3, 16]}
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["class_names"]) == ["cat", "dog", "ä"]
    assert properties["dataset"] == "folder"
    assert not {"ArgMax", "TopK"} & {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("name", ["net.keras", "net"])
def test_an_export_that_differs_is_deleted_and_what_was_there_stays(name, tmp_path, monkeypatch):
    trained = fresh("one iteration")
    export(trained, tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def write_another(_):
        other = keras.Input(trained.model.image_shape, name="images")
        outputs = trained.model.call(other)
        return keras.Model(other, {"logits": outputs["logits"] + 0.001, "capsules": outputs["capsules"]})

    monkeypatch.setattr(exporting, "functional", write_another)
    with pytest.raises(ValueError, match=r"differs from the network by 0.001, where 0.0001 is allowed"):
        export(trained, tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="differs"):
        export(trained, tmp_path / "empty" / name)
    assert not list((tmp_path / "empty").iterdir())


def test_numbers_that_are_none_are_refused(tmp_path):
    trained = fresh("one iteration")
    trained.model.conv1.bias.assign(np.full(4, np.nan))
    with pytest.raises(ValueError, match="differs from the network by nan"):
        export(trained, tmp_path / "net.keras")


def test_a_saved_model_is_replaced_and_other_folders_are_not(tmp_path):
    trained = fresh("one iteration")
    export(trained, tmp_path / "net")
    old = (tmp_path / "net" / "saved_model.pb").stat().st_ino
    export(trained, tmp_path / "net")
    assert (tmp_path / "net" / "saved_model.pb").stat().st_ino != old
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match="exists and is not a SavedModel"):
            export(trained, tmp_path / name)
    assert (tmp_path / "mine" / "letter.txt").exists() and (tmp_path / "file").read_text() == "dear"


def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    for name, module, extra in (
        ("net.onnx", "onnxruntime", "onnx"),
        ("net.tflite", "ai_edge_litert.interpreter", "litert"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ValueError, match=rf"{module}.*pip install '.\[{extra}\]'"):
            export(fresh("one iteration"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_program_exports_a_network(network, tmp_path, capsys):
    checkpoint = "--checkpoint=pretrained:capsnet_mnist_small"
    assert experiment.main([checkpoint, f"--export={tmp_path}/net.keras"]) == 0
    assert f"Keras: {tmp_path}/net.keras. Largest difference" in capsys.readouterr().out
    images = np.random.RandomState(1).rand(4, 28, 28, 1).astype(np.float32)
    (outputs,) = FORMATS[".keras"].run(tmp_path / "net.keras", [images])
    np.testing.assert_allclose(outputs["logits"], network.model(images)["logits"], atol=1e-4)
    (tmp_path / "taken").write_text("a file")
    assert experiment.main([checkpoint, f"--export={tmp_path}/taken/net.keras"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("experiment.py: error:") and "Traceback" not in printed.err
