"""Exports a trained network to the file formats of other programs, and checks each file against the network.

The exported network takes images, float32 [batch, rows, columns, depth], as "images" and gives "logits"
[batch, classes] and, if it has capsules, "capsules" [batch, classes, atoms]. It takes no labels and has no decoder. It
consists only of layers of Keras and of `capsules`.
"""

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from capsules.convolution import convolution_method
from runner.flags import UserError
from runner.loader import Trained

TOLERANCE = 1e-4  # largest difference from the live network, as a share of its largest output if that is above 1


@dataclass(frozen=True)
class Format:
    """A file format: what writes a model, and what runs the file in the format's own runtime."""

    name: str
    write: Callable  # (functional model, path, facts)
    run: Callable  # (path, batches of images) -> the outputs of each batch by name
    extra: str = ""  # the extra of setup.py that it needs, if any


def functional(trained: Trained) -> keras.Model:
    """The network from images to its outputs as a functional model, which shares the weights."""
    outputs = {name: each for name, each in trained.model.output.items() if name not in ("lengths", "activations")}
    return keras.Model(trained.model.inputs[0], outputs, name=trained.model.name)


def _run_keras(path: Path, batches: list[np.ndarray]) -> list[dict]:
    model = keras.models.load_model(path)
    return [model(images) for images in batches]


def _run_saved_model(path: Path, batches: list[np.ndarray]) -> list[dict]:
    import tensorflow as tf

    run = tf.saved_model.load(str(path)).signatures["serving_default"]
    return [run(images=tf.constant(images)) for images in batches]


def _write_onnx(model: keras.Model, path: Path, facts: dict) -> None:
    import onnx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of NumPy, about Keras' patch of tf2onnx
        images = keras.InputSpec(shape=model.input_shape, dtype="float32", name="images")
        model.export(path, format="onnx", verbose=False, input_signature=[images])
    graph = onnx.load(path)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(graph, facts)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _run_onnx(path: Path, batches: list[np.ndarray]) -> list[dict]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, {"images": images}), strict=True)) for images in batches]


def _run_litert(path: Path, batches: list[np.ndarray]) -> list[dict]:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path)).get_signature_runner()
    return [run(images=images) for images in batches]


def _keras_writer(form: str) -> Callable:
    return lambda model, path, facts: model.export(path, format=form, verbose=False)


FORMATS = {
    ".keras": Format("Keras", lambda model, path, facts: model.save(path), _run_keras),
    ".onnx": Format("ONNX", _write_onnx, _run_onnx, "onnx"),
    ".tflite": Format("LiteRT", _keras_writer("litert"), _run_litert, "litert"),
    "": Format("TensorFlow SavedModel", _keras_writer("tf_saved_model"), _run_saved_model),
}


def export(trained: Trained, path: Path) -> str:
    """Writes a network to a file `.keras`, `.onnx` or `.tflite`, or without an ending to a TensorFlow SavedModel.

    The export is written and checked under a temporary name. If it fails, `path` stays as it was.

    Returns:
        A line that says what was written, and how far its outputs are from the live network's.

    Raises:
        UserError: packages are missing, `path` is a folder that holds something else, or the outputs differ from the
            live network's by more than `TOLERANCE`.
    """
    form = FORMATS[path.suffix.lower()]
    ours = path.is_dir() and ((path / "saved_model.pb").exists() or not any(path.iterdir()))
    if not path.suffix and path.exists() and not ours:
        raise UserError(f"{path} exists and is not a SavedModel. Give the name of a new folder.")
    facts = {"class_names": json.dumps(trained.config.class_names), "dataset": trained.config.dataset}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        draft = Path(folder) / f"draft{path.suffix.lower()}"  # Keras asks for small letters
        try:
            with convolution_method("direct"):  # other runtimes get an ordinary convolution
                form.write(functional(trained), draft, facts)
            difference = _difference(form, draft, trained)
        except ImportError as error:
            raise UserError(f"Export to {form.name}: {error}. Do: pip install '.[{form.extra}]'") from None
        if not difference <= TOLERANCE:
            raise UserError(
                f"The {form.name} export differs from the network by {difference:.2g}, where {TOLERANCE:g} is allowed. "
                "It was deleted."
            )
        if ours:
            path.rename(Path(folder) / "old")
        os.replace(draft, path)
    return f"{form.name}: {path}. Largest difference from the network: {difference:.2g}"


def _difference(form: Format, path: Path, trained: Trained) -> float:
    """The largest difference between the outputs of an export and of the network, over batches of random images."""
    random = np.random.default_rng(0)
    batches = [random.random((size, *trained.model.image_shape), np.float32) for size in (1, 3)]
    differences = []
    for images, outputs in zip(batches, form.run(path, batches), strict=True):
        live = trained.model(images)
        for name in {"logits", "capsules"} & live.keys():
            expected = np.asarray(live[name])
            differences.append(np.abs(np.asarray(outputs[name]) - expected).max() / max(1, np.abs(expected).max()))
    return float(np.max(differences))  # keeps a NaN
