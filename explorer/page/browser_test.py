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
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from explorer.page import exported
from explorer.page.conftest import answers, some_split, untrained
from explorer.page.exported import export_page
from explorer.page.serve import PageServer


def png(image):
    """The bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "png")
    return file.getvalue()


def test_a_drawn_one_is_recognised_and_its_capsule_redraws_as_a_slider_moves(page, taught_page):
    page.open(taught_page)
    page.click("mode-draw")
    assert page.text("prediction") == "Nothing to see yet"
    empty = page.figures()
    page.draw((0.25, 0.2), (0.24, 0.3), (0.23, 0.4), (0.22, 0.5), (0.21, 0.6))  # in a corner
    assert page.text("prediction").endswith(" sees 1") and page.values()[1] == max(page.values())
    assert "centred" in page.text("notes") and page.text("capsule-title") == "What the capsule of 1 draws"
    drawn = page.figures()
    assert drawn[0] != empty[0] and drawn[1] != empty[1]
    slider = page.driver.find_element(By.CSS_SELECTOR, "[aria-label='Dimension 4']")
    value = float(slider.get_attribute("aria-valuetext"))
    slider.send_keys(*[Keys.RIGHT] * 20)
    page.rest()
    assert page.figures()[0] == drawn[0] and page.figures()[1] != drawn[1]
    assert float(slider.get_attribute("aria-valuetext")) == pytest.approx(value + 0.2, abs=0.016)
    page.click("reset")
    assert page.figures()[1] == drawn[1]
    page.click("clear")
    assert page.text("prediction") == "Nothing to see yet" and page.figures() == empty


def test_each_of_two_fingers_draws_a_stroke_of_its_own(page, taught_page):
    page.open(taught_page)
    page.click("mode-draw")
    box = page.run(
        "const box = document.getElementById('pad').getBoundingClientRect(); return [box.x, box.y, box.width]"
    )

    def touch(kind, *points):
        points = [{"x": box[0] + x * box[2], "y": box[1] + y * box[2], "id": id} for id, (x, y) in enumerate(points)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.3, 0.2))
    touch("touchStart", (0.3, 0.2), (0.9, 0.9))
    for step in range(1, 7):
        touch("touchMove", (0.3, 0.2 + 0.1 * step), (0.9 - 0.05 * step, 0.9))
    touch("touchEnd")
    page.click("undo")  # the second finger's stroke
    assert page.text("prediction").endswith(" sees 1")
    page.click("undo")
    assert page.text("prediction") == "Nothing to see yet"


def test_a_test_digit_another_bar_and_an_upload(page, network, taught_page, digits, tmp_path):
    page.open(taught_page)
    page.choose_example(3)
    looked = answers(network, digits.images[3].reshape(28, 28, 1) / np.float32(255))
    best = int(looked["chosen"][0])
    assert page.text("truth") == f"Its label is {digits.labels[3]}: {'right' if best == digits.labels[3] else 'wrong'}."
    np.testing.assert_allclose(page.values(), looked["scores"], atol=0.0051)
    shown, other = page.figures(), (best + 5) % 10
    page.bars()[other].click()
    page.rest()
    assert page.figures()[1] != shown[1] and page.text("capsule-title") == f"What the capsule of {other} draws"
    page.click("next")
    assert page.text("truth").startswith(f"Its label is {digits.labels[4]}: ") and page.figures()[0] != shown[0]
    page.click("wrong")
    assert page.text("truth").endswith(": wrong.") and int(page.find("index").get_attribute("value")) > 4
    page.upload(tmp_path / "digit.png", png(digits.images[3][..., 0]))
    assert page.figures()[0] == shown[0] and page.text("prediction").endswith(f" sees {best}")
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("blob:", "data:")) for name in loaded)  # it asks nobody


def test_what_cannot_be_read_is_said_and_the_old_answer_goes(page, taught_page, tmp_path):
    page.open(taught_page)
    two = Image.new("L", (200, 100), 240)
    for left in (30, 130):
        ImageDraw.Draw(two).line([(left, 20), (left, 80)], fill=20, width=8)
    page.upload(tmp_path / "two.png", png(two))
    assert "2 characters: only the largest is read" in page.text("notes")
    blank = png(np.full((60, 60), 240, np.uint8))
    for content, words in ((b"not an image", "Expected a readable picture"), (blank, "no ink stands out")):
        page.upload(tmp_path / f"{len(content)}.png", content)
        assert words in page.text("error") and page.text("prediction") == "Nothing to see yet"
        page.wait(lambda words=words: words in page.find("live").get_attribute("textContent"))
    page.choose_example(0)
    assert page.text("truth") and not page.text("error")


def test_two_digits_have_two_colours_and_one_may_be_another(page, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 20)
    page.open(export_page(untrained("capsule", (36, 36, 1), targets=2), pairs, tmp_path / "page.html"))
    page.choose_example(5)
    labels = pairs.batch(np.array([5, 8]), np.zeros((2, 0)))["labels"]
    page.choose_example(8, "second")
    assert page.text("truth").startswith(f"Its labels are {labels[0, 0]} and {labels[1, 1]}: ")
    seen, shown = page.text("prediction").split(" sees ")[1].split(" and "), page.figures()
    assert len(set(seen)) == 2 and len(shown) == 4
    pixel = "return [...document.querySelectorAll('#pictures canvas')[arguments[0]].getContext('2d')"
    orange, blue = (page.run(f"{pixel}.getImageData(18, 18, 1, 1).data]", index) for index in (1, 2))
    assert orange[0] > orange[1] > orange[2] == 0 and blue[2] > blue[1] > blue[0] == 0
    page.driver.find_elements(By.CSS_SELECTOR, "#pictures button")[1].click()
    page.bars()[next(index for index in range(10) if str(index) not in seen)].click()
    page.rest()
    assert page.figures()[1] == shown[1] and page.figures()[2] != shown[2] and page.figures()[3] != shown[3]


def test_networks_without_decoder_or_capsules_and_colour_images(page, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "EXAMPLES", 20)
    page.open(export_page(untrained("capsule", (28, 28, 1), remake=False), digits, tmp_path / "capsules.html"))
    assert "without a decoder" in page.text("capsule") and not page.find("part-drawing").is_displayed()
    page.draw((0.5, 0.2), (0.5, 0.8))
    assert " sees " in page.text("prediction") and len(page.driver.find_elements(By.CSS_SELECTOR, "#maps canvas")) == 6
    colour = untrained("baseline", (20, 20, 3), dataset="cifar10")
    page.open(export_page(colour, some_split((20, 20, 3)), tmp_path / "colour.html"))
    assert not page.find("mode-draw").is_displayed() and not page.find("start-tour").is_displayed()
    page.choose_example(1)
    page.move("Turn", 30)
    assert page.text("second-best").startswith("score ") and not page.find("votes").is_displayed()
    assert not page.driver.find_elements(By.ID, "capsule") and not page.find("poses-figure").is_displayed()


def test_moves_sharpness_and_iteration_change_everything_and_are_in_the_address(page, taught_page):
    page.open(taught_page)
    page.choose_example(2)
    before, picture = page.values(), page.figures()[0]
    assert page.text("step-name") == "Iteration 3 of 3" and not page.find("step-on").is_enabled()
    page.click("step-back")
    page.click("step-back")
    assert page.text("step-name") == "Iteration 1 of 3" and "share of 0.10" in page.text("step-story")
    first = page.text("push")
    page.click("step-on")
    assert page.text("push") != first and "away" in page.text("push")
    page.move("Turn", 40)
    assert page.figures()[0] != picture and page.values() != before
    page.wait(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, "#sweep circle.ours")) == 11)
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#sweep circle.rival")) == 11  # the other network's
    turned = page.values()
    page.move("Sharpness of the routing", 20)
    sharp = page.values()
    assert sharp != turned and float(page.text("scale-low")) >= 0
    page.wait(lambda: page.driver.current_url.endswith("#test=2&turn=40&sharpness=20&iteration=2"))
    page.click("unsharpen")
    page.click("unmove")
    assert page.figures()[0] == picture and page.values() == before
    page.open(taught_page, "#test=2&turn=40&sharpness=20&iteration=2")
    assert page.values() == sharp and page.text("step-name") == "Iteration 2 of 3"
    page.click("play")
    page.wait(lambda: page.text("step-name") == "Iteration 3 of 3")


def test_it_begins_with_a_digit_that_turns_until_the_first_touch(page, taught_page):
    page.open(taught_page, motion=True)
    shown = [page.figures()[0]]
    page.wait(lambda: page.figures()[0] != shown[0])
    ActionChains(page.driver).send_keys(Keys.SHIFT).perform()
    page.wait(lambda: re.search(r"#test=\d+$", page.driver.current_url))
    page.rest()
    still = page.figures()[0]
    page.run("return document.body.offsetWidth")
    assert page.figures()[0] == still and not page.find("hint").is_displayed()


def test_the_tour_goes_by_keyboard_and_the_parts_and_tasks_lead_to_their_cards(page, taught_page):
    page.open(taught_page)
    page.find("start-tour").send_keys(Keys.ENTER)
    titles = [page.text("tour-title")]
    for _ in range(5):
        page.driver.switch_to.active_element.send_keys(Keys.ENTER)
        titles.append(page.text("tour-title"))
    assert [title[:6] for title in titles] == [f"{step} of 6" for step in range(1, 7)]
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find("tour").is_displayed()
    assert page.driver.switch_to.active_element.get_attribute("id") == "start-tour"
    close_a_four, _, sharpen = page.driver.find_elements(By.CSS_SELECTOR, "#tasks button")
    close_a_four.click()
    page.rest()
    assert page.find("pad").is_displayed() and "sees" in page.text("prediction")
    sharpen.click()
    page.rest()
    assert page.text("truth") == "Its label is 2: right."


FAINTEST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255)
  .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (element) => {
  const colour = getComputedStyle(element).backgroundColor;
  return (parts(colour)[3] ?? 1) < 1 && element.parentElement ? behind(element.parentElement) : colour;
};
return [...document.querySelectorAll('body *')].filter((element) => element.checkVisibility() && !element.disabled
  && !element.closest('svg, .unseen, .stage')
  && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), element.id || element.className, element.textContent.slice(0, 20)];
  }).sort((x, y) => x[0] - y[0])[0]"""
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


def test_it_fits_all_windows_one_place_speaks_and_every_number_says_how_it_comes(page, taught_page):
    page.open(taught_page)
    for large in (False, True):
        if large:
            page.click("large")
        for width, height in ((390, 844), (820, 1180), (1440, 900), (1920, 1080), (2560, 1440)):
            page.resize(width, height)
            assert page.run("return document.documentElement.scrollWidth") <= width
            assert page.run(SMALLEST) >= (17.9 if large else 14)
            if width == 1920:
                page.run("scrollTo(0, 0)")
                assert page.run(LOWEST) <= height  # input, lengths and drawing on one screen
    # Nothing of a projector's width is left empty.
    assert page.run("return document.querySelector('main').getBoundingClientRect().width") > 0.9 * width
    for _ in range(2):  # light and dark
        contrast, *where = page.run(FAINTEST)
        assert contrast >= 4.5, where
        page.click("theme")
    speaking = page.driver.find_elements(By.CSS_SELECTOR, "[aria-live], [role=alert], [role=status], [role=log]")
    assert [element.get_attribute("id") for element in speaking] == ["live"] and page.run(UNNAMED) == []
    page.wait(lambda: page.find("live").get_attribute("textContent").startswith(page.text("prediction")))
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, "#sweep circle"))
    numbers = "#second-best, #sliders label input, #push b, #votes-story b, #sweep svg, #growth svg, #scale-low"
    ActionChains(page.driver).send_keys(Keys.TAB).perform()  # from now on, a focus can be seen
    assert all(page.run(TOLD, selector) for selector in (".bar", *numbers.split(", ")))


def test_it_is_served_by_a_get_on_this_machine_alone(taught_page):
    with PageServer(taught_page, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(method, path, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

        assert ask("GET", "/") == ask("GET", "/", Host="localhost") == (200, taught_page.read_bytes())
        assert ask("GET", "/page.html")[0] == ask("GET", "/../x")[0] == ask("GET", "/", Host="evil.example")[0] == 404
        assert ask("POST", "/")[0] == 501
        with pytest.raises(OSError):  # another address of this machine, which a server on 0.0.0.0 would answer
            socket.create_connection(("127.0.0.2", server.server_port), timeout=5)
        with pytest.raises(ValueError, match="cannot be used: Address already in use. Give another --port"):
            PageServer(taught_page, server.server_port)
        server.shutdown()
