"""The page in a real browser, headless Chromium: draw, read, move, choose, upload, follow the tour.

A test acts, then waits until the page is at rest, and reads: it waits for a state, never for a time.
"""

import http.client
import io
import re
import socket
import threading

import numpy as np
import pytest
from PIL import Image, ImageDraw
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from explorer.page.serve import PageServer


def png(image):
    """The bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "png")
    return file.getvalue()


def test_a_drawn_one_is_recognised_and_its_capsule_redraws_as_a_slider_moves(page, small_page):
    page.open(small_page)
    page.click("mode-draw")
    assert page.text("prediction") == "Nothing to see yet"
    empty = page.figures()
    page.draw((0.25, 0.2), (0.24, 0.3), (0.23, 0.4), (0.22, 0.5), (0.21, 0.6))  # in a corner
    assert page.text("prediction") == "It sees 1" and page.values()[1] == max(page.values())
    assert "centred" in page.text("notes") and page.text("capsule-title") == "What the capsule of 1 draws"
    drawn = page.figures()
    assert drawn[0] != empty[0] and drawn[1] != empty[1]
    slider = page.all("[aria-label='Dimension 4']")[0]
    value = float(slider.get_attribute("aria-valuetext"))
    slider.send_keys(*[Keys.RIGHT] * 20)
    page.rest()
    assert page.figures()[0] == drawn[0] and page.figures()[1] != drawn[1]
    assert float(slider.get_attribute("aria-valuetext")) == pytest.approx(value + 0.2, abs=0.016)
    page.click(".undo")
    assert page.figures()[1] == drawn[1]
    page.click("clear")
    assert page.text("prediction") == "Nothing to see yet" and page.figures() == empty
    # Each of two fingers draws a stroke of its own.
    left, top, side = page.run("const { x, y, width } = document.getElementById('pad').getBoundingClientRect();"
                               "return [x, y, width]")  # fmt: skip

    def touch(kind, *points):
        points = [{"x": left + x * side, "y": top + y * side, "id": id} for id, (x, y) in enumerate(points)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.3, 0.2))
    touch("touchStart", (0.3, 0.2), (0.9, 0.9))
    for step in range(1, 7):
        touch("touchMove", (0.3, 0.2 + 0.1 * step), (0.9 - 0.05 * step, 0.9))
    touch("touchEnd")
    page.click("undo")  # the second finger's stroke
    assert page.text("prediction") == "It sees 1"
    page.click("undo")
    assert page.text("prediction") == "Nothing to see yet"


def test_test_digits_other_bars_and_uploads_good_and_bad(page, small_page, shipped_page, tmp_path):
    network, digits, _ = shipped_page("capsnet_mnist_small")
    page.open(small_page)
    page.choose_example(3)
    scores = np.asarray(network.model(digits.images[3:4] / np.float32(255))["logits"])[0]
    best = scores.argmax()
    assert page.text("truth") == f"Its label is {digits.labels[3]}: {'right' if best == digits.labels[3] else 'wrong'}."
    np.testing.assert_allclose(page.values(), scores, atol=0.0051)
    shown, other = page.figures(), (best + 5) % 10
    page.all(".bar")[other].click()
    page.rest()
    assert page.figures()[1] != shown[1] and page.text("capsule-title") == f"What the capsule of {other} draws"
    page.click("next")
    assert page.text("truth").startswith(f"Its label is {digits.labels[4]}: ") and page.figures()[0] != shown[0]
    page.click("wrong")
    assert page.text("truth").endswith(": wrong.") and int(page.find("index").get_attribute("value")) > 4
    page.upload(tmp_path / "digit.png", png(digits.images[3][..., 0]))
    assert page.figures()[0] == shown[0] and page.text("prediction") == f"It sees {best}"
    two = Image.new("L", (200, 100), 240)
    for left in (30, 130):
        ImageDraw.Draw(two).line([(left, 20), (left, 80)], fill=20, width=8)
    page.upload(tmp_path / "two.png", png(two))
    assert "2 characters: only the largest is read" in page.text("notes")
    blank = png(np.full((60, 60), 240, np.uint8))
    for content, words in ((b"not an image", "Expected a readable picture"), (blank, "no ink stands out")):
        page.upload(tmp_path / f"{len(content)}.png", content)
        assert words in page.text("error") and page.text("prediction") == "Nothing to see yet"
        page.wait(lambda words=words: words in page.text("live"))
    page.choose_example(0)
    assert page.text("truth") and not page.text("error")
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("blob:", "data:")) for name in loaded)  # it asks nobody


def test_two_digits_have_two_colours_and_one_may_be_another(page, shipped_page):
    _, pairs, file = shipped_page("capsnet_multimnist_small")
    page.open(file)
    page.choose_example(5)
    one, other = pairs.batch(np.array([5]), np.zeros((1, 0)))["labels"][0]
    assert page.text("truth").startswith(f"Its labels are {one} and {other}: ")
    seen, shown = page.text("prediction").split(" sees ")[1].split(" and "), page.figures()
    assert len(set(seen)) == 2 and len(shown) == 3
    colour = """const canvas = document.querySelectorAll('#pictures canvas')[arguments[0]];
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [0, 1, 2].map((part) => data.filter((_, i) => i % 4 === part).reduce((a, b) => a + b))"""
    orange, blue = (page.run(colour, index) for index in (1, 2))
    assert orange[0] > orange[1] > orange[2] == 0 and blue[2] > blue[1] > blue[0] == 0
    page.all("#pictures button")[1].click()
    page.all(".bar")[next(index for index in range(10) if str(index) not in seen)].click()
    page.rest()
    assert page.figures()[1] == shown[1] and page.figures()[2] != shown[2] and page.figures()[0] != shown[0]


def test_moves_sharpness_and_iteration_change_everything_and_are_in_the_address(page, small_page):
    page.open(small_page)
    page.choose_example(2)
    before, picture, push = page.values(), page.figures()[0], page.text("push")
    assert page.text("step-name") == "Iteration 3 of 3"
    page.move("Iteration", 1)
    assert page.text("step-name") == "Iteration 1 of 3" and "share of 0.10" in page.text("step-story")
    page.move("Iteration", 2)
    assert page.text("push") != push and "away" in page.text("push")
    page.move("Turn", 40)
    assert page.figures()[0] != picture and page.values() != before
    page.wait(lambda: len(page.all("#sweep circle.ours")) == 11)
    turned = page.values()
    page.move("Sharpness of the routing", 20)
    sharp = page.values()
    assert sharp != turned and float(page.text("scale-low")) >= 0
    page.wait(lambda: page.driver.current_url.endswith("#test=2&turn=40&sharpness=20&iteration=2"))
    page.click(".undo")
    assert page.figures()[0] == picture and page.values() == before
    page.open(small_page, "#test=2&turn=40&sharpness=20&iteration=2")
    assert page.values() == sharp and page.text("step-name") == "Iteration 2 of 3"


def test_it_turns_until_the_first_touch_and_the_tour_and_the_tasks_lead_on(page, small_page):
    page.open(small_page, motion=True)
    shown = page.figures()[0]
    page.wait(lambda: page.figures()[0] != shown)
    ActionChains(page.driver).send_keys(Keys.SHIFT).perform()
    page.wait(lambda: re.search(r"#test=\d+$", page.driver.current_url))
    page.rest()
    still = page.figures()[0]
    page.run("return document.body.offsetWidth")
    assert page.figures()[0] == still and not page.find("hint").is_displayed()
    page.find("start-tour").send_keys(Keys.ENTER)
    titles = [page.text("tour-title")]
    for _ in range(5):
        page.driver.switch_to.active_element.send_keys(Keys.ENTER)
        titles.append(page.text("tour-title"))
    assert [title[:6] for title in titles] == [f"{step} of 6" for step in range(1, 7)]
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find("tour").is_displayed()
    assert page.driver.switch_to.active_element.get_attribute("id") == "start-tour"
    close_a_four, _, sharpen = page.all("#tasks button")
    close_a_four.click()
    page.rest()
    assert page.find("pad").is_displayed() and page.text("prediction").endswith("sees 4")
    page.draw((0.36, 0.2), (0.5, 0.19), (0.66, 0.24))  # from one end of the four to the other
    assert page.text("prediction").endswith("sees 9") and close_a_four.get_attribute("class") == "done"
    sharpen.click()
    page.rest()
    assert page.text("truth") == "Its label is 2: right."


SMALLEST = """return Math.min(...[...document.querySelectorAll('body *')].filter((element) => element.checkVisibility()
  && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .map((element) => parseFloat(getComputedStyle(element).fontSize)))"""
UNNAMED = """return [...document.querySelectorAll('button, input, canvas:not([aria-hidden]), figure svg')]
  .filter((element) => element.checkVisibility() && !(element.ariaLabel || element.textContent.trim()
    || element.closest('label')?.textContent.trim())).map((element) => element.outerHTML)"""
TOLD = """document.querySelector(arguments[0]).focus();
return document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"""
LOWEST = """return Math.max(...['input', 'answer', 'capsule'].map((id) =>
  document.getElementById(id).getBoundingClientRect().bottom))"""


def test_it_fits_all_windows_one_place_speaks_and_every_number_says_how_it_comes(page, small_page):
    page.open(small_page)
    for large in (False, True):
        if large:
            page.click("large")
        for width, height in ((390, 844), (820, 1180), (1440, 900), (1920, 1080), (2560, 1440)):
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 720}
            page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            assert page.run("return document.documentElement.scrollWidth") <= width
            assert page.run(SMALLEST) >= (17.9 if large else 14)
            if width == 1920:
                page.run("scrollTo(0, 0)")
                assert page.run(LOWEST) <= height  # input, lengths and drawing on one screen
    # Nothing of a projector's width is left empty.
    assert page.run("return document.querySelector('main').getBoundingClientRect().width") > 0.9 * width
    page.click("theme")
    speaking = page.all("[aria-live], [role=alert], [role=status], [role=log]")
    assert [element.get_attribute("id") for element in speaking] == ["live"] and page.run(UNNAMED) == []
    page.wait(lambda: page.text("live").startswith(page.text("prediction")))
    page.wait(lambda: page.all("#sweep circle"))
    numbers = "#facts, .bar, #second-best, #sliders input, #push b, #votes-story b, #sweep svg, #growth svg, #scale"
    ActionChains(page.driver).send_keys(Keys.TAB).perform()  # from now on, a focus can be seen
    assert all(page.run(TOLD, selector) for selector in numbers.split(", "))


def test_it_is_served_by_a_get_on_this_machine_alone(small_page):
    with PageServer(small_page, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(method, path, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

        assert ask("GET", "/") == ask("GET", "/", Host="localhost") == (200, small_page.read_bytes())
        assert ask("GET", "/page.html")[0] == ask("GET", "/../x")[0] == ask("GET", "/", Host="evil.example")[0] == 404
        assert ask("POST", "/")[0] == 501
        with pytest.raises(OSError):  # another address of this machine, which a server on 0.0.0.0 would answer
            socket.create_connection(("127.0.0.2", server.server_port), timeout=5)
        with pytest.raises(ValueError, match="cannot be used: Address already in use. Give another --port"):
            PageServer(small_page, server.server_port)
        server.shutdown()
