"""Serves the page: a few files, and a trained network behind a few JSON addresses.

It uses Python's own `http.server`, and the page is plain HTML and JavaScript, because nothing more is needed. Gradio
would add some forty packages, and the canvas, the sliders of the decoder and the routing maps would still have to be
written.

It answers only requests from its own page in a browser on this machine. A page of another site can also send requests
to 127.0.0.1; the browser says in `Host`, `Origin` and `Sec-Fetch-Site` where they come from.
"""

import errno
import io
import json
import re
import socket
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from explorer.page.answers import LARGEST, Answers, Refused
from explorer.page.inference import Inspector
from input_data import Split
from runner.loader import Trained

IDLE = 60  # seconds that a connection may stay open without a request
SLOWEST = 20  # seconds that a request may take to arrive, and its answer to be received
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def serve(trained: Trained, split: Split, port: int, compared: Trained | None = None) -> None:
    """Serves the page to this machine only, and blocks until Ctrl-C.

    Args:
        trained: the network and its facts.
        split: the examples to choose from.
        port: 0 picks a free one.
        compared: see `Inspector`.

    Raises:
        ValueError: the port is taken or not allowed, or the examples are not of the network's size.
    """
    with Server(trained, split, port, compared) as server:
        print(f"http://127.0.0.1:{server.server_port} shows the network. Press Ctrl-C to stop.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1; arguments and errors as `serve`."""

    daemon_threads = True
    request_queue_size = 128  # connections that the system keeps while they wait for `accept`; 5 reset a busy class

    def __init__(self, trained: Trained, split: Split, port: int, compared: Trained | None = None):
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if taken else f"cannot be used ({error})"
            raise ValueError(
                f"Port {port} of 127.0.0.1 {reason}. Give another one, or 0 for any that is free."
            ) from None
        try:
            self.answers = Answers(Inspector(trained, split, compared))
        except BaseException:
            self.server_close()
            raise

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a browser that has disconnected is not an error
            super().handle_error(request, client_address)


class _UntilDeadline(io.RawIOBase):
    """Reads a connection's bytes until a deadline: a socket's own timeout starts again with each byte that arrives."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.deadline = 0.0

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("The request took too long to arrive.")
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


class Handler(BaseHTTPRequestHandler):
    """Answers one browser."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self):
        super().setup()
        self.rfile.close()
        self.incoming = _UntilDeadline(self.connection)
        self.rfile = io.BufferedReader(self.incoming)

    def version_string(self):
        return "explore.py"

    def log_message(self, format, *args):
        pass

    def handle_one_request(self):
        self.close_connection = True
        self.incoming.deadline = time.monotonic() + IDLE
        try:
            self.rfile.peek(1)
        except TimeoutError:
            return
        self.incoming.deadline = time.monotonic() + SLOWEST
        super().handle_one_request()

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def send_error(self, code, message=None, explain=None):
        """Sends what the base class refuses, such as an unknown method, in the form of our own refusals."""
        self.close_connection = True
        self.request_version = self.protocol_version  # what is not HTTP counts as version 0.9, without headers
        sentence = message or self.responses.get(code, ("The request was not understood",))[0]
        self._send(code, *_error(f"{sentence.rstrip('.')}."))

    def _answer(self) -> None:
        status = 200
        try:
            self._check_origin()
            body = self._body()
            address = self._address()
            kind, content = self.server.answers.answer(self.command, address.path, address.query, body)
        except Refused as refused:
            self.close_connection = True  # what it sent may be unread
            status, (kind, content) = refused.status, _error(str(refused))
        except TimeoutError:
            self.close_connection = True
            status, (kind, content) = 408, _error(f"A request must arrive within {SLOWEST} seconds.")
        except Exception as error:  # a fault of ours: the page gets a sentence, the terminal the traceback
            traceback.print_exc()
            status, (kind, content) = 500, _error(f"The server failed ({type(error).__name__}): see its terminal.")
        self._send(status, kind, content)

    def _check_origin(self) -> None:
        host = self.headers.get("Host", "")
        if not re.fullmatch(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", host):  # another site's name that points here
            raise Refused(403, f"This server is for http://127.0.0.1 and http://localhost. Received: {host[:100]!r}.")
        own = {f"http://{name}" for name in (host, *(f"{each}:{self.server.server_port}" for each in _NAMES))}
        origin = self.headers.get("Origin")
        if origin is not None and origin not in own:
            raise Refused(403, f"This server answers only its own page. Received a request from {origin[:100]!r}.")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none"):
            raise Refused(403, f"This server answers only its own page. Received a {site[:30]!r} request.")

    def _address(self):
        try:
            return urlsplit(self.path)
        except ValueError:
            raise Refused(400, "The address of the request was not understood.") from None

    def _body(self) -> bytes:
        sizes = self.headers.get_all("Content-Length", [])
        if self.command == "GET":
            if sizes or "Transfer-Encoding" in self.headers:
                raise Refused(400, "A GET request must have no body.")
            return b""
        if len(sizes) != 1 or not re.fullmatch("[0-9]+", sizes[0]) or "Transfer-Encoding" in self.headers:
            raise Refused(411, f"A request must state its length in bytes. Received: {', '.join(sizes)[:30] or None}.")
        digits = sizes[0].lstrip("0")
        if len(digits) > 15 or int(digits or 0) > LARGEST:
            size = f"{int(digits) / 2**20:.1f} MB" if len(digits) <= 15 else f"a number of {len(digits)} digits"
            raise Refused(413, f"An image may have up to {LARGEST // 2**20} MB. Received: {size}.")
        body = self.rfile.read(int(digits or 0))
        if len(body) < int(digits or 0):
            raise Refused(400, f"The request ended after {len(body)} of {digits} bytes.")
        return body

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.connection.settimeout(SLOWEST)
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


_NAMES = ("127.0.0.1", "localhost")


def _error(sentence: str) -> tuple[str, bytes]:
    return "application/json", json.dumps({"error": sentence}).encode()
