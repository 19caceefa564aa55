"""The page computes in the browser what the network computes here, holds all it needs, and overwrites nothing."""

import base64
import copy

import numpy as np
import pytest

from capsules import DynamicRouting
from explorer.diagnose import agreement_of_winners
from explorer.page.exported import content, export_page
from input_data import prepare
from input_data.arrays import ImageArrays
from input_data.dataset import Info
from models import make_model, pretrained
from models.hparams import HParams
from runner.config import NetworkConfig
from runner.loader import Trained
from runner.summaries import visible

NAMES = ("</script><b>", "<!--", "ä\u2028", *"3456789")  # of classes, which must not break the page
SEVEN = np.full((90, 70, 3), 235, np.uint8)
SEVEN[20:70, 30:37] = (30, 40, 60)
SEVEN[20:27, 18:37] = 20
PHOTOS = {
    "light on dark": 255 - SEVEN,
    "in uneven light": np.uint8(SEVEN * np.linspace(0.5, 1, 90)[:, None, None]),
    "beside another figure": SEVEN - np.pad(np.full((40, 6, 1), 205, np.uint8), ((45, 5), (50, 14), (0, 0))),
    "white on nothing": np.dstack([np.full_like(SEVEN, 255), np.uint8(255 * (SEVEN[..., 0] < 100))]),
}


def untrained(name="capsule", shape=(20, 20, 1), **hparams):
    """A small network with random weights, large enough for the routing to have something to do, and random images."""
    random = np.random.RandomState(0)
    model = make_model(name, shape, 10, HParams(**{"num_prime_capsules": 2, "conv_channels": 10} | hparams))
    for variable in model.trainable_variables:
        variable.assign(variable * 1.5 + 0.02 * random.standard_normal(variable.shape))
    images = random.randint(0, 256, (1200, *shape), np.uint8)
    split = ImageArrays(Info("other", shape, 10, 1, NAMES), images, np.arange(1200) // 120, 0)
    return Trained(model, 0, NetworkConfig({"dataset": "folder"}, class_names=NAMES)), split


def check_answers(page, trained, index):
    """An example's answers are those of the network itself, and its votes add up to its capsules."""
    shown, model = page.ask("example", index), trained.model
    outputs = model(np.reshape(np.float32(shown["image"]), (1, *model.image_shape)))
    scores, capsules = (np.asarray(outputs[name])[0] for name in ("logits", "capsules"))
    assert np.ptp(scores) > 0.01, "nothing is compared"
    np.testing.assert_allclose(shown["scores"], scores, atol=1e-4)
    np.testing.assert_allclose(shown["capsules"], capsules, atol=1e-4)
    chosen = np.argsort(-scores, kind="stable")[: trained.config.num_targets]
    assert shown["chosen"] == chosen.tolist()
    for picture, drawn in zip(shown["drawn"], model.remake(outputs, chosen[None]), strict=True):
        np.testing.assert_allclose(picture["pixels"], 255 * visible(np.asarray(drawn)).ravel(), atol=0.53)
    for step in shown["votes"]["steps"]:
        net = np.subtract(step["towards"], step["away"]) + step["bias"]
        squashed = net**2 / (1 + net**2) if type(model).__name__ == "CapsNet" else 1 - np.exp(-net)
        np.testing.assert_allclose(step["lengths"], squashed, atol=1e-4)


def check_picture(page, trained, picture, **tolerance):
    """A picture uint8 [rows, columns, 3 or 4] becomes what Python makes of it; returns the notes."""
    full = picture if picture.shape[2] == 4 else np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    received = page.ask("picture", {"rows": full.shape[0], "columns": full.shape[1], "data": full.ravel().tolist()})
    shape, names = trained.model.image_shape, trained.config.class_names
    image, notes = prepare(trained.config.dataset, picture, shape, names, trained.config.options())
    np.testing.assert_allclose(received["image"], image.ravel(), **tolerance)
    assert sorted(received["notes"]) == sorted(notes)
    return notes


def test_a_network_of_own_colour_images_and_one_without_a_decoder(page, tmp_path):
    trained, split = untrained(shape=(20, 21, 3), leaky=True, padding="SAME")
    page.open(export_page(trained, split, tmp_path / "page.html"))
    check_answers(page, trained, 3)
    spoken = [bar.get_attribute("aria-label") for bar in page.all("#bars button")]
    assert [text.rsplit(" ", 1)[0] for text in spoken] == list(NAMES)
    assert not page.find("mode-draw").is_displayed() and page.find("mode-upload").is_displayed()
    check_picture(page, trained, np.random.RandomState(4).randint(0, 256, (33, 41, 3), np.uint8), atol=1e-6)
    plain, split = untrained(shape=(21, 20, 1), routing=1, remake=False, primary_atoms=6)
    page.open(export_page(plain, split, tmp_path / "page.html"))
    check_answers(page, plain, 3)
    assert not page.all("#capsule") and len(page.all("#maps canvas")) == 2 and not page.find("step").is_displayed()
    assert not page.all("#diagram [data-card=capsule]")[0].is_displayed()  # which would lead nowhere


@pytest.mark.parametrize("name", sorted({*pretrained.names()} - {"capsnet_mnist"}))  # like its small one, but slower
def test_the_page_of_a_network_that_ships_computes_what_it_computes(page, name, shipped_page):
    trained, split, file = shipped_page(name)
    page.open(file)
    check_answers(page, trained, 1)
    if name == "efficient_mnist":  # whose pixels are divided by 256
        check_picture(page, trained, split.images[3].repeat(3, axis=2), atol=1e-6)
    for kind, photo in PHOTOS.items() if "small" in name else ():
        notes = check_picture(page, trained, photo, atol=0.02, err_msg=kind)
        assert any("only the" in note for note in notes) == ("another" in kind and trained.config.num_targets == 1)


def test_the_votes_are_those_of_the_library_and_of_the_diagnosis_however_sharp(page, shipped_page):
    network, digits, file = shipped_page()
    page.open(file)
    image, layer = digits.images[3] / np.float32(255), network.model.classes
    votes = layer.votes(network.model.primary_capsules(image[None]))
    for scale in (1, 17):
        way = copy.copy(layer.routing)
        way.scale = float(scale)
        seen = page.ask("pixels", image.ravel().tolist(), scale)
        (best,) = seen["chosen"]
        for step, expected in zip(seen["votes"]["steps"], way(votes).steps, strict=True):
            lengths = np.linalg.norm(expected.capsules[0], axis=1)
            known = {"coupling": expected.coefficients, "agreement": votes.agreement(expected.capsules)}
            for what, values in (known | {"lengths": lengths}).items():
                np.testing.assert_allclose(step[what], np.ravel(values), atol=2e-4, err_msg=what)
            diagnosed = agreement_of_winners(votes, [expected], np.array([[best]]))
            net = (step["towards"][best] - step["away"][best]) / step["summed"][best]
            assert net == pytest.approx(float(diagnosed["net_push"][0]), abs=1e-3)


def test_it_holds_a_thousand_images_of_all_classes_and_those_that_are_answered_wrong():
    trained, split = untrained(remake=False)
    written = content(trained, split)
    places = np.linspace(0, 1199, 1000).round().astype(int)  # the user's folders follow one another
    images = np.frombuffer(base64.b64decode(written["images"]), np.uint8).reshape(-1, 20, 20, 1)
    np.testing.assert_array_equal(images, split.images[places])
    assert written["labels"] == split.labels[places, None].tolist()
    predicted = np.asarray(trained.model.predict(images / np.float32(255), verbose=0)["logits"]).argmax(axis=1)
    assert written["facts"]["wrong"] == np.flatnonzero(predicted != split.labels[places]).tolist()


def test_a_page_replaces_itself_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.page.exported.EXAMPLES", 5)
    trained, split = untrained(remake=False)
    for name in ("page.html", "folder", "page.html", "folder"):
        export_page(trained, split, tmp_path / "ours" / name)
    assert sorted(path.name for path in (tmp_path / "ours").rglob("*.*")) == ["index.html", "page.html"]
    for place in ("a/letter.txt", "b/index.html", "c.html", "d"):
        other = tmp_path / place
        other.parent.mkdir(exist_ok=True)
        other.write_text("<h1>Class 8b</h1>")
        with pytest.raises(ValueError, match="exists and is not a page of this program"):
            export_page(trained, split, tmp_path / place.split("/")[0])
        assert other.read_text() == "<h1>Class 8b</h1>"


def test_a_network_that_it_cannot_run_is_refused(tmp_path):
    for name, shape, hparams, words in (
        ("matrix", (17, 17, 1), {"routing": 1}, "The page runs CapsNet and EfficientCapsNet .*Received: MatrixCapsNet"),
        ("capsule", (20, 20, 1), {"routing_type": "em"}, "with their own routing. Received: CapsNet with EMRouting"),
        ("efficient", (48, 48, 2), {}, "does not run the Efficient-CapsNet of smallNORB"),
    ):
        with pytest.raises(ValueError, match=words):
            export_page(*untrained(name, shape, **hparams), tmp_path / "page.html")
    trained, split = untrained()
    trained.model.classes.routing = type("Mine", (DynamicRouting,), {})(2)
    with pytest.raises(ValueError, match="with their own routing"):
        export_page(trained, split, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
