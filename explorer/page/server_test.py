"""The server answers this machine's browser with what the network computes, and refuses all else in a sentence."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf

from explorer.page import server
from explorer.page.answers import FILES
from explorer.page.conftest import untrained
from explorer.page.inference import Inspector
from explorer.page.server import serve


@pytest.fixture(scope="module")
def port(digits, serving):
    return serving(untrained("capsule", (28, 28, 1)), digits)


def ask(port, method, path, body=None, **headers):
    """The status and the content, parsed where it is JSON; each answer has the headers that guard it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert "default-src 'self'" in answer.getheader("Content-Security-Policy")
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert "Python" not in answer.getheader("Server")
    return answer.status, json.loads(content) if "json" in answer.getheader("Content-Type") else content.decode()


def post(port, path, **values):
    return ask(port, "POST", path, json.dumps(values))


def pixels(picture):
    shape = (picture["rows"], picture["columns"], picture["depth"])
    return np.array(picture["pixels"]).reshape(shape)


def test_the_page_is_there_and_asks_nothing_from_elsewhere(port):
    for path in FILES:
        status, text = ask(port, "GET", path)
        assert status == 200 and len(text) > 100
        text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert not re.search(r"""["'(]\s*(https?:)?//""", text)


def test_an_example_gives_what_the_network_computes(port, digits):
    status, found = ask(port, "GET", "/example?index=5")
    assert status == 200 and found["labels"] == [int(digits.labels[5])]
    np.testing.assert_array_equal(pixels(found["input"]), digits.images[5])
    inspector = Inspector(untrained("capsule", (28, 28, 1)), digits)
    expected = inspector.look(inspector.example(5)[0])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    np.testing.assert_allclose(found["coupling"], expected["coupling"], atol=1e-5)
    np.testing.assert_allclose(pixels(found["drawn"][0]) / 255, expected["drawn"][0], atol=0.01)


def test_a_capsule_and_a_drawing_and_an_image(port, digits):
    _, found = ask(port, "GET", "/example?index=5")
    label = found["chosen"][0]
    status, answer = post(port, "/capsule", **{"class": label, "capsule": found["capsules"][label]})
    assert status == 200
    np.testing.assert_allclose(answer["drawn"]["pixels"], found["drawn"][0]["pixels"], atol=1)
    status, drawn = post(port, "/drawing", strokes=[[[0.4, 0.2], [0.4, 0.7]]])
    assert status == 200 and np.argmax(drawn["scores"]) == drawn["chosen"][0]
    image = pixels(drawn["input"])[..., 0] > 127
    assert 17 <= image.any(axis=1).sum() <= 20 and 2 <= image.any(axis=0).sum() <= 4
    assert "20×20" in drawn["notes"][0]
    status, read = ask(port, "POST", "/image", tf.io.encode_png(digits.images[5]).numpy())
    assert status == 200
    np.testing.assert_allclose(read["scores"], found["scores"], atol=1e-4)


@pytest.mark.parametrize(
    ("path", "values", "words"),
    [
        ("/drawing", {}, "object with 'strokes'"),
        ("/drawing", {"strokes": []}, "at least one stroke"),
        ("/drawing", {"strokes": [[]]}, "list of points"),
        ("/drawing", {"strokes": [[[0.1, 0.2, 0.3]]]}, "list of points"),
        ("/drawing", {"strokes": [[[0.1, "x"]]]}, "finite"),
        ("/drawing", {"strokes": [[[0.1, float("nan")]]]}, "finite"),
        ("/drawing", {"strokes": [[[0.1, 1e300]]]}, "from 0 to 1"),
        ("/drawing", {"strokes": [[[0.1, 0.1]] * 2001]}, "up to 2000 points"),
        ("/capsule", {"class": 10, "capsule": [0.0] * 16}, "from 0 to 9"),
        ("/capsule", {"class": True, "capsule": [0.0] * 16}, "whole number"),
        ("/capsule", {"class": 1, "capsule": [0.0] * 15}, "list of 16 numbers"),
        ("/capsule", {"class": 1, "capsule": [float("inf")] * 16}, "finite"),
        ("/capsule", {"class": 1, "capsule": [1e6] * 16}, "from -10 to 10"),
        ("/capsule", {"class": 1, "capsule": {"a": 1}}, "finite"),
        ("/pixels", {"pixels": [0.0] * 783}, "list of 784 numbers"),
        ("/pixels", {"pixels": [float("nan")] * 784}, "finite"),
    ],
)
def test_wrong_values_are_refused(port, path, values, words):
    status, answer = post(port, path, **values)
    assert status == 400 and words in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "words"),
    [
        ("GET", "/nothing", None, {}, 404, "There is no GET /nothing"),
        ("GET", "/../server.py", None, {}, 404, "There is no"),
        ("GET", "/example", None, {}, 400, "index=N"),
        ("GET", "/example?index=-1", None, {}, 400, "index=N"),
        ("GET", "/example?index=1000", None, {}, 400, "0 to 999"),
        ("POST", "/drawing", b"{", {}, 400, "takes JSON"),
        ("POST", "/drawing", b"[" * 100_000, {}, 400, "takes JSON"),
        ("POST", "/drawing", b"\xff\xfe", {}, 400, "takes JSON"),
        ("POST", "/image", b"no image at all", {}, 400, ""),
        ("POST", "/image", b"", {"Content-Length": str(8 * 2**20 + 1)}, 413, "up to 8 MB. Received: 8.0 MB"),
        ("POST", "/image", b"", {"Content-Length": "9" * 5000}, 413, "Received: a number of 5000 digits"),
        ("POST", "/image", b"", {"Content-Length": "-1"}, 411, "length"),
        ("POST", "/image", b"", {"Transfer-Encoding": "chunked"}, 411, "length"),
        ("GET", "/network", None, {"Content-Length": "7"}, 400, "no body"),
        ("GET", "/wrong?after=x", None, {}, 400, "after=N"),
        ("POST", "/image", b"", {"Content-Length": "many"}, 411, "length"),
        ("GET", "/network", None, {"Host": "example.com"}, 403, "for http://127.0.0.1"),
        ("GET", "/network", None, {"Host": "127.0.0.1.example.com:80"}, 403, "example.com"),
        ("GET", "/network", None, {"Host": ""}, 403, "for http://127.0.0.1"),
        ("POST", "/drawing", b"{}", {"Origin": "http://evil.example"}, 403, "only its own page"),
        ("POST", "/drawing", b"{}", {"Origin": "null"}, 403, "only its own page"),
        ("POST", "/drawing", b"{}", {"Origin": "http://127.0.0.1:1"}, 403, "only its own page"),
        ("POST", "/drawing", b"{}", {"Sec-Fetch-Site": "cross-site"}, 403, "only its own page"),
        ("GET", "/example?index=1", None, {"Sec-Fetch-Site": "same-site"}, 403, "only its own page"),
        ("PUT", "/image", b"", {}, 501, "PUT"),
        ("GET", "/" + "a" * 70_000, None, {}, 414, "."),
    ],
)
def test_wrong_requests_are_refused(port, method, path, body, headers, status, words):
    received, answer = ask(port, method, path, body, **headers)
    assert received == status and words in answer["error"] and answer["error"].endswith(".")


def test_its_own_page_is_answered_by_both_names(port):
    for name in ("localhost", "127.0.0.1"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}", "Sec-Fetch-Site": "same-origin"}
        assert ask(port, "GET", "/network", **own)[0] == 200
    forwarded = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}  # ssh -L 9000:localhost:PORT
    assert ask(port, "GET", "/network", **forwarded)[0] == 200


@pytest.mark.parametrize("sent", [b"nonsense with too many words", b"GET http://[ HTTP/1.1\r\nHost: localhost"])
def test_what_is_no_http_gets_a_refusal_with_the_headers_too(port, sent):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert b" 400 " in answer and b"Content-Security-Policy" in answer and b'{"error": ' in answer


def test_a_whole_class_may_come_at_once(port):
    connections = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(100)]
    for connection in connections:
        connection.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answers = [connection.makefile("rb").read() for connection in connections]
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /net", b"POST /image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"]
)
def test_a_client_that_sends_a_byte_now_and_then_is_left(port, monkeypatch, sent):
    monkeypatch.setattr(server, "IDLE", 0.5)
    monkeypatch.setattr(server, "SLOWEST", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
        connection.sendall(sent)
        received = b""
        for _ in range(100):  # ten seconds, if nobody hangs up
            try:
                if sent:
                    connection.sendall(b"x")
                answer = connection.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            received += answer
            if not answer:
                break
        else:
            pytest.fail("the server still listens to a client that never ends its request")
    assert b" 408 " in received or not received  # where the request line came whole, there is somebody to tell


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(port):
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, body)]
    status, answer = ask(port, "POST", "/image", b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert status == 400 and "too large" in answer["error"]


def test_pixels_are_looked_at_as_they_are(port, digits):
    status, shown = ask(port, "GET", "/example?index=5")
    assert status == 200
    status, again = post(port, "/pixels", pixels=shown["image"])
    assert status == 200 and again["input"] == shown["input"]
    np.testing.assert_allclose(again["scores"], shown["scores"], atol=1e-4)


def test_the_next_wrong_example_is_found(port, digits):
    inspector = Inspector(untrained("capsule", (28, 28, 1)), digits)
    assert ask(port, "GET", "/wrong?after=3") == (200, {"index": inspector.next_wrong(3)})


def test_it_listens_on_127_0_0_1_alone(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    with pytest.raises(OSError):  # another address of this machine, which a server on 0.0.0.0 would answer
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("wrong", ["taken", 70_000])
def test_a_port_that_cannot_be_had_is_one_sentence(digits, wrong):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1] if wrong == "taken" else wrong
        with pytest.raises(ValueError, match=f"Port {number} of 127.0.0.1 .*Give another one, or 0"):
            serve(untrained("capsule", (28, 28, 1)), digits, number)


def test_a_network_without_a_decoder_refuses_to_draw(digits, serving):
    port = serving(untrained("capsule", (28, 28, 1), remake=False), digits)
    status, found = ask(port, "GET", "/example?index=0")
    assert status == 200 and found["drawn"] == [] and len(found["scores"]) == 10
    status, answer = post(port, "/capsule", **{"class": 1, "capsule": [0.0] * 16})
    assert status == 400 and "no decoder" in answer["error"]


SERVE = """
import signal
from input_data import open_split
from explorer.page import server
from explorer.page.answers import FILES
from explorer.page.conftest import untrained
from explorer.page.server import serve
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
serve(untrained("capsule", (28, 28, 1)), open_split("mnist", "test", None), 0)
"""


def test_serve_says_its_address_and_ends_with_ctrl_c():
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}) as process:
        line = process.stdout.readline()
        port = int(line.split("http://127.0.0.1:")[1].split()[0])
        assert ask(port, "GET", "/network")[0] == 200
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
