"""The server answers this machine's browser with what the network computes, and refuses all else in a sentence."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from explorer.page.conftest import untrained
from explorer.page.inference import Inspector
from explorer.page.server import serve


@pytest.fixture(scope="module")
def port(digits, serving):
    return serving(untrained("capsule", (28, 28, 1)), digits)


def ask(port, method, path, body=None, **headers):
    """The status and the content, parsed where it is JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if "json" in answer.getheader("Content-Type") else content.decode()


def post(port, path, **values):
    return ask(port, "POST", path, json.dumps(values))


def pixels(picture):
    shape = (picture["rows"], picture["columns"], picture["depth"])
    return np.array(picture["pixels"]).reshape(shape)


def test_the_page_is_there_and_asks_nothing_from_elsewhere(port):
    for path in ("/", "/page.css", "/page.js", "/pad.js", "/pictures.js", "/tools.js"):
        status, text = ask(port, "GET", path)
        assert status == 200 and len(text) > 500
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
        ("POST", "/image", b"", {"Content-Length": "many"}, 411, "length"),
        ("GET", "/network", None, {"Host": "example.com"}, 403, "for http://127.0.0.1"),
        ("GET", "/network", None, {"Host": "127.0.0.1.example.com:80"}, 403, "example.com"),
    ],
)
def test_wrong_requests_are_refused(port, method, path, body, headers, status, words):
    received, answer = ask(port, method, path, body, **headers)
    assert received == status and words in answer["error"] and answer["error"].endswith(".")


def test_localhost_is_a_name_for_it(port):
    assert ask(port, "GET", "/network", Host=f"localhost:{port}")[0] == 200


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
