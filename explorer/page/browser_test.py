"""The page in a real browser, headless Chromium: draw, read, move, choose, upload."""

import os

import numpy as np
import pytest
import tensorflow as tf
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from explorer.page.conftest import untrained
from explorer.page.inference import Inspector
from explorer.page.inference_test import some_split

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
pytestmark = pytest.mark.skipif(
    not (os.path.exists(CHROMIUM) and os.path.exists(DRIVER)),
    reason=f"{CHROMIUM} and {DRIVER} are missing: apt-get install chromium chromium-driver, on Debian",
)


class Page:
    """The page in a browser, by what a user sees and does."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, port: int) -> None:
        self.driver.get(f"http://127.0.0.1:{port}/")
        self.wait(lambda: " on " in self.text("facts"))

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 20).until(lambda _: condition())

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return self.find(name).text

    def bars(self) -> list:
        return self.driver.find_elements(By.CLASS_NAME, "bar")

    def figures(self) -> list[str]:
        """The pictures of the right column: input and reconstructions, by their content."""
        script = "return [...document.querySelectorAll('#pictures canvas')].map((canvas) => canvas.toDataURL())"
        return self.driver.execute_script(script)

    def draw(self, *points) -> None:
        """One stroke of the mouse through points from 0 to 1."""
        pad = self.find("pad")
        places = [(round((x - 0.5) * pad.size["width"]), round((y - 0.5) * pad.size["height"])) for x, y in points]
        actions = ActionChains(self.driver, duration=5).move_to_element_with_offset(pad, *places[0]).click_and_hold()
        for place in places[1:]:
            actions.move_to_element_with_offset(pad, *place)
        actions.release().perform()

    def choose_example(self, number: int, field: str = "index") -> None:
        self.find("mode-test").click()
        self.find(field).send_keys(Keys.CONTROL, "a")
        self.find(field).send_keys(str(number), Keys.ENTER)


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield started
    started.quit()


@pytest.fixture
def page(driver):
    """The browser; a test after which its console has an error fails."""
    driver.get_log("browser")
    yield Page(driver)
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.fixture(scope="module")
def taught_port(taught, digits, serving):
    return serving(taught, digits)


def test_a_drawn_one_is_recognised_and_its_capsule_redraws_as_a_slider_moves(page, taught_port):
    page.open(taught_port)
    assert page.text("prediction") == "Nothing to see yet"
    empty = page.figures()
    page.draw((0.25, 0.2), (0.24, 0.3), (0.23, 0.4), (0.22, 0.5), (0.21, 0.6))  # in a corner
    page.wait(lambda: page.text("prediction").endswith(" sees 1"))
    assert float(page.bars()[1].text.split()[-1]) == max(float(bar.text.split()[-1]) for bar in page.bars())
    assert "20×20" in page.text("notes") and page.text("capsule-title") == "What the capsule of 1 draws"
    drawn = page.figures()
    assert drawn[0] != empty[0] and drawn[1] != empty[1]
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#maps canvas")) == 3

    slider = page.driver.find_element(By.CSS_SELECTOR, "[aria-label='Dimension 4']")
    value = slider.find_element(By.XPATH, "../output").text
    slider.send_keys(*[Keys.RIGHT] * 20)
    page.wait(lambda: page.figures()[1] != drawn[1])
    assert page.figures()[0] == drawn[0]
    assert float(slider.find_element(By.XPATH, "../output").text) == pytest.approx(float(value) + 0.2, abs=0.011)
    page.wait(lambda: "ms" in page.text("speed"))
    print(f"\nMoving a slider: {page.text('speed')}")
    page.find("reset").click()
    page.wait(lambda: page.figures()[1] == drawn[1])

    page.find("clear").click()
    page.wait(lambda: page.text("prediction") == "Nothing to see yet")
    assert page.figures() == empty


def test_a_test_digit_another_bar_and_an_upload(page, taught, taught_port, digits, tmp_path):
    page.open(taught_port)
    page.choose_example(3)
    page.wait(lambda: page.text("truth") == f"Its label is {digits.labels[3]}.")
    inspector = Inspector(taught, digits)
    found = inspector.look(inspector.example(3)[0])
    chosen = int(found["chosen"][0])
    assert page.text("prediction").endswith(f" sees {chosen}")
    assert [bar.text.split()[-1] for bar in page.bars()] == [f"{score:.2f}" for score in found["scores"].round(5)]

    shown = page.figures()
    other = (chosen + 5) % 10
    page.bars()[other].click()
    page.wait(lambda: page.figures()[1] != shown[1])
    assert page.text("capsule-title") == f"What the capsule of {other} draws"
    assert page.text("routing-title") == f"Where the routing to {other} looks"
    page.bars()[chosen].click()
    page.wait(lambda: page.figures()[1] == shown[1])

    page.find("next").click()
    page.wait(lambda: page.text("truth") == f"Its label is {digits.labels[4]}.")
    assert page.figures()[0] != shown[0]
    (tmp_path / "digit.png").write_bytes(tf.io.encode_png(digits.images[3]).numpy())
    page.find("mode-upload").click()
    page.find("file").send_keys(str(tmp_path / "digit.png"))
    page.wait(lambda: page.figures()[0] == shown[0])
    assert page.text("prediction").endswith(f" sees {chosen}")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"not an image", "Expected a readable PNG"), (bytes(9 * 2**20), "up to 8.0 MB. This one has 9.0 MB")],
)
def test_a_wrong_file_is_told_in_a_sentence(driver, taught_port, tmp_path, content, words):
    page = Page(driver)
    page.open(taught_port)
    (tmp_path / "text.png").write_bytes(content)
    page.find("mode-upload").click()
    page.find("file").send_keys(str(tmp_path / "text.png"))
    page.wait(lambda: words in page.text("error"))
    page.choose_example(0)
    page.wait(lambda: page.text("truth") and not page.text("error"))


def test_two_digits_have_two_colours_and_one_may_be_another(page, pairs, serving):
    page.open(serving(untrained("capsule", (36, 36, 1), targets=2), pairs))
    page.choose_example(5)
    labels = pairs.batch(np.array([5, 8]), np.zeros((2, 0)))["labels"]
    page.choose_example(8, "second")
    page.wait(lambda: page.text("truth") == f"Its labels are {labels[0, 0]} and {labels[1, 1]}.")
    second = page.driver.find_elements(By.CSS_SELECTOR, "#pictures button")[1]
    seen = page.text("prediction").split(" sees ")[1].split(" and ")
    assert len(set(seen)) == 2
    shown = page.figures()
    assert len(shown) == 4
    script = (
        "return [...document.querySelectorAll('#pictures canvas')[{}].getContext('2d').getImageData(18, 18, 1, 1).data]"
    )
    orange, blue = (page.driver.execute_script(script.format(index)) for index in (1, 2))
    assert orange[0] > orange[1] > orange[2] == 0 and blue[2] > blue[1] > blue[0] == 0
    second.click()
    absent = next(index for index in range(10) if str(index) not in seen)
    page.bars()[absent].click()
    page.wait(lambda: page.figures()[2] != shown[2])
    assert page.figures()[1] == shown[1] and page.figures()[3] != shown[3]


def test_networks_without_decoder_or_capsules_and_colour_images(page, digits, serving):
    page.open(serving(untrained("capsule", (28, 28, 1), remake=False), digits))
    assert "without a decoder" in page.text("capsule")
    page.draw((0.5, 0.2), (0.5, 0.8))
    page.wait(lambda: " sees " in page.text("prediction"))
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#maps canvas")) == 3
    page.open(serving(untrained("baseline", (20, 20, 3), dataset="cifar10"), some_split((20, 20, 3))))
    assert not page.find("mode-draw").is_displayed() and not page.find("pad").is_displayed()
    page.choose_example(1)
    page.wait(lambda: page.text("second-best").startswith("score "))
    assert not page.driver.find_elements(By.ID, "capsule") and not page.find("routing").is_displayed()


def test_it_fits_a_phone_and_needs_no_internet(page, taught_port):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.open(taught_port)
    page.choose_example(0)
    page.wait(lambda: page.text("truth"))
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    loaded = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(loaded) >= 5 and all(name.startswith(f"http://127.0.0.1:{taught_port}/") for name in loaded)
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
