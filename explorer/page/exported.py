"""Writes the page as a file that holds a network, its decoder and test images and needs no server.

The HTML, CSS and JavaScript are those of the served page, but `local.js` and a worker replace `main.js` and
`server.js`. Browsers neither load modules nor fetch data from `file:`. The modules are therefore joined into one plain
script for the page and one for the worker, and all data are text in a script. Inference is 200 lines of JavaScript on
typed arrays. onnxruntime-web would add 11 to 25 MB of WebAssembly, which no browser loads from `file:`, and the network
answers within tens of milliseconds without it. Weights that are exact in float16, such as most of those in
`pretrained/`, are stored as float16, and all others as float32: rounding them would change a length by more than 1e-4.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from explorer.page.descriptions import Weights, base64_text, describe
from explorer.page.inference import facts
from explorer.page.strokes import BOXES
from input_data import Split
from input_data.formats.files import atomic_write
from runner.evaluation import hits, top_labels
from runner.flags import UserError
from runner.loader import Trained

HERE = Path(__file__).parent
EXAMPLES = 200  # test images in the file
SEARCHED = 2000  # test images in which wrong answers are searched for
WRONG = 20  # wrong answers among the examples, if there are so many
LARGEST = 64 * 2**20  # bytes of a picture to upload
LARGEST_SIDE = 600  # pixels to which it is reduced
PAGE = ("tools", "state", "pictures", "charts", "pad", "warp", "answer", "capsule", "moves", "routing", "page", "local")
WORKER = ("network", "efficient", "strokes", "upload", "worker")
# The page can request nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'self' file: blob:; worker-src blob:; "
    "style-src 'unsafe-inline' 'self' file:; img-src data: blob:"
)


def export_page(trained: Trained, split: Split, path: Path, compared: Trained | None = None) -> str:
    """Writes the page as one `.html` file, or else as a folder with an `index.html`.

    Args:
        trained: the network and its facts.
        split: the examples to choose from; the first ones, and some that the network gets wrong, go into the page.
        path: the file or folder, which is replaced if it is such a page already.
        compared: see `explorer.page.inference.Inspector`.

    Returns:
        A line that says what was written.

    Raises:
        UserError: the page cannot run this kind of network, or the folder holds something else.
    """
    data = f"globalThis.exportedNetwork = {_as_script(content(trained, split, compared))};\n"
    page, style = bundle(PAGE), (HERE / "page.css").read_text(encoding="utf-8")
    html = (HERE / "page.html").read_text(encoding="utf-8")
    html = html.replace("<head>", f'<head>\n  <meta http-equiv="Content-Security-Policy" content="{POLICY}">')
    style_link, script_link = (
        '<link rel="stylesheet" href="/page.css">',
        '<script type="module" src="/main.js"></script>',
    )
    if path.suffix.lower() in (".html", ".htm"):
        html = html.replace(style_link, f"<style>\n{style}</style>")
        html = html.replace(script_link, f"<script>\n{data}</script>\n  <script>\n{page}</script>")
        files = {path: html}
    else:
        if path.exists() and not (path.is_dir() and ((path / "index.html").exists() or not any(path.iterdir()))):
            raise UserError(f"{path} exists and is not a page. Give the name of a new folder, or a file NAME.html.")
        path.mkdir(parents=True, exist_ok=True)
        html = html.replace(style_link, '<link rel="stylesheet" href="page.css">')
        html = html.replace(script_link, '<script src="network.js"></script>\n  <script src="page.js"></script>')
        files = {path / "network.js": data, path / "page.js": page, path / "page.css": style, path / "index.html": html}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(*files) as drafts:
        for draft, text in zip(drafts, files.values(), strict=True):
            draft.write_text(text, encoding="utf-8")
    start = path if path in files else path / "index.html"
    size = sum(file.stat().st_size for file in files) / 2**20
    return f"{start} ({size:.1f} MB) shows the network in any browser, without a server: open it with a double click."


def content(trained: Trained, split: Split, compared: Trained | None = None) -> dict[str, Any]:
    """All that the page needs, ready for JSON: facts, networks, weights, images, labels, numbers of wrong answers."""
    page_facts = facts(trained, split, compared)
    weights = Weights()
    networks = [network and describe(network, weights) for network in (trained, compared)]
    indices, wrong = _choose(trained, split)
    batch = split.batch(indices, np.zeros((len(indices), split.noise)))
    digits = batch["reconstruction_targets"] if trained.num_targets == 2 else batch["images"]
    unit = _unit(digits)
    return {
        "facts": page_facts
        | {
            "examples": len(indices),
            "uploads": page_facts["drawing"],  # `upload.js` prepares only digits
            "largest": LARGEST,
            "largestSide": LARGEST_SIDE,
            "box": BOXES[trained.num_targets],
        },
        "network": networks[0],
        "compared": networks[1],
        "weights": weights.as_text(),
        "images": base64_text((np.round(digits * unit).astype(np.uint8) if unit else digits.astype("<f4")).tobytes()),
        "kind": "uint8" if unit else "float32",
        "unit": unit or 255,
        "labels": batch["labels"].tolist(),
        "wrong": wrong,
        "worker": bundle(WORKER),
    }


def _unit(pixels: np.ndarray) -> int | None:
    """The divisor that made these pixels from bytes: 255, or 256 for Efficient-CapsNet; None if they are not bytes."""
    if pixels.min() < 0 or pixels.max() > 1:
        return None
    return next((unit for unit in (255, 256) if np.abs(pixels * unit - np.round(pixels * unit)).max() < 1e-3), None)


def _choose(trained: Trained, split: Split) -> tuple[np.ndarray, list[int]]:
    """Indices of the examples for the page, and the positions among them of those that the network gets wrong."""
    indices = np.arange(min(len(split), SEARCHED))
    right = np.zeros(len(indices), bool)
    for start in range(0, len(indices), 100):
        part = indices[start : start + 100]
        batch = split.batch(part, np.zeros((len(part), split.noise)))
        logits = trained.model.predict_on_batch(batch["images"])["logits"]
        right[part] = hits(batch["labels"], top_labels(logits, trained.num_targets)).all(axis=1)
    count = min(EXAMPLES, len(indices))
    late_wrong = np.flatnonzero(~right[count - WRONG :])[:WRONG] + count - WRONG if count == EXAMPLES else []
    chosen = np.concatenate([indices[: count - len(late_wrong)], np.asarray(late_wrong, int)])
    return chosen, np.flatnonzero(~right[chosen]).tolist()


def _as_script(value: Any) -> str:
    """JSON that may stand in a script of an HTML page: no text in it can end the script."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


def bundle(names: tuple[str, ...]) -> str:
    """Modules of the page as one plain script: each module after those that it imports, in one scope."""
    parts = []
    for name in names:
        text = (HERE / f"{name}.js").read_text(encoding="utf-8")
        imported = re.findall(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', text, flags=re.MULTILINE)
        assert set(imported) <= set(names[: len(parts)]), f"{name}.js imports what does not come before it"
        text = re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE)
        parts.append(re.sub(r"^export ", "", text, flags=re.MULTILINE))
    return '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
