"""What a user of the page does in headless Chromium. A test waits until the page is at rest, never for a time."""

import socket
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from explorer.page.serve import page_server
from explorer.robustness import CHANGES


def pixels(picture):
    """The colours of a picture that the page shows, [rows, columns, 3]."""
    return np.asarray(Image.open(urlopen(picture)), float)[..., :3]


def test_a_drawing_is_recognised_its_capsule_redraws_and_each_finger_has_a_stroke(page, shipped_page):
    page.open(shipped_page()[2])
    page.click("#mode-draw")
    empty, pad = page.pictures(), page.find("pad")
    mouse = ActionChains(page.driver).move_to_element_with_offset(pad, -90, -106).click_and_hold()  # in a corner
    mouse.move_by_offset(-7, 71).move_by_offset(-7, 70).release().perform()
    page.rest()
    assert page.text("prediction") == "It sees 1" and page.lengths()[1] == max(page.lengths())
    drawn = page.pictures()
    page.all("[aria-label='Dimension 4']")[0].send_keys(*[Keys.RIGHT] * 10)
    page.rest()
    assert page.pictures()[0] == drawn[0] != empty[0] and page.pictures()[1] != drawn[1] != empty[1]
    page.click(".undo")
    assert page.pictures() == drawn
    page.click("#clear")
    assert page.pictures() == empty and page.text("prediction") == "Nothing to see yet"
    box = page.run("return arguments[0].getBoundingClientRect().toJSON()", pad)
    for step in range(4):
        points = ((0.3, 0.2 + 0.2 * step), (0.9 - 0.1 * step, 0.9))
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        touches = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        event = {"type": "touchMove" if step else "touchStart", "touchPoints": touches}
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", event)
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.click("#undo")  # the second finger's stroke
    assert page.text("prediction") == "It sees 1"
    page.click("#undo")
    assert page.text("prediction") == "Nothing to see yet"


def test_test_digits_other_bars_and_uploads_good_and_bad(page, shipped_page, tmp_path):
    network, digits, file = shipped_page()
    page.open(file)
    page.find("index").send_keys(Keys.CONTROL, "a")
    page.find("index").send_keys("3", Keys.ENTER)
    page.rest()
    scores = np.asarray(network.model(digits.images[3:4] / np.float32(255))["logits"])[0]
    best = scores.argmax()
    assert page.text("truth") == f"Its label is {best}: right."
    np.testing.assert_allclose(page.lengths(), scores, atol=0.0051)
    shown = page.pictures()
    page.click("#bars button", (best + 5) % 10)
    assert page.pictures()[0] == shown[0] and page.pictures()[1] != shown[1]
    page.click("#wrong")
    assert page.text("truth") == f"Its label is {digits.labels[7]}: wrong."
    white = np.full((28, 28, 4), 255, np.uint8)
    white[..., 3] = digits.images[3][..., 0]
    Image.fromarray(white).save(tmp_path / "white strokes on nothing.png")
    Image.new("L", (60, 60), 240).save(tmp_path / "blank.png")
    (tmp_path / "damaged.png").write_bytes(b"not an image")
    page.click("#mode-upload")
    for name, said, error in (
        ("blank.png", "Nothing to see yet", "no ink stands out"),
        ("damaged.png", "Nothing to see yet", "Expected a readable picture"),
        ("white strokes on nothing.png", f"It sees {best}", ""),
    ):
        page.find("file").send_keys(str(tmp_path / name))
        page.rest()
        assert page.text("prediction") == said and error in page.text("error")
        page.wait(lambda words=error or said: words in page.text("live"))  # which a screen reader reads aloud
    assert page.pictures()[0] == shown[0] and not page.text("error")
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("blob:", "data:")) for name in loaded)  # it asks nobody


def test_two_digits_have_two_colours_and_one_may_be_another(page, shipped_page):
    _, pairs, file = shipped_page("capsnet_multimnist_small")
    page.open(file, "#test=5")
    one, other = pairs.batch(np.array([5]), np.zeros((1, 0)))["labels"][0]
    assert page.text("truth").startswith(f"Its labels are {one} and {other}: ")
    seen, shown = page.text("prediction").split(" sees ")[1].split(" and "), page.pictures()
    orange, blue = (pixels(picture).sum(axis=(0, 1)) for picture in shown[1:])
    assert orange[0] > orange[1] > orange[2] == 0 and blue[2] > blue[1] > blue[0] == 0
    page.click("#pictures button", 1)
    page.click("#bars button", next(label for label in range(10) if str(label) not in seen))
    assert page.pictures()[1] == shown[1] and page.pictures()[2] != shown[2] and page.pictures()[0] != shown[0]


def test_moves_sharpness_and_iteration_change_everything_and_are_in_the_address(page, shipped_page):
    _, digits, file = shipped_page()
    page.open(file, "#test=2")
    before, picture, push = page.lengths(), page.pictures(), page.text("push")
    page.move("Iteration", 2)
    assert page.text("push") != push
    image, none = np.float32(digits.images[2:3] / 255), {"Scale": 1, "Turn": 40}
    moves = {"Shift right": ("shift", 2.5), "Scale": ("scale", 0.7), "Shear": ("shear", 0.3), "Turn": ("rotation", 40)}
    for name, (change, amount) in moves.items():
        page.move(name, amount)
        (shown,), expected = page.pictures("#shown"), 255 * CHANGES[change][0](image, amount)[0]
        np.testing.assert_allclose(pixels(shown), expected.repeat(3, axis=2), atol=0.51, err_msg=name)
        page.move(name, none.get(name, 0))
    turned = page.lengths()
    page.move("Sharpness of the routing", 20)
    sharp, link = page.lengths(), "#test=2&turn=40&sharpness=20&iteration=2"
    assert sharp != turned != before and float(page.text("scale-low")) >= 0
    page.wait(lambda: page.driver.current_url.endswith(link))
    page.wait(lambda: page.all("#sweep svg")[0].get_attribute("aria-label").count(": ") == 11)  # amounts: lengths
    page.click(".undo")
    assert page.pictures() == picture and page.lengths() == before
    page.open(file, link)
    assert page.lengths() == sharp and page.text("step-name") == "Iteration 2 of 3"


def test_it_turns_until_the_first_touch_and_the_tour_and_the_tasks_lead_on(page, shipped_page):
    page.open(shipped_page()[2], motion="no-preference")
    shown = page.pictures()[0]
    page.wait(lambda: page.pictures()[0] != shown)
    page.find("start-tour").send_keys(Keys.ENTER)
    page.wait(lambda: page.driver.current_url.endswith("#test=1"))  # at rest, and turned no more
    titles = []
    for step in range(6):
        titles.append(page.text("tour-title")[:6])
        page.driver.switch_to.active_element.send_keys(Keys.ENTER if step < 5 else Keys.ESCAPE)
    assert titles == [f"{step} of 6" for step in range(1, 7)] and not page.find("tour").is_displayed()
    assert page.driver.switch_to.active_element == page.find("start-tour")
    page.click("#tasks button")  # close a 4
    assert page.text("prediction").endswith("sees 4")
    mouse = ActionChains(page.driver).move_to_element_with_offset(page.find("pad"), -49, -106).click_and_hold()
    mouse.move_by_offset(49, -3).move_by_offset(56, 17).release().perform()
    page.wait(lambda: page.all("#tasks button.done") and page.text("prediction").endswith("sees 9"))
    page.click("#tasks button", 2)  # sharpen
    assert page.text("truth") == "Its label is 2: right."


def test_it_fits_all_windows_and_every_number_says_how_it_is_computed(page, shipped_page):
    page.open(shipped_page()[2])
    for large, width, height in ((0, 390, 844), (0, 2560, 1440), (1, 390, 844), (1, 1920, 1080)):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 720}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        if large and page.find("large").get_attribute("aria-pressed") == "false":
            page.click("#large")
        assert page.run("return document.documentElement.scrollWidth") <= width
    cards = [card.rect for card in page.all("#input, #answer, #capsule")]
    assert max(card["y"] + card["height"] for card in cards) <= height  # on one screen
    ActionChains(page.driver).send_keys(Keys.TAB).perform()  # from now on, a focus can be seen
    for number in ("#facts", "#bars button", "#second-best", "#sliders input", "#push b", "#sweep svg", "#growth svg"):
        assert page.run(f"document.querySelector('{number}').focus(); return !document.getElementById('tip').hidden")


def test_it_is_served_by_a_get_on_this_machine_alone(tmp_path):
    (tmp_path / "page.html").write_bytes(b"a page")
    with page_server(tmp_path / "page.html", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert urlopen(f"http://localhost:{server.server_port}/").read() == b"a page"
        for path, host in (("/../x", "localhost"), ("/", "evil.example")):
            with pytest.raises(HTTPError, match="404"):
                urlopen(Request(f"http://127.0.0.1:{server.server_port}{path}", headers={"Host": host}))
        with pytest.raises(OSError):  # another address of this machine, which a server on 0.0.0.0 would answer
            socket.create_connection(("127.0.0.2", server.server_port), timeout=5)
        with pytest.raises(ValueError, match="cannot be used: Address already in use. Give another --port"):
            page_server(tmp_path / "page.html", server.server_port)
        server.shutdown()
