"""Networks for the page's tests, what they answer, and the page in a browser."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from explorer.page.exported import export_page
from input_data import Options, open_split
from input_data.arrays import ImageArrays
from input_data.dataset import Info
from models import make_model
from models.hparams import HParams
from runner.loader import Trained

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


def untrained(name: str, shape: tuple, targets: int = 1, dataset: str = "mnist", **hparams) -> Trained:
    """A small network with random weights."""
    keras.utils.set_random_seed(1)
    model = make_model(name, shape, 10, HParams(**{"num_prime_capsules": 4, "conv_channels": 32} | hparams))
    return Trained(model, 0, dataset, targets, tuple("0123456789"))


def some_split(shape, name="other"):
    """Five random images."""
    images = np.random.RandomState(2).randint(0, 256, (5, *shape), np.uint8)
    return ImageArrays(Info(name, shape, 10, 1, tuple("0123456789")), images, np.arange(5), 0)


def answers(trained: Trained, image: np.ndarray) -> dict[str, np.ndarray]:
    """What a network itself makes of an image [rows, columns, depth], by the names of the page's answers."""
    outputs = trained.model(image[None])
    scores = np.asarray(trained.model.scores(outputs["logits"]))[0]
    chosen = np.argsort(-scores, kind="stable")[: trained.num_targets]
    found = {"scores": scores, "chosen": chosen}
    if "capsules" in outputs:
        found["capsules"] = np.asarray(outputs["capsules"])[0]
        found["drawn"] = np.array([each[0] for each in trained.model.remake(outputs, chosen[None])])
    return found


@pytest.fixture(scope="session")
def digits():
    """The embedded test digits."""
    return open_split("mnist", "test", None)


@pytest.fixture(scope="session")
def pairs():
    """Pairs of the embedded test digits."""
    return open_split("mnist", "test", None, Options(num_targets=2))


@pytest.fixture(scope="session")
def taught_page(network, digits, tmp_path_factory):
    """The page of the network that was trained for a moment, and of another one without a decoder."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    return export_page(network, digits, path, untrained("capsule", (28, 28, 1), remake=False))


class Page:
    """The page in a browser, by what a user sees and does."""

    def __init__(self, driver):
        self.driver, self.run = driver, driver.execute_script

    def open(self, file: Path, link: str = "", motion: bool = False) -> None:
        """Opens the page; without motion, it begins with a digit that stands still."""
        still = {"name": "prefers-reduced-motion", "value": "no-preference" if motion else "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [still]})
        self.driver.get("about:blank")
        self.driver.get(f"{file.as_uri()}{link}")
        self.wait(lambda: self.run("return !document.querySelector('#prediction').textContent.startsWith('Loading')"))
        if not motion:
            self.rest()

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 120, 0.05).until(lambda _: condition())

    def rest(self) -> None:
        """Waits until every question of the page is answered and painted."""
        self.wait(lambda: self.driver.find_element(By.TAG_NAME, "main").get_attribute("aria-busy") == "false")

    def click(self, name: str) -> None:
        self.run("arguments[0].scrollIntoView({ block: 'center' })", self.find(name))
        self.find(name).click()
        self.rest()

    def move(self, name: str, value: float) -> None:
        """Sets a slider by the name that a screen reader says."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.run(script, self.driver.find_element(By.CSS_SELECTOR, f"[aria-label='{name}']"), value)
        self.rest()

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        return self.find(name).text

    def bars(self) -> list:
        return self.driver.find_elements(By.CLASS_NAME, "bar")

    def figures(self) -> list[str]:
        """The pictures of the capsule's card: input and reconstructions, by their content."""
        return self.run("return [...document.querySelectorAll('#pictures canvas')].map((each) => each.toDataURL())")

    def values(self) -> list[float]:
        """The numbers of the bars, of the network itself."""
        texts = "return [...document.querySelectorAll('.bar .value:not(.rival)')].map((value) => value.textContent)"
        return [float(text) for text in self.run(texts)]

    def upload(self, path: Path, content: bytes) -> None:
        """Gives the page a file."""
        path.write_bytes(content)
        self.click("mode-upload")
        self.find("file").send_keys(str(path))
        self.rest()

    def resize(self, width: int, height: int) -> None:
        """Gives the page a window of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 720}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def draw(self, *points) -> None:
        """One stroke of the mouse through points from 0 to 1."""
        self.click("mode-draw")
        pad = self.find("pad")
        places = [(round((x - 0.5) * pad.size["width"]), round((y - 0.5) * pad.size["height"])) for x, y in points]
        actions = ActionChains(self.driver, duration=5).move_to_element_with_offset(pad, *places[0]).click_and_hold()
        for place in places[1:]:
            actions.move_to_element_with_offset(pad, *place)
        actions.release().perform()
        self.rest()

    def choose_example(self, number: int, field: str = "index") -> None:
        self.click("mode-test")
        self.find(field).send_keys(Keys.CONTROL, "a")
        self.find(field).send_keys(str(number), Keys.ENTER)
        self.rest()


@pytest.fixture(scope="session")
def driver():
    """Headless Chromium."""
    if not (os.path.exists(CHROMIUM) and os.path.exists(DRIVER)):
        pytest.skip(f"{CHROMIUM} and {DRIVER} are missing: apt-get install chromium chromium-driver, on Debian")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    offline = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900", *offline):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(DRIVER))
    started.set_script_timeout(120)
    yield started
    started.quit()


@pytest.fixture
def page(driver):
    """The browser; a test after which its console has an error fails."""
    driver.get_log("browser")
    yield Page(driver)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
