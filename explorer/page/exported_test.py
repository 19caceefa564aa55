"""The page as a file computes in the browser what the network computes here, and asks nobody."""

import base64
import re

import numpy as np
import pytest
import tensorflow as tf

from explorer import robustness
from explorer.page import exported
from explorer.page.conftest import untrained
from explorer.page.descriptions import Weights, describe
from explorer.page.exported import HERE, PAGE, WORKER, bundle, content, export_page
from explorer.page.inference import Inspector
from explorer.page.inference_test import some_split
from explorer.page.strokes import draw
from input_data import open_split, prepare
from models import pretrained
from runner.loader import Trained, load
from runner.summaries import visible

ASK = """
const [question, given, done] = arguments, { worker: code, ...content } = globalThis.exportedNetwork;
const worker = new Worker(URL.createObjectURL(new Blob([code])));
worker.onmessage = ({ data }) => { worker.terminate(); done(data); };
worker.onerror = (event) => done({ error: event.message });
worker.postMessage(content);
worker.postMessage({ id: 1, question, given });
"""


def ask(page, question, *given):
    """What the worker of an open page answers."""
    page.driver.set_script_timeout(60)
    received = page.driver.execute_async_script(ASK, question, given)
    assert "error" not in received, received
    return received["answer"]


@pytest.fixture(scope="module")
def taught_file(taught, digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert str(path) in export_page(taught, digits, path, untrained("capsule", (28, 28, 1), remake=False))
    return path


NETWORKS = {
    "pairs": ("capsule", (36, 36, 1), {"targets": 2}),
    "float16": ("capsule", (28, 28, 1), {}),
    "efficient, float16": ("efficient", (28, 28, 1), {}),
    "leaky, padded, colour": ("capsule", (20, 21, 3), {"leaky": True, "padding": "SAME", "dataset": "cifar10"}),
    "no decoder, one iteration": ("capsule", (21, 20, 1), {"routing": 1, "remake": False, "primary_atoms": 6}),
    "efficient": ("efficient", (28, 28, 1), {}),
    "efficient, for stereo pairs": ("efficient", (48, 48, 2), {"dataset": "norb"}),
    "efficient, pairs": ("efficient", (36, 36, 1), {"targets": 2, "remake": False}),
    "baseline, softmax": ("baseline", (17, 16, 1), {"loss_type": "softmax"}),
    "baseline, padded, sigmoid": ("baseline", (5, 4, 2), {"loss_type": "sigmoid", "padding": "SAME"}),
    "baseline of the paper, margin": ("baseline_paper", (6, 7, 1), {}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_browser_computes_what_the_network_computes(page, name, pairs, tmp_path, monkeypatch):
    kind, shape, options = NETWORKS[name]
    trained = untrained(kind, shape, **{"num_prime_capsules": 2, "conv_channels": 10} | options)
    if trained.model.has_capsules:  # larger weights, so that the routing has something to do
        random = np.random.RandomState(0)
        for variable in trained.model.variables:  # moving averages too
            if variable.dtype == "float32":
                variable.assign(variable * 1.5 + 0.02 * random.standard_normal(variable.shape))
    if "float16" in name:
        for variable in trained.model.variables:
            if variable.dtype == "float32":
                variable.assign(np.float16(variable))
    monkeypatch.setattr(exported, "SEARCHED", 20)
    split = pairs if trained.num_targets == 2 else some_split(shape)
    export_page(trained, split, tmp_path / "page.html")
    inspector = Inspector(trained, split)
    page.open(tmp_path / "page.html")
    shown, expected = ask(page, "example", 3, 4), inspector.look(inspector.example(3, 4)[0])
    assert shown["labels"] == inspector.example(3, 4)[1]
    for what in expected.keys() - {"drawn"}:
        np.testing.assert_allclose(shown[what], expected[what], atol=1e-4, err_msg=what)
    for picture, image in zip(shown["drawn"], expected.get("drawn", []), strict=True):
        np.testing.assert_allclose(picture["pixels"], 255 * visible(image[None]).ravel(), atol=0.51)
    for what in (expected["scores"], *expected.get("drawn", [])):
        assert np.ptp(what) > 0.01, "nothing is compared"


@pytest.mark.parametrize("name", pretrained.names())
def test_the_page_of_a_network_that_ships_computes_what_it_computes(page, name, digits, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "SEARCHED", 200)
    trained = load(f"pretrained:{name}")
    split = pairs if trained.num_targets == 2 else digits
    export_page(trained, split, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 10e6
    inspector = Inspector(trained, split)
    page.open(tmp_path / "page.html")
    for index in range(3):
        shown, expected = ask(page, "example", index), inspector.look(inspector.example(index)[0])
        for what in expected.keys() - {"drawn"}:
            np.testing.assert_allclose(shown[what], expected[what], atol=1e-4, err_msg=what)
        for picture, image in zip(shown["drawn"], expected["drawn"], strict=True):
            np.testing.assert_allclose(picture["pixels"], 255 * image.clip(0, 1).ravel(), atol=0.53)


def test_every_number_of_float16_survives(page, taught_file):
    numbers = np.arange(2**16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)].astype(np.float32)
    weights = Weights()
    assert weights.add(numbers) == {"kind": "float16", "start": 0, "count": numbers.size}
    assert weights.add([1e-9, 1e9]) == {"kind": "float32", "start": 0, "count": 2}
    assert weights.add([1.5])["start"] == numbers.size
    page.open(taught_file)
    script = (HERE / "worker.js").read_text(encoding="utf-8")
    script = "const KINDS" + script.split("const KINDS")[1].split("// The description")[0]
    script += "return [...fromHalves(unpack(arguments[0], 'float16'))].map((x) => Object.is(x, -0) ? '-0' : x);"
    numbers_read = np.array(page.driver.execute_script(script, weights.as_text()["float16"]), float)
    np.testing.assert_array_equal(numbers_read[:-1], numbers)
    assert np.signbit(numbers_read[:-1]).tolist() == np.signbit(numbers).tolist()


def test_a_network_of_float16_numbers_takes_half_the_room(pairs, monkeypatch):
    monkeypatch.setattr(exported, "SEARCHED", 20)
    trained = untrained("capsule", (36, 36, 1), targets=2)
    size = trained.model.count_weights()
    for kept in (4, 2):
        texts = content(trained, pairs)["weights"]
        assert sum(map(len, texts.values())) == pytest.approx(kept * size * 4 / 3, rel=0.01)
        for variable in trained.model.trainable_variables:
            variable.assign(np.float16(variable))


def test_it_is_the_page_of_the_server_without_one(page, taught, digits, taught_file, tmp_path):
    page.open(taught_file)
    assert "158" not in page.text("error") and not page.text("error")
    page.draw((0.25, 0.2), (0.24, 0.3), (0.23, 0.4), (0.22, 0.5), (0.21, 0.6))
    assert page.text("prediction").endswith(" sees 1") and "20×20" in page.text("notes")
    page.choose_example(3)
    inspector = Inspector(taught, digits)
    looked = inspector.look(inspector.example(3)[0])
    np.testing.assert_allclose(page.values(), looked["scores"], atol=0.0051)
    drawn = page.figures()
    page.move("Dimension 4", 0.2)
    assert page.figures()[1] != drawn[1] and re.fullmatch(r"Redrawn in \d+ ms", page.text("speed"))
    page.click("wrong")
    assert page.text("truth").endswith(": wrong.")
    page.upload(tmp_path / "digit.png", tf.io.encode_png(digits.images[3]).numpy())
    assert page.figures()[0] == drawn[0]
    page.upload(tmp_path / "other.png", b"not an image")
    assert "Expected a readable picture" in page.text("error") and page.text("prediction") == "Nothing to see yet"
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("blob:", "data:")) for name in loaded)


def test_a_folder_of_files_does_the_same(page, taught, digits, tmp_path):
    export_page(taught, digits, tmp_path / "page")
    export_page(taught, digits, tmp_path / "page")  # replaces itself
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == [
        "index.html",
        "network.js",
        "page.css",
        "page.js",
    ]
    page.open(tmp_path / "page/index.html")
    page.choose_example(3)
    assert page.text("truth").startswith(f"Its label is {digits.labels[3]}: ")
    assert page.driver.execute_script("return getComputedStyle(document.querySelector('main')).display") == "grid"


def test_drawings_and_pictures_become_what_python_makes_of_them(page, taught, digits, taught_file):
    page.open(taught_file)
    strokes = [[[0.2, 0.3], [0.5, 0.35], [0.45, 0.8]], [[0.7, 0.1]]]
    expected = draw([np.array(stroke) for stroke in strokes], 28, 28, 20) / 255
    drawn = ask(page, "drawing", strokes)
    np.testing.assert_allclose(np.reshape(drawn["image"], (28, 28)), expected, atol=0.005)
    paper = np.full((70, 50, 3), 240, np.uint8)
    paper[20:60, 22:28] = (30, 40, 60)
    paper[20:26, 15:40] = 20
    rgba = np.concatenate([paper, np.full((70, 50, 1), 255, np.uint8)], axis=2)
    received = ask(page, "image", {"rows": 70, "columns": 50, "data": rgba.ravel().tolist()})
    image, _ = prepare("mnist", paper, (28, 28, 1))
    np.testing.assert_allclose(np.reshape(received["image"], (28, 28)), image[..., 0], atol=0.02)
    assert "inverted: dark on light" in received["notes"]


def test_a_network_for_pixels_by_256_sees_such_pixels_however_they_come(page, tmp_path):
    trained = untrained("efficient", (28, 28, 1), remake=False, preparation="efficient")
    split = open_split("mnist", "test", None, trained.options)
    export_page(trained, split, tmp_path / "page.html")
    page.open(tmp_path / "page.html")
    rgba = np.concatenate([split.images[3][..., None].repeat(3, axis=2), np.full((28, 28, 1), 255)], axis=2)
    evaluated = split.batch(np.array([3]), np.zeros((1, 0)))["images"].ravel()
    for question, given in (("example", 3), ("image", {"rows": 28, "columns": 28, "data": rgba.ravel().tolist()})):
        np.testing.assert_array_equal(ask(page, question, given)["image"], evaluated)
    assert max(ask(page, "drawing", [[[0.2, 0.3], [0.5, 0.35]]])["image"]) == 255 / 256


@pytest.mark.parametrize(
    ("move", "amount", "change"),
    [
        ("turn", 30, robustness.rotated),
        ("right", 2.5, robustness.shifted),
        ("scale", 0.7, robustness.scaled),
        ("shear", 0.3, robustness.sheared),
    ],
)
def test_the_page_moves_an_image_as_the_robustness_report_does(page, taught_file, digits, move, amount, change):
    page.open(taught_file)
    image = digits.images[:1].astype(np.float32) / 255
    moves = {"turn": 0, "right": 0, "down": 0, "scale": 1, "shear": 0} | {move: amount}
    script = bundle(("warp",)).removeprefix("(() => {").removesuffix("})();\n")
    script += "return [...warp(arguments[0], { rows: 28, columns: 28, depth: 1 }, arguments[1])];"
    warped = page.driver.execute_script(script, image.ravel().tolist(), moves)
    np.testing.assert_allclose(warped, change(image, amount).ravel(), atol=1e-5)


def test_the_examples_hold_wrong_answers_where_there_are_some(taught, digits):
    written = content(taught, digits)
    images = np.frombuffer(base64.b64decode(written["images"]), np.uint8).reshape(-1, 28, 28, 1) / np.float32(255)
    assert len(images) == len(written["labels"]) == written["facts"]["examples"] == 200
    predicted = np.asarray(taught.model(images)["logits"]).argmax(axis=1)
    wrong = np.flatnonzero(predicted != np.ravel(written["labels"]))
    assert written["wrong"] == wrong.tolist() and len(wrong) >= 10
    np.testing.assert_array_equal(images[:180], digits.images[:180] / np.float32(255))


def test_a_name_of_a_class_cannot_break_the_page(page, tmp_path):
    trained = untrained("capsule", (20, 20, 1), dataset="folder", remake=False)
    names = ("</script><b>", "<!--", "ä\u2028", *"3456789")
    trained = Trained(trained.model, 0, "folder", 1, names)
    export_page(trained, some_split((20, 20, 1)), tmp_path / "page.html")
    page.open(tmp_path / "page.html")
    assert page.driver.execute_script(
        "return [...document.querySelectorAll('.bar .name')].map((x) => x.textContent)"
    ) == list(names)
    assert not page.find("mode-upload").is_displayed()


def test_what_it_cannot_run_or_would_overwrite_is_refused(taught, digits, tmp_path):
    class Other:
        image_shape = (28, 28, 1)

    with pytest.raises(ValueError, match="supports CapsNet, EfficientCapsNet.*Received a Other: use --serve"):
        describe(Trained(Other(), 0, "mnist", 1, ()), None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="exists and is not a page"):
        export_page(taught, digits, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_bundle_has_no_module_left():
    for names in (PAGE, WORKER):
        assert not re.search(r"^\s*(import|export)\b", bundle(names), flags=re.MULTILINE)
    with pytest.raises(AssertionError, match="page.js imports what does not come before"):
        bundle(("page",))
