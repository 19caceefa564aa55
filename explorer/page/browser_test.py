"""The page in a real browser, headless Chromium: draw, read, move, choose, upload.

A test acts, then waits until the page is at rest, and reads: it waits for a state, never for a time.
"""

import numpy as np
import pytest
import tensorflow as tf
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from explorer.page.conftest import Page, untrained
from explorer.page.inference import Inspector
from explorer.page.inference_test import some_split


@pytest.fixture(scope="module")
def taught_port(taught, digits, serving):
    return serving(taught, digits, untrained("capsule", (28, 28, 1), remake=False))


def test_a_drawn_one_is_recognised_and_its_capsule_redraws_as_a_slider_moves(page, taught_port):
    page.open(taught_port)
    assert page.text("prediction") == "Nothing to see yet"
    empty = page.figures()
    page.draw((0.25, 0.2), (0.24, 0.3), (0.23, 0.4), (0.22, 0.5), (0.21, 0.6))  # in a corner
    assert page.text("prediction").endswith(" sees 1")
    assert page.values()[1] == max(page.values())
    assert "20×20" in page.text("notes") and page.text("capsule-title") == "What the capsule of 1 draws"
    drawn = page.figures()
    assert drawn[0] != empty[0] and drawn[1] != empty[1]

    slider = page.driver.find_element(By.CSS_SELECTOR, "[aria-label='Dimension 4']")
    value = slider.find_element(By.XPATH, "../output").text
    slider.send_keys(*[Keys.RIGHT] * 20)
    page.rest()
    assert page.figures()[0] == drawn[0] and page.figures()[1] != drawn[1]
    assert float(slider.find_element(By.XPATH, "../output").text) == pytest.approx(float(value) + 0.2, abs=0.011)
    assert "ms" in page.text("speed")
    page.click("reset")
    assert page.figures()[1] == drawn[1]

    page.click("clear")
    assert page.text("prediction") == "Nothing to see yet" and page.figures() == empty


def test_a_test_digit_another_bar_and_an_upload(page, taught, taught_port, digits, tmp_path):
    page.open(taught_port)
    page.choose_example(3)
    inspector = Inspector(taught, digits)
    looked = inspector.look(inspector.example(3)[0])
    best = int(looked["chosen"][0])
    verdict = "right" if best == digits.labels[3] else "wrong"
    assert page.text("truth") == f"Its label is {digits.labels[3]}: {verdict}."
    assert page.text("prediction").endswith(f" sees {best}")
    assert page.values() == [float(f"{score:.2f}") for score in looked["scores"].round(5)]

    shown = page.figures()
    other = (best + 5) % 10
    page.bars()[other].click()
    page.rest()
    assert page.figures()[1] != shown[1]
    assert page.text("capsule-title") == f"What the capsule of {other} draws"
    assert page.text("routing-title") == f"Where the routing to {other} looks"
    page.bars()[best].click()
    page.rest()
    assert page.figures()[1] == shown[1]

    page.click("next")
    assert page.text("truth").startswith(f"Its label is {digits.labels[4]}: ") and page.figures()[0] != shown[0]
    page.click("wrong")
    assert page.find("index").get_attribute("value") == str(inspector.next_wrong(4))
    assert page.text("truth").endswith(": wrong.")
    page.upload(tmp_path / "digit.png", tf.io.encode_png(digits.images[3]).numpy())
    assert page.figures()[0] == shown[0] and page.text("prediction").endswith(f" sees {best}")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not an image", "Expected a readable"), (bytes(9 * 2**20), "up to 8.0 MB. This one has 9.0 MB")],
)
def test_a_wrong_file_is_told_in_a_sentence_and_the_old_answer_goes(driver, taught_port, tmp_path, content, words):
    page = Page(driver)
    page.open(taught_port)
    page.choose_example(0)
    page.upload(tmp_path / "text.png", content)
    assert words in page.text("error") and page.text("prediction") == "Nothing to see yet"
    assert not page.find("shown").is_displayed() and all(not bar.is_enabled() for bar in page.bars())
    page.wait(lambda: words in page.find("live").get_attribute("textContent"))  # when the page has been quiet a little
    page.choose_example(0)
    assert page.text("truth") and not page.text("error")


def test_two_digits_have_two_colours_and_one_may_be_another(page, pairs, serving):
    page.open(serving(untrained("capsule", (36, 36, 1), targets=2), pairs))
    page.choose_example(5)
    labels = pairs.batch(np.array([5, 8]), np.zeros((2, 0)))["labels"]
    page.choose_example(8, "second")
    assert page.text("truth").startswith(f"Its labels are {labels[0, 0]} and {labels[1, 1]}: ")
    seen = page.text("prediction").split(" sees ")[1].split(" and ")
    assert len(set(seen)) == 2
    shown = page.figures()
    assert len(shown) == 4
    script = (
        "return [...document.querySelectorAll('#pictures canvas')[{}].getContext('2d').getImageData(18, 18, 1, 1).data]"
    )
    orange, blue = (page.driver.execute_script(script.format(index)) for index in (1, 2))
    assert orange[0] > orange[1] > orange[2] == 0 and blue[2] > blue[1] > blue[0] == 0
    page.driver.find_elements(By.CSS_SELECTOR, "#pictures button")[1].click()
    absent = next(index for index in range(10) if str(index) not in seen)
    page.bars()[absent].click()
    page.rest()
    assert page.figures()[1] == shown[1] and page.figures()[2] != shown[2] and page.figures()[3] != shown[3]


def test_networks_without_decoder_or_capsules_and_colour_images(page, digits, serving):
    page.open(serving(untrained("capsule", (28, 28, 1), remake=False), digits))
    assert "without a decoder" in page.text("capsule")
    page.draw((0.5, 0.2), (0.5, 0.8))
    assert " sees " in page.text("prediction")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#maps canvas")) == 6
    page.open(serving(untrained("baseline", (20, 20, 3), dataset="cifar10"), some_split((20, 20, 3))))
    assert not page.find("mode-draw").is_displayed() and not page.find("pad").is_displayed()
    page.choose_example(1)
    assert page.text("second-best").startswith("score ")
    page.move("Turn", 30)
    assert not page.driver.find_elements(By.ID, "capsule") and not page.find("routing").is_displayed()
    assert not page.find("poses-figure").is_displayed()


def test_moving_the_input_moves_scores_and_numbers_and_back_again(page, taught, taught_port):
    page.open(taught_port)
    page.choose_example(2)
    before, picture = page.values(), page.figures()[0]
    page.move("Turn", 40)
    assert page.figures()[0] != picture and page.values() != before
    page.wait(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, "#sweep circle.ours")) == 11)
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#sweep circle.rival")) == 11  # the other network's
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#poses rect")) == 16
    page.click("unmove")
    assert page.figures()[0] == picture and page.values() == before


def test_the_routing_goes_step_by_step(page, taught_port):
    page.open(taught_port)
    page.choose_example(2)
    assert page.text("step-name") == "Iteration 3 of 3" and not page.find("step-on").is_enabled()
    page.click("step-back")
    page.click("step-back")
    assert page.text("step-name") == "Iteration 1 of 3" and "share of 0.10" in page.text("step-story")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#maps .later")) == 2
    page.click("play")
    page.wait(lambda: page.text("step-name") == "Iteration 3 of 3")


SMALLEST = """return Math.min(...[...document.querySelectorAll('body *')].filter((element) => element.checkVisibility()
  && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) && !element.closest('svg'))
  .map((element) => parseFloat(getComputedStyle(element).fontSize)))"""
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


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900), (2560, 1440)])
def test_it_fits_windows_of_all_sizes_readably_and_needs_no_internet(page, taught_port, width, height):
    run = page.driver.execute_script
    page.resize(width, height)
    page.open(taught_port)
    page.choose_example(0)
    for large in (False, True):
        if large:
            page.click("large")
        assert run("return document.documentElement.scrollWidth") <= width
        assert run(SMALLEST) >= (18 if large else 14)
    if width == 2560:  # nothing of a projector's width is left empty
        assert run("return document.querySelector('main').getBoundingClientRect().width") > 0.9 * width
    loaded = run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(loaded) >= 5 and all(name.startswith(f"http://127.0.0.1:{taught_port}/") for name in loaded)


def test_text_stands_out_in_both_themes_and_one_place_speaks(page, taught_port):
    page.open(taught_port)
    page.choose_example(0)
    for _ in range(2):
        contrast, *where = page.driver.execute_script(FAINTEST)
        assert contrast >= 4.5, where
        page.click("theme")
    speaking = page.driver.find_elements(By.CSS_SELECTOR, "[aria-live], [role=alert], [role=status], [role=log]")
    assert [element.get_attribute("id") for element in speaking] == ["live"]
    page.wait(lambda: page.find("live").get_attribute("textContent").startswith(page.text("prediction")))
    unnamed = """return [...document.querySelectorAll('button, input, canvas, svg')].filter((element) =>
      element.checkVisibility() && !(element.ariaLabel || element.textContent.trim()
        || element.closest('label')?.textContent.trim())).map((element) => element.outerHTML)"""
    assert page.driver.execute_script(unnamed) == []
