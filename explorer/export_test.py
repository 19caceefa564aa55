"""`--export`: each format gives the live network's numbers, in its own runtime; bad exports do not stay."""

import json
import re
import sys
import zipfile

import keras
import numpy as np
import pytest

from explorer import export as exporting
from explorer.export import FORMATS, export
from models import make_model
from models.hparams import HParams
from runner.config import NetworkConfig
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
# Converters have a rule for each operation, and thus meet networks of all kinds; Keras and TensorFlow keep what they
# have. EM routing is in the matrix capsules too.
EXPORTS = [("leaky", name) for name in ("net.onnx", "net.tflite", "net.keras", "net")]
EXPORTS += [("efficient", "net.onnx"), ("efficient", "net.tflite"), ("em", "net.tflite"), ("matrix", "net.onnx")]
EXPORTS += [("baseline", "net.onnx")]


def fresh(network, scale=1.0):
    """A network with random weights as if trained; `scale` makes its capsules longer than fresh ones."""
    name, shape, hparams = NETWORKS[network]
    model = make_model(name, shape, 3, HParams().override(hparams))
    for variable in model.trainable_variables:
        variable.assign(variable * scale)
    return Trained(model, 7, NetworkConfig({"dataset": "folder"}, class_names=("cat", "dog", "ä")))


@pytest.mark.parametrize(("network", "name"), EXPORTS)
def test_an_export_gives_the_networks_numbers(network, name, tmp_path):
    trained = fresh(network, 1.0 if network == "baseline" else 2.0)
    path = tmp_path / "new" / name
    said = export(trained, path)
    form = FORMATS[path.suffix]
    assert said.startswith(form.name) and name in said
    assert [path.name for path in path.parent.iterdir()] == [name]
    batches = [np.float32(np.random.RandomState(size).rand(size, *trained.model.image_shape)) for size in (1, 5)]
    for images, outputs in zip(batches, form.run(path, batches), strict=True):
        expected = trained.model(images)
        assert set(outputs) == expected.keys() - {"lengths", "activations"}
        for key, values in outputs.items():
            np.testing.assert_allclose(np.asarray(values), expected[key], atol=1e-4)
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


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_saved_model_is_replaced_only_by_one_that_is_right_and_other_folders_are_not(tmp_path, monkeypatch):
    trained = fresh("one iteration")
    export(trained, tmp_path / "net")
    before = contents(tmp_path)
    trained.model.conv1.bias.assign(np.full(4, 0.1))
    export(trained, tmp_path / "net")
    right = contents(tmp_path)
    assert right != before and [path.name for path in tmp_path.iterdir()] == ["net"]

    def write_another(_):
        other = keras.Input(trained.model.image_shape, name="images")
        outputs = trained.model.call(other)
        return keras.Model(other, {"logits": outputs["logits"] + 0.001, "capsules": outputs["capsules"]})

    with monkeypatch.context() as patch, pytest.raises(ValueError, match="by 0.001, where 0.0001 is allowed"):
        patch.setattr(exporting, "functional", write_another)
        export(trained, tmp_path / "net")
    trained.model.conv1.bias.assign(np.full(4, np.nan))
    with pytest.raises(ValueError, match="differs from the network by nan"):
        export(trained, tmp_path / "net.keras")
    assert contents(tmp_path) == right
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match="exists and is not a SavedModel"):
            export(trained, tmp_path / name)
    assert (tmp_path / "mine" / "letter.txt").exists() and (tmp_path / "file").read_text() == "dear"


def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"onnx.*pip install '.\[onnx\]'"):
        export(fresh("one iteration"), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
