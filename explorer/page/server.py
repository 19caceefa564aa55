"""The page's server: a few files, and a trained network behind a few JSON addresses.

It is Python's own `http.server` and the page is plain HTML and JavaScript, because that is all it takes. Gradio would
bring some forty more packages, and a canvas that follows the pen, a decoder that follows 16 sliders and routing maps
would have to be written all the same.
"""

import errno
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from explorer.page.inference import Inspector
from explorer.page.strokes import draw
from explorer.reading import prepare, read_image
from input_data import Split
from runner.loader import Trained

LARGEST = 8 * 2**20  # bytes of a request
MOST_POINTS = 2000  # of a drawing
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {"/": "page.html"} | {f"/{name}": name for name in ("page.css", "page.js", "pad.js", "pictures.js", "tools.js")}


class Refused(Exception):
    """A request that is not answered: its HTTP status, and a sentence for the user."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


def serve(trained: Trained, split: Split, port: int) -> None:
    """Serves the page for this machine alone and blocks until Ctrl-C.

    Args:
        trained: the network and its facts.
        split: the examples to choose from.
        port: 0 picks a free one.

    Raises:
        ValueError: the port is taken or not allowed, or the examples are not of the network's size.
    """
    with Server(trained, split, port) as server:
        print(f"http://127.0.0.1:{server.server_port} shows the network. Ctrl-C ends.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1; arguments and errors as `serve`."""

    daemon_threads = True

    def __init__(self, trained: Trained, split: Split, port: int):
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if taken else f"cannot be listened on ({error})"
            raise ValueError(
                f"Port {port} of 127.0.0.1 {reason}. Give another one, or 0 for any that is free."
            ) from None
        try:
            self.inspector = Inspector(trained, split)
        except BaseException:
            self.server_close()
            raise

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a browser that went away is no news
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one browser."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that an idle connection stays open
    server: Server

    def do_GET(self):
        routes = dict.fromkeys(FILES, self._file) | {"/network": self._network, "/example": self._example}
        self._answer(routes)

    def do_POST(self):
        self._answer({"/drawing": self._drawing, "/image": self._image, "/capsule": self._capsule})

    def log_message(self, format, *args):
        pass

    def _answer(self, routes: dict) -> None:
        self.address = urlsplit(self.path)
        status, kind = 200, "application/json"
        try:
            host = self.headers.get("Host", "")
            if not re.fullmatch(r"(127\.0\.0\.1|localhost)(:\d+)?", host):  # another site's name that points here
                raise Refused(403, f"This server is for http://127.0.0.1 and http://localhost. Received: {host!r}.")
            self.body = self._read() if self.command == "POST" else b""
            if self.address.path not in routes:
                raise Refused(404, f"There is no {self.command} {self.address.path} here.")
            kind, content = routes[self.address.path]()
        except Refused as refused:
            status, content = refused.status, json.dumps({"error": str(refused)}).encode()
            self.close_connection = True  # what it sent may be unread
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _read(self) -> bytes:
        size = self.headers.get("Content-Length")
        if size is None or not size.isascii() or not size.isdigit():
            raise Refused(411, f"A request needs its length in bytes. Received: {size}.")
        if int(size) > LARGEST:
            raise Refused(413, f"An image may have up to {LARGEST // 2**20} MB. Received: {int(size) / 2**20:.1f} MB.")
        return self.rfile.read(int(size))

    # What the addresses give.

    def _file(self):
        file = Path(__file__).with_name(FILES[self.address.path])
        return KINDS[file.suffix], file.read_bytes()

    def _network(self):
        return _json(self.server.inspector.facts() | {"largest": LARGEST})

    def _example(self):
        query = parse_qs(self.address.query)
        numbers = [query.get(name, [None])[0] for name in ("index", "second")]
        if any(number is not None and not re.fullmatch(r"\d{1,9}", number) for number in numbers) or not numbers[0]:
            raise Refused(400, "An example is chosen by index=N, a whole number, and of pairs by second=N.")
        try:
            image, labels = self.server.inspector.example(*(number and int(number) for number in numbers))
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return self._look(image, {"labels": labels, "notes": []})

    def _drawing(self):
        inspector = self.server.inspector
        strokes = _strokes(self._received("strokes"))
        rows, columns, _ = inspector.model.image_shape
        box = (
            20 if inspector.trained.num_targets == 1 else 24
        )  # two digits of 20 pixels do not lie exactly on each other
        image = draw(strokes, rows, columns, box)
        prepared, facts = self._prepared(image[..., None])
        facts["notes"].insert(0, f"Fitted into {box}×{box} pixels around its centre of mass, as MNIST's digits are.")
        return self._look(prepared, facts)

    def _image(self):
        try:
            prepared = self._prepared(read_image(self.body))
        except ValueError as error:
            raise Refused(400, str(error)) from None
        return self._look(*prepared)

    def _capsule(self):
        model = self.server.inspector.model
        if not self.server.inspector.has_decoder:
            raise Refused(400, "This network has no decoder.")
        label, capsule = self._received("class"), _floats(self._received("capsule"))
        if type(label) is not int or not 0 <= label < model.num_classes:
            raise Refused(400, f"class is a whole number from 0 to {model.num_classes - 1}.")
        if capsule.shape != (model.classes.atoms,) or np.abs(capsule).max() > 10:
            raise Refused(400, f"capsule is a list of {model.classes.atoms} numbers from -10 to 10.")
        return _json({"drawn": _picture(self.server.inspector.draw(label, capsule))})

    def _received(self, name: str) -> Any:
        try:
            return json.loads(self.body)[name]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise Refused(400, f"{self.address.path} takes JSON, an object with {name!r}.") from None

    def _prepared(self, image: np.ndarray) -> tuple[np.ndarray, dict]:
        prepared, notes = prepare(image, self.server.inspector.trained)
        return prepared, {"notes": list(notes)}

    def _look(self, image: np.ndarray, facts: dict):
        found = self.server.inspector.look(image)
        facts |= {name: np.round(found[name].astype(float), 5).tolist() for name in found if name != "drawn"}
        facts |= {"chosen": found["chosen"].tolist(), "drawn": [_picture(each) for each in found.get("drawn", [])]}
        return _json(facts | {"input": _picture(image)})


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value, allow_nan=False).encode()


def _picture(image: np.ndarray) -> dict:
    """An image float [rows, columns, depth] as the page paints it; one outside [0, 1], standardised, is stretched."""
    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / (image.max() - image.min())
    pixels = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]  # of a stereo pair the first
    rows, columns, depth = pixels.shape
    return {
        "rows": rows,
        "columns": columns,
        "depth": depth,
        "pixels": np.round(pixels * 255).astype(int).ravel().tolist(),
    }


def _floats(values: Any) -> np.ndarray:
    """Numbers from the browser as a finite array."""
    try:
        array = np.asarray(values, dtype=float)
    except (ValueError, TypeError, OverflowError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise Refused(400, "A list of numbers was expected, each finite.")
    return array


def _strokes(received: Any) -> list[np.ndarray]:
    """Strokes from the browser, each [n, 2]."""
    if not isinstance(received, list) or not received:
        raise Refused(400, "strokes is a list with at least one stroke.")
    strokes = [_floats(stroke) for stroke in received]
    if any(stroke.ndim != 2 or stroke.shape[1:] != (2,) or not len(stroke) for stroke in strokes):
        raise Refused(400, "A stroke is a list of points [x, y].")
    if sum(map(len, strokes)) > MOST_POINTS:
        raise Refused(400, f"A drawing has up to {MOST_POINTS} points. Clear it and draw a simpler one.")
    if any(np.abs(stroke - 0.5).max() > 1 for stroke in strokes):
        raise Refused(400, "The points of a drawing lie from 0 to 1, a little beside at most.")
    return strokes
