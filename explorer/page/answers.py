"""Answers the page's requests: with JSON of what the network computes, or with a sentence that refuses.

`local.js` gives the same answers when the page is a file.
"""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from explorer.page.inference import Inspector
from explorer.page.strokes import BOXES, draw
from explorer.reading import prepare, read_image
from runner.summaries import visible

LARGEST = 8 * 2**20  # bytes of a request
MOST_POINTS = 2000  # of a drawing
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HERE = Path(__file__).parent
FILES = {"/": "page.html"} | {f"/{path.name}": path.name for path in HERE.glob("*.[jc]s*")}


class Refused(Exception):
    """A request that is not answered: its HTTP status, and a sentence for the user."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


class Answers:
    """The answers to the page's requests.

    Args:
        inspector: the network.
    """

    def __init__(self, inspector: Inspector):
        self.inspector = inspector
        self._reading = threading.Lock()  # a large picture takes hundreds of megabytes while it is read: one at a time
        self._routes: dict[tuple[str, str], Callable[[str, bytes], Any]] = {
            ("GET", "/network"): self._network,
            ("GET", "/example"): self._example,
            ("GET", "/wrong"): self._wrong,
            ("POST", "/drawing"): self._drawing,
            ("POST", "/image"): self._image,
            ("POST", "/pixels"): self._pixels,
            ("POST", "/capsule"): self._capsule,
        }

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[str, bytes]:
        """The media type and the content of an answer.

        Raises:
            Refused: there is no such address, or the request is wrong.
        """
        if method == "GET" and path in FILES:
            file = HERE / FILES[path]
            return KINDS[file.suffix], file.read_bytes()
        if (method, path) not in self._routes:
            raise Refused(404, f"There is no {method} {path} on this server.")
        try:
            value = self._routes[method, path](query, body)
        except ValueError as error:  # from the network, the data set or the reader of pictures
            raise Refused(400, str(error)) from None
        return "application/json", json.dumps(value, allow_nan=False).encode()

    def _network(self, query: str, body: bytes) -> dict:
        return self.inspector.facts | {"largest": LARGEST}

    def _example(self, query: str, body: bytes) -> dict:
        index, second = _numbers(query, "index", "second")
        image, labels = self.inspector.example(index, second)
        return self._look(image, {"labels": labels, "notes": []})

    def _wrong(self, query: str, body: bytes) -> dict:
        (after,) = _numbers(query, "after")
        return {"index": self.inspector.next_wrong(after)}

    def _drawing(self, query: str, body: bytes) -> dict:
        strokes = _strokes(_received(body, "strokes"))
        rows, columns, _ = self.inspector.model.image_shape
        box = BOXES[self.inspector.trained.num_targets]
        image, facts = self._prepared(draw(strokes, rows, columns, box)[..., None])
        facts["notes"].insert(0, f"Fitted into {box}×{box} pixels and centred by its mass, like MNIST's digits.")
        return self._look(image, facts)

    def _image(self, query: str, body: bytes) -> dict:
        with self._reading:
            prepared = self._prepared(read_image(body))
        return self._look(*prepared)

    def _pixels(self, query: str, body: bytes) -> dict:
        shape = self.inspector.model.image_shape
        pixels = _floats(_received(body, "pixels"))
        if pixels.shape != (np.prod(shape),) or np.abs(pixels).max() > 1000:
            raise Refused(400, f"pixels must be a list of {np.prod(shape)} numbers from -1000 to 1000.")
        return self._look(pixels.astype(np.float32).reshape(shape), {"notes": []})

    def _capsule(self, query: str, body: bytes) -> dict:
        model = self.inspector.model
        if model.decoder is None:
            raise Refused(400, "This network has no decoder.")
        label, capsule = _received(body, "class"), _floats(_received(body, "capsule"))
        if type(label) is not int or not 0 <= label < model.num_classes:
            raise Refused(400, f"class must be a whole number from 0 to {model.num_classes - 1}.")
        if capsule.shape != (self.inspector.atoms,) or np.abs(capsule).max() > 10:
            raise Refused(400, f"capsule must be a list of {self.inspector.atoms} numbers from -10 to 10.")
        return {"drawn": picture(self.inspector.draw(label, capsule))}

    def _prepared(self, image: np.ndarray) -> tuple[np.ndarray, dict]:
        prepared, notes = prepare(image, self.inspector.trained)
        return prepared, {"notes": list(notes)}

    def _look(self, image: np.ndarray, facts: dict) -> dict:
        looked = self.inspector.look(image)
        drawn = [picture(each) for each in looked.pop("drawn", [])]
        facts |= {name: np.round(values.astype(float), 5).tolist() for name, values in looked.items()}
        facts |= {"chosen": looked["chosen"].tolist(), "drawn": drawn}
        return facts | {"input": picture(image), "image": np.round(image.astype(float), 5).ravel().tolist()}


def picture(image: np.ndarray) -> dict:
    """An image float [rows, columns, depth] as the page paints it."""
    pixels = visible(image[None])[0]
    rows, columns, depth = pixels.shape
    values = np.round(pixels * 255).astype(int).ravel().tolist()
    return {"rows": rows, "columns": columns, "depth": depth, "pixels": values}


def _numbers(query: str, first: str, *others: str) -> list[int | None]:
    """Whole numbers from an address: the first is required, the others may be missing."""
    given = parse_qs(query)
    texts = [given.get(name, [None])[0] for name in (first, *others)]
    if texts[0] is None or any(text is not None and not re.fullmatch("[0-9]{1,9}", text) for text in texts):
        raise Refused(400, f"An example is chosen by {first}=N, a whole number; a pair's second digit by second=N.")
    return [text if text is None else int(text) for text in texts]


def _received(body: bytes, name: str) -> Any:
    try:
        return json.loads(body)[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Refused(400, f"This address takes JSON, an object with {name!r}.") from None


def _floats(values: Any) -> np.ndarray:
    """Numbers from the browser as a finite array."""
    try:
        array = np.asarray(values, dtype=float)
    except (ValueError, TypeError, OverflowError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise Refused(400, "Expected a list of finite numbers.")
    return array


def _strokes(received: Any) -> list[np.ndarray]:
    """Strokes from the browser, each [n, 2]."""
    if not isinstance(received, list) or not received:
        raise Refused(400, "strokes must be a list with at least one stroke.")
    if len(received) > MOST_POINTS:
        raise Refused(400, f"A drawing may have up to {MOST_POINTS} points. Clear it and draw a simpler one.")
    strokes = [_floats(stroke) for stroke in received]
    if any(stroke.ndim != 2 or stroke.shape[1:] != (2,) or not len(stroke) for stroke in strokes):
        raise Refused(400, "A stroke must be a list of points [x, y].")
    if sum(map(len, strokes)) > MOST_POINTS:
        raise Refused(400, f"A drawing may have up to {MOST_POINTS} points. Clear it and draw a simpler one.")
    if any(np.abs(stroke - 0.5).max() > 1 for stroke in strokes):
        raise Refused(400, "The points of a drawing must lie from 0 to 1, or slightly outside.")
    return strokes
