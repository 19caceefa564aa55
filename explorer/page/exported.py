"""Writes the page as a file that holds a network, its decoder and test images, and needs no server.

Browsers neither load modules nor fetch data from `file:`. The modules are therefore joined into one plain script for
the page and one for the worker, and all data are text in a script. Weights that are exact in float16, such as most of
those in `pretrained/`, are stored as float16, all others as float32: rounding would change lengths by more than 1e-4.
"""

import base64
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from explorer.page.descriptions import describe
from input_data import Split
from input_data.formats.files import atomic_write
from runner.evaluation import hits, top_labels
from runner.flags import UserError
from runner.loader import Trained

HERE = Path(__file__).parent
EXAMPLES = 1000  # test images in the file
LARGEST_DATA = 4 * 2**20  # values of their pixels; fewer images if they are large
TITLE = "<title>Inside a capsule network</title>"  # by which a page is known again
# The page can request nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def export_page(trained: Trained, split: Split, path: Path) -> Path:
    """Writes the page to one `.html` file, or to `index.html` in a folder, and returns the file.

    Args:
        trained: the network and its facts.
        split: the test images.
        path: the file or folder. A file that is there is replaced only if it is such a page.

    Raises:
        UserError: the page cannot run this kind of network, or `path` holds something else.
    """
    file = path if path.suffix.lower() in (".html", ".htm") else path / "index.html"
    ours = file.is_file() and TITLE in file.read_text(encoding="utf-8", errors="replace")[:4000]
    free = not path.exists() or (file != path and path.is_dir() and not any(path.iterdir()))
    if not (ours or free):
        raise UserError(
            f"{path} exists and is not a page of this program. Give the name of a new folder, or a new file NAME.html."
        )
    data = json.dumps(content(trained, split), allow_nan=False)
    data = data.replace("<", "\\u003c")  # so that no text in it can end the script
    style = (HERE / "page.css").read_text(encoding="utf-8")
    html = (HERE / "page.html").read_text(encoding="utf-8")
    html = html.replace("<head>", f'<head>\n  <meta http-equiv="Content-Security-Policy" content="{POLICY}">')
    html = html.replace('<link rel="stylesheet" href="page.css">', f"<style>\n{style}</style>")
    # The scripts come last, so that the browser can show "Loading the network" while it reads the data.
    scripts = f"<script>\nglobalThis.exportedNetwork = {data};\n</script>\n  <script>\n{bundle('page')}</script>"
    html = html.replace('<script src="page.js"></script>', scripts)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as (draft,):
        draft.write_text(html, encoding="utf-8")
    return file


def content(trained: Trained, split: Split) -> dict[str, Any]:
    """All that the page needs, ready for JSON: facts, network, weights, images and labels."""
    arrays = defaultdict[str, list[np.ndarray]](list)
    network = describe(trained.model, arrays)
    images, labels, wrong = _examples(trained, split)
    unit = _unit(images)
    pixels = np.round(images * unit).astype(np.uint8) if unit else images.astype("<f4")
    right = [place for place in range(len(images)) if place not in wrong]
    facts = {
        "network": type(trained.model).__name__,
        "step": trained.step,
        "data": split.info.name,
        "classes": list(trained.config.class_names),
        "targets": trained.config.num_targets,
        **{name: network[name] for name in ("rows", "columns", "depth")},
        "preparation": _preparation(trained),
        "routing": trained.model.places(),
        "examples": len(images),
        "wrong": wrong,
        "atoms": network["classes"]["atoms"],
        "sharpness": network["classes"]["scale"],
        "decoder": bool(network["decoder"]),
        "first": {trained.config.class_names[label]: place for place in reversed(right) for label in labels[place][:1]},
    }
    weights = {kind: b"".join(map(bytes, arrays[kind])) for kind in ("float16", "float32")}
    return {
        "facts": facts,
        "network": json.dumps(network),
        "weights": {kind: base64.b64encode(each).decode() for kind, each in weights.items()},
        "images": base64.b64encode(pixels.tobytes()).decode(),
        "kind": "uint8" if unit else "float32",
        "unit": unit or 255,
        "labels": labels.tolist(),
        "worker": bundle("worker"),
    }


def _preparation(trained: Trained) -> str | None:
    """How `upload.js` turns a picture into an image for the network, as `input_data.prepare` does; None: it cannot."""
    strokes = all(len(name) == 1 for name in trained.config.class_names)  # digits and letters, but not Fashion-MNIST
    mnist = "digits" if strokes else "framed"
    prepared = {"mnist": mnist, "fashion_mnist": "framed", "affnist": "digits", "svhn": "resized", "folder": "resized"}
    return prepared.get(trained.config.dataset)


def _examples(trained: Trained, split: Split) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Test images [n, rows, columns, depth], their labels [n, targets], and the indices of those answered wrong.

    They are the first ones, or spread over the whole split where the user's folders follow one another.
    """
    count = min(len(split), EXAMPLES, max(LARGEST_DATA // int(np.prod(split.info.image_shape)), 1))
    last = len(split) if trained.config.dataset == "folder" else count
    indices = np.linspace(0, last - 1, count).round().astype(int)
    batch = split.batch(indices)
    logits = trained.model.predict(batch["images"], batch_size=100, verbose=0)["logits"]
    right = hits(batch["labels"], top_labels(logits, trained.config.num_targets)).all(axis=1)
    return batch["images"], batch["labels"], np.flatnonzero(~right).tolist()


def _unit(pixels: np.ndarray) -> int | None:
    """The divisor that made these pixels from bytes: 255, or 256 for Efficient-CapsNet; None if they are not bytes."""
    if pixels.min() < 0 or pixels.max() > 1:
        return None
    return next((unit for unit in (255, 256) if np.abs(pixels * unit - np.round(pixels * unit)).max() < 1e-3), None)


def bundle(name: str) -> str:
    """A module of the page and all that it imports as one plain script, each after those that it imports."""
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        text = (HERE / f"{name}.js").read_text(encoding="utf-8")
        for other in re.findall(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', text, flags=re.MULTILINE):
            if other not in parts:
                add(other)
        parts[name] = re.sub(r"^import [^;]*;\n|^export ", "", text, flags=re.MULTILINE)

    add(name)
    return '(() => {\n"use strict";\n' + "\n".join(parts.values()) + "})();\n"
