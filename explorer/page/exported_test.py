"""The page computes in the browser what the network computes here, holds all it needs, and overwrites nothing."""

import base64
import copy

import numpy as np
import pytest

from explorer import robustness
from explorer.diagnose import agreement_of_winners
from explorer.page import exported
from explorer.page.conftest import answers, some_split, untrained
from explorer.page.exported import bundle, content, export_page
from input_data import Options, open_split, prepare
from input_data.arrays import ImageArrays
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
LISTS = "(_, value) => (ArrayBuffer.isView(value) ? [...value] : value)"


def ask(page, question, *given):
    """What the worker of an open page answers."""
    received = page.driver.execute_async_script(
        ASK.replace("done(data)", f"done(JSON.parse(JSON.stringify(data, {LISTS})))"), question, given
    )
    assert "error" not in received, received
    return received["answer"]


def check_answers(page, trained, *given):
    """An example's answers are those of the network itself, and its votes add up to its capsules."""
    shown = ask(page, "example", *given)
    expected = answers(trained, np.reshape(np.float32(shown["image"]), trained.model.image_shape))
    drawn = expected.pop("drawn", [])
    for what, values in expected.items():
        np.testing.assert_allclose(shown[what], values, atol=1e-4, err_msg=what)
    for picture, image in zip(shown["drawn"], drawn, strict=True):
        np.testing.assert_allclose(picture["pixels"], 255 * visible(image[None]).ravel(), atol=0.53)
    for step in shown.get("votes", {}).get("steps", []):
        net = np.subtract(step["towards"], step["away"]) + step["bias"]
        squashed = net**2 / (1 + net**2) if type(trained.model).__name__ == "CapsNet" else 1 - np.exp(-net)
        np.testing.assert_allclose(step["lengths"], squashed, atol=1e-4)
    return shown, expected, drawn


NETWORKS = {  # what those that ship have not: they are of float16, one is for pairs, and one an Efficient-CapsNet
    "leaky, padded, colour": ("capsule", (20, 21, 3), {"leaky": True, "padding": "SAME", "dataset": "cifar10"}),
    "no decoder, one iteration": ("capsule", (21, 20, 1), {"routing": 1, "remake": False, "primary_atoms": 6}),
    "baseline, padded, softmax": ("baseline", (5, 4, 2), {"loss_type": "softmax", "padding": "SAME"}),
    "baseline of the paper, sigmoid": ("baseline_paper", (6, 7, 1), {"loss_type": "sigmoid"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_browser_computes_what_the_network_computes(page, name, tmp_path):
    kind, shape, options = NETWORKS[name]
    trained = untrained(kind, shape, **{"num_prime_capsules": 2, "conv_channels": 10} | options)
    if trained.model.has_capsules:  # larger weights, so that the routing has something to do
        random = np.random.RandomState(0)
        for variable in trained.model.variables:  # moving averages too
            if variable.dtype == "float32":
                variable.assign(variable * 1.5 + 0.02 * random.standard_normal(variable.shape))
    page.open(export_page(trained, some_split(shape), tmp_path / "page.html"))
    _, expected, drawn = check_answers(page, trained, 3)
    for what in (expected["scores"], *drawn):
        assert np.ptp(what) > 0.01, "nothing is compared"


@pytest.mark.parametrize("name", pretrained.names())
def test_the_page_of_a_network_that_ships_computes_what_it_computes(page, name, digits, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 100)
    trained = load(f"pretrained:{name}")
    page.open(export_page(trained, pairs if trained.num_targets == 2 else digits, tmp_path / "page.html"))
    assert (tmp_path / "page.html").stat().st_size < 25e6
    for index in range(3):
        check_answers(page, trained, index, index + 4)


def test_the_votes_are_those_of_the_library_and_of_the_diagnosis_however_sharp(page, network, taught_page, digits):
    page.open(taught_page)
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
            long = np.linalg.norm(expected.capsules[0], axis=1)
            pushes = c * agreement / long
            known = {"coupling": c, "agreement": agreement, "lengths": long, "summed": (c * lengths).sum(axis=0)}
            known |= {"towards": np.maximum(pushes, 0).sum(axis=0), "away": np.maximum(-pushes, 0).sum(axis=0)}
            for what, values in known.items():
                np.testing.assert_allclose(step[what], np.ravel(values), atol=2e-4, err_msg=what)
            net = np.subtract(step["towards"], step["away"]) / step["summed"]
            diagnosed = agreement_of_winners(votes, [expected], winners)
            assert net[winners[0, 0]] == pytest.approx(float(diagnosed["net_push"][0]), abs=1e-3)
            away = (np.reshape(step["agreement"], c.shape)[:, winners[0, 0]] < 0).mean()
            assert away == pytest.approx(float(diagnosed["votes_away"][0]), abs=0.02)


def rgba(picture: np.ndarray) -> dict:
    """A picture uint8 [rows, columns, 3 or 4] as the browser reads it."""
    data = picture if picture.shape[2] == 4 else np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    return {"rows": data.shape[0], "columns": data.shape[1], "data": data.ravel().tolist()}


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


@pytest.fixture(scope="module")
def pages(taught_page, pairs, tmp_path_factory):
    """The page and the options of a network for one digit, and of one for two."""
    pair = untrained("capsule", (36, 36, 1), targets=2, remake=False)
    other = export_page(pair, pairs, tmp_path_factory.mktemp("pairs") / "page.html")
    return {1: (taught_page, (28, 28, 1), Options()), 2: (other, (36, 36, 1), pair.options)}


@pytest.mark.parametrize("targets", [1, 2])
def test_a_picture_and_a_drawing_become_what_python_makes_of_them(page, pages, targets):
    file, shape, options = pages[targets]
    page.open(file)
    for kind in ("dark on light", "light on dark", "uneven light", "two figures", "white on nothing"):
        received = ask(page, "picture", rgba(photo(kind)))
        image, notes = prepare("mnist", photo(kind), shape, options=options)
        np.testing.assert_allclose(np.reshape(received["image"], shape), image, atol=0.02, err_msg=kind)
        assert sorted(received["notes"]) == sorted(notes), kind
        assert any("only the" in note for note in notes) == (kind == "two figures" and targets == 1)
    strokes = [[[0.2, 0.2], [0.4, 0.2], [0.25, 0.7]], [[0.6, 0.3], [0.62, 0.8]]][:targets]
    script = bundle(("paper", "upload")).removeprefix("(() => {").removesuffix("})();\n")
    drawn = page.run(f"{script} const made = pictureOf(arguments[0], arguments[1]);"
                     "return { ...made, data: [...made.data] };", strokes, targets)  # fmt: skip
    picture = np.reshape(drawn["data"], (drawn["rows"], drawn["columns"], 4)).astype(np.uint8)
    image, _ = prepare("mnist", picture[..., :3], shape, options=options)
    np.testing.assert_allclose(np.reshape(ask(page, "drawing", strokes)["image"], shape), image, atol=0.02)


def test_own_images_and_other_pixels_are_prepared_as_in_python_too(page, tmp_path):
    picture = np.random.RandomState(4).randint(0, 256, (33, 41, 3), np.uint8)
    for name, shape, dataset, hparams in (
        ("capsule", (20, 24, 3), "folder", {}),
        ("efficient", (28, 28, 1), "mnist", {"preparation": "efficient"}),
    ):
        trained = untrained(name, shape, dataset=dataset, remake=False, **hparams)
        split = open_split("mnist", "test", None, trained.options) if dataset == "mnist" else some_split(shape)
        page.open(export_page(trained, split, tmp_path / f"{dataset}.html"))
        given = picture if dataset == "folder" else split.images[3].repeat(3, axis=2)
        assert page.find("mode-upload").is_displayed()
        expected, _ = prepare(dataset, given, shape, trained.class_names, trained.options)
        np.testing.assert_allclose(ask(page, "picture", rgba(given))["image"], expected.ravel(), atol=1e-6)


def test_the_page_moves_an_image_as_the_robustness_report_does(page, taught_page, digits):
    page.open(taught_page)
    image, none = digits.images[:1].astype(np.float32) / 255, {"turn": 0, "right": 0, "down": 0, "scale": 1, "shear": 0}
    script = bundle(("warp",)).removeprefix("(() => {").removesuffix("})();\n")
    script += "return [...warp(arguments[0], { rows: 28, columns: 28, depth: 1 }, arguments[1])];"
    changes = {"turn": robustness.rotated, "right": robustness.shifted, "scale": robustness.scaled}
    for (move, change), amount in zip(
        (changes | {"shear": robustness.sheared}).items(), (30, 2.5, 0.7, 0.3), strict=True
    ):
        warped = page.driver.execute_script(script, image.ravel().tolist(), none | {move: amount})
        np.testing.assert_allclose(warped, change(image, amount).ravel(), atol=1e-5, err_msg=move)


def test_it_holds_a_thousand_test_images_each_once_and_those_that_are_answered_wrong(network, digits):
    written = content(network, digits)
    images = np.frombuffer(base64.b64decode(written["images"]), np.uint8).reshape(-1, 28, 28, 1)
    np.testing.assert_array_equal(images, digits.images)
    predicted = np.asarray(network.model.predict(digits.images / np.float32(255), verbose=0)["logits"]).argmax(axis=1)
    assert written["wrong"] == np.flatnonzero(predicted != digits.labels).tolist() and len(written["wrong"]) >= 10


def test_of_sorted_folders_every_class_is_in_the_page(monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 10)
    trained, split = untrained("capsule", (20, 20, 1), dataset="folder", remake=False), some_split((20, 20, 1))
    images, labels = split.images.repeat(40, axis=0), np.arange(200) // 20
    written = content(trained, ImageArrays(split.info, images, labels, 0))
    assert {label for (label,) in written["labels"]} == set(range(10))


def test_a_name_of_a_class_cannot_break_the_page(page, tmp_path):
    names = ("</script><b>", "<!--", "ä\u2028", *"3456789")
    trained = Trained(untrained("capsule", (20, 20, 1), remake=False).model, 0, "folder", 1, names)
    page.open(export_page(trained, some_split((20, 20, 1)), tmp_path / "page.html"))
    shown = "return [...document.querySelectorAll('.bar .name')].map((each) => each.textContent)"
    assert page.driver.execute_script(shown) == list(names)


def test_a_page_replaces_itself_and_nothing_else(network, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 20)
    for name in ("page.html", "folder", "page.html", "folder"):
        export_page(network, digits, tmp_path / "ours" / name)
    assert sorted(path.name for path in (tmp_path / "ours").rglob("*.*")) == ["index.html", "page.html"]
    places = {"folder": "a/letter.txt", "site": "b/index.html", "file": "c.html", "notes": "d"}
    for place in places.values():
        other = tmp_path / place
        other.parent.mkdir(exist_ok=True)
        other.write_text("<h1>Class 8b</h1>")
        with pytest.raises(ValueError, match="exists and is not a page of this program"):
            export_page(network, digits, tmp_path / place.split("/")[0])
        assert other.read_text() == "<h1>Class 8b</h1>"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2 + len(places)


def test_a_network_that_it_cannot_run_is_refused(digits, tmp_path):
    with pytest.raises(ValueError, match="The page runs CapsNet, EfficientCapsNet, .*Received: MatrixCapsNet"):
        export_page(untrained("matrix", (28, 28, 1), routing=1), digits, tmp_path / "page.html")
    stereo = untrained("efficient", (48, 48, 2), dataset="norb")
    with pytest.raises(ValueError, match="does not run the Efficient-CapsNet of smallNORB"):
        export_page(stereo, some_split((48, 48, 2)), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
