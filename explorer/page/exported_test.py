"""The page computes in the browser what the network computes here, holds all it needs, and overwrites nothing."""

import base64
import copy

import keras
import numpy as np
import pytest

from explorer.diagnose import agreement_of_winners
from explorer.page import exported
from explorer.page.exported import bundle, content, export_page
from explorer.robustness import CHANGES
from input_data import prepare
from input_data.arrays import ImageArrays
from input_data.dataset import Info
from models import make_model, pretrained
from models.hparams import HParams
from runner.loader import Trained
from runner.summaries import visible

NAMES = ("</script><b>", "<!--", "ä\u2028", *"3456789")  # of classes, which must not break the page
ASK = """
const [question, given, done] = arguments, { worker: code, ...content } = globalThis.exportedNetwork;
const worker = new Worker(URL.createObjectURL(new Blob([code]))), { port1, port2 } = new MessageChannel();
const plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
port1.onmessage = ({ data }) => { worker.terminate(); done(JSON.parse(JSON.stringify(data, plain))); };
worker.onerror = (event) => done({ error: event.message });
worker.postMessage(content);
worker.postMessage({ question, given }, [port2]);
"""


def ask(page, question, *given):
    """What the worker of an open page answers."""
    received = page.driver.execute_async_script(ASK, question, given)
    assert "error" not in received, received
    return received["answer"]


def functions(*modules):
    """The functions of modules of the page as a script."""
    return bundle(modules).removeprefix("(() => {").removesuffix("})();\n")


def untrained(name: str, shape: tuple, **hparams) -> Trained:
    """A small network with random weights, large enough for the routing to have something to do."""
    keras.utils.set_random_seed(1)
    random = np.random.RandomState(0)
    model = make_model(name, shape, 10, HParams(**{"num_prime_capsules": 2, "conv_channels": 10} | hparams))
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(variable * 1.5 + 0.02 * random.standard_normal(variable.shape))
    return Trained(model, 0, "folder", 1, NAMES)


def some_split(shape, name="other"):
    """Five random images."""
    images = np.random.RandomState(2).randint(0, 256, (5, *shape), np.uint8)
    return ImageArrays(Info(name, shape, 10, 1, NAMES), images, np.arange(5), 0)


def check_answers(page, trained, index):
    """An example's answers are those of the network itself, and its votes add up to its capsules."""
    shown, model = ask(page, "example", index), trained.model
    image = np.reshape(np.float32(shown["image"]), (1, *model.image_shape))
    outputs = model(image)
    scores, capsules = (np.asarray(outputs[name])[0] for name in ("logits", "capsules"))
    assert np.ptp(scores) > 0.01, "nothing is compared"
    np.testing.assert_allclose(shown["scores"], scores, atol=1e-4)
    np.testing.assert_allclose(shown["capsules"], capsules, atol=1e-4)
    chosen = np.argsort(-scores, kind="stable")[: trained.num_targets]
    assert shown["chosen"] == chosen.tolist()
    for picture, drawn in zip(shown["drawn"], model.remake(outputs, chosen[None]), strict=True):
        np.testing.assert_allclose(picture["pixels"], 255 * visible(np.asarray(drawn)).ravel(), atol=0.53)
    for step in shown["votes"]["steps"]:
        net = np.subtract(step["towards"], step["away"]) + step["bias"]
        squashed = net**2 / (1 + net**2) if type(model).__name__ == "CapsNet" else 1 - np.exp(-net)
        np.testing.assert_allclose(step["lengths"], squashed, atol=1e-4)


def rgba(picture: np.ndarray) -> dict:
    """A picture uint8 [rows, columns, 3 or 4] as the browser reads it."""
    data = picture if picture.shape[2] == 4 else np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    return {"rows": data.shape[0], "columns": data.shape[1], "data": data.ravel().tolist()}


def test_a_network_of_own_colour_images_and_one_without_a_decoder(page, tmp_path):
    trained = untrained("capsule", (20, 21, 3), leaky=True, padding="SAME")
    page.open(export_page(trained, some_split((20, 21, 3)), tmp_path / "page.html"))
    check_answers(page, trained, 3)
    assert [name.get_attribute("textContent") for name in page.all(".bar .name")] == list(NAMES)
    assert not page.find("mode-draw").is_displayed() and page.find("mode-upload").is_displayed()
    picture = np.random.RandomState(4).randint(0, 256, (33, 41, 3), np.uint8)
    expected, _ = prepare("folder", picture, (20, 21, 3), NAMES, trained.options)
    np.testing.assert_allclose(ask(page, "picture", rgba(picture))["image"], expected.ravel(), atol=1e-6)
    page.move("Turn", 30)
    assert page.text("prediction")
    plain = untrained("capsule", (21, 20, 1), routing=1, remake=False, primary_atoms=6)
    page.open(export_page(plain, some_split((21, 20, 1)), tmp_path / "page.html"))
    check_answers(page, plain, 3)
    assert not page.all("#capsule") and len(page.all("#maps canvas")) == 2 and not page.find("step").is_displayed()


@pytest.mark.parametrize("name", pretrained.names())
def test_the_page_of_a_network_that_ships_computes_what_it_computes(page, name, shipped_page):
    trained, split, file = shipped_page(name)
    page.open(file)
    assert file.stat().st_size < 25e6
    for index in range(3):
        check_answers(page, trained, index)
    if name == "efficient_mnist":  # whose pixels are divided by 256
        received = ask(page, "picture", rgba(split.images[3].repeat(3, axis=2)))
        expected, _ = prepare("mnist", split.images[3], (28, 28, 1), options=trained.options)
        np.testing.assert_allclose(received["image"], expected.ravel(), atol=1e-6)


def test_the_votes_are_those_of_the_library_and_of_the_diagnosis_however_sharp(page, shipped_page):
    network, digits, file = shipped_page("capsnet_mnist_small")
    page.open(file)
    image, layer = digits.images[3] / np.float32(255), network.model.classes
    votes = layer.votes(network.model.primary_capsules(image[None]))
    (stored,) = votes.chunks(10**6)
    lengths = np.linalg.norm(stored.array[0], axis=2)  # [in, classes]
    for scale in (0, 1, 17):
        way = copy.copy(layer.routing)
        way.scale = float(scale)
        seen = ask(page, "pixels", image.ravel().tolist(), scale)
        shown, winners = seen["votes"], np.array([seen["chosen"]])
        np.testing.assert_allclose(shown["lengths"], lengths.ravel(), atol=1e-4)
        for step, expected in zip(shown["steps"], way(votes).steps, strict=True):
            c, agreement = (np.asarray(each)[0] for each in (expected.coefficients, votes.agreement(expected.capsules)))
            known = {"coupling": c, "agreement": agreement, "summed": (c * lengths).sum(axis=0)}
            known["lengths"] = np.linalg.norm(expected.capsules[0], axis=1)
            for what, values in known.items():
                np.testing.assert_allclose(step[what], np.ravel(values), atol=2e-4, err_msg=what)
            net = np.subtract(step["towards"], step["away"]) / step["summed"]
            diagnosed = agreement_of_winners(votes, [expected], winners)
            assert net[winners[0, 0]] == pytest.approx(float(diagnosed["net_push"][0]), abs=1e-3)
            away = (np.reshape(step["agreement"], c.shape)[:, winners[0, 0]] < 0).mean()
            assert away == pytest.approx(float(diagnosed["votes_away"][0]), abs=0.02)


def photo(kind: str) -> np.ndarray:
    """A seven on paper, light on dark, in uneven light, beside another figure, or drawn on nothing."""
    picture = np.full((90, 70, 3), 235, np.uint8)
    picture[20:70, 30:37] = (30, 40, 60)
    picture[20:27, 18:37] = 20
    if kind == "uneven light":
        return (picture * np.linspace(0.5, 1, 90)[:, None, None]).astype(np.uint8)
    if kind == "two figures":
        picture[45:85, 50:56] = 30
    if kind == "white on nothing":
        return np.dstack([np.full_like(picture, 255), 255 * (picture[..., 0] < 100).astype(np.uint8)])
    return 255 - picture if kind == "light on dark" else picture


@pytest.mark.parametrize("name", ["capsnet_mnist_small", "capsnet_multimnist_small"])
def test_a_picture_and_a_drawing_become_what_python_makes_of_them(page, name, shipped_page):
    trained, _, file = shipped_page(name)
    targets, shape, options = trained.num_targets, trained.model.image_shape, trained.options
    page.open(file)
    for kind in ("dark on light", "light on dark", "uneven light", "two figures", "white on nothing"):
        received = ask(page, "picture", rgba(photo(kind)))
        image, notes = prepare("mnist", photo(kind), shape, options=options)
        np.testing.assert_allclose(np.reshape(received["image"], shape), image, atol=0.02, err_msg=kind)
        assert sorted(received["notes"]) == sorted(notes), kind
        assert any("only the" in note for note in notes) == (kind == "two figures" and targets == 1)
    strokes = [[[0.2, 0.2], [0.4, 0.2], [0.25, 0.7]], [[0.6, 0.3], [0.62, 0.8]]][:targets]
    drawn = page.run(f"{functions('paper', 'strokes', 'upload')} const made = pictureOf(arguments[0], arguments[1]);"
                     "return { ...made, data: [...made.data] };", strokes, targets)  # fmt: skip
    picture = np.reshape(drawn["data"], (drawn["rows"], drawn["columns"], 4)).astype(np.uint8)
    image, _ = prepare("mnist", picture[..., :3], shape, options=options)
    np.testing.assert_allclose(np.reshape(ask(page, "drawing", strokes)["image"], shape), image, atol=0.02)


def test_the_page_moves_an_image_as_the_robustness_report_does(page, shipped_page):
    _, digits, file = shipped_page("capsnet_mnist_small")
    page.open(file)
    image, none = digits.images[:1].astype(np.float32) / 255, {"turn": 0, "right": 0, "down": 0, "scale": 1, "shear": 0}
    script = functions("warp") + "return [...warp(arguments[0], { rows: 28, columns: 28, depth: 1 }, arguments[1])];"
    moves = {"turn": ("rotation", 30), "right": ("shift", 2.5), "scale": ("scale", 0.7), "shear": ("shear", 0.3)}
    for move, (change, amount) in moves.items():
        warped = page.run(script, image.ravel().tolist(), none | {move: amount})
        np.testing.assert_allclose(warped, CHANGES[change][0](image, amount).ravel(), atol=1e-5, err_msg=move)


def test_it_holds_a_thousand_test_images_each_once_and_those_that_are_answered_wrong(shipped_page):
    network, digits, _ = shipped_page("capsnet_mnist_small")
    written = content(network, digits)
    images = np.frombuffer(base64.b64decode(written["images"]), np.uint8).reshape(-1, 28, 28, 1)
    np.testing.assert_array_equal(images, digits.images)
    predicted = np.asarray(network.model.predict(digits.images / np.float32(255), verbose=0)["logits"]).argmax(axis=1)
    wrong = np.flatnonzero(predicted != digits.labels).tolist()
    assert written["facts"]["wrong"] == wrong and wrong


def test_of_sorted_folders_every_class_is_in_the_page(monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 10)
    trained, split = untrained("capsule", (20, 20, 1), remake=False), some_split((20, 20, 1))
    images, labels = split.images.repeat(40, axis=0), np.arange(200) // 20
    written = content(trained, ImageArrays(split.info, images, labels, 0))
    assert {label for (label,) in written["labels"]} == set(range(10))


def test_a_page_replaces_itself_and_nothing_else(tmp_path):
    trained, split = untrained("capsule", (20, 20, 1), remake=False), some_split((20, 20, 1))
    for name in ("page.html", "folder", "page.html", "folder"):
        export_page(trained, split, tmp_path / "ours" / name)
    assert sorted(path.name for path in (tmp_path / "ours").rglob("*.*")) == ["index.html", "page.html"]
    places = {"folder": "a/letter.txt", "site": "b/index.html", "file": "c.html", "notes": "d"}
    for place in places.values():
        other = tmp_path / place
        other.parent.mkdir(exist_ok=True)
        other.write_text("<h1>Class 8b</h1>")
        with pytest.raises(ValueError, match="exists and is not a page of this program"):
            export_page(trained, split, tmp_path / place.split("/")[0])
        assert other.read_text() == "<h1>Class 8b</h1>"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2 + len(places)


@pytest.mark.parametrize(
    ("name", "shape", "hparams", "words"),
    [
        ("matrix", (28, 28, 1), {"routing": 1}, "The page runs CapsNet and EfficientCapsNet .*Received: MatrixCapsNet"),
        ("baseline", (28, 28, 1), {}, "Received: Baseline"),
        ("efficient", (48, 48, 2), {}, "does not run the Efficient-CapsNet of smallNORB"),
    ],
)
def test_a_network_that_it_cannot_run_is_refused(name, shape, hparams, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        export_page(untrained(name, shape, **hparams), some_split(shape), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
