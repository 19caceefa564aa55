"""The pages of networks that ship, and the page in a browser."""

import functools
import os
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from explorer.page import exported
from input_data import open_split
from runner.loader import load

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"


@pytest.fixture(scope="session")
def shipped_page(tmp_path_factory):
    """A function from the name of a network that ships to the network, its test split and its page of a few images."""

    @functools.cache
    def export(name, examples=20):
        trained = load(f"pretrained:{name}")
        split = open_split("mnist", "test", None, trained.options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exported, "EXAMPLES", examples)
            return trained, split, exported.export_page(trained, split, tmp_path_factory.mktemp("page") / "page.html")

    return export


@pytest.fixture(scope="session")
def small_page(shipped_page):
    """The page of `capsnet_mnist_small`, with all images."""
    return shipped_page("capsnet_mnist_small", exported.EXAMPLES)[2]


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
        self.wait(lambda: not self.text("prediction").startswith("Loading"))
        if not motion:
            self.rest()

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 120, 0.05).until(lambda _: condition())

    def rest(self) -> None:
        """Waits until every question of the page is answered and painted."""
        self.wait(lambda: self.driver.find_element(By.TAG_NAME, "main").get_attribute("aria-busy") == "false")

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.find(name).get_attribute("textContent")

    def click(self, name: str) -> None:
        """Clicks an element by its id, or the first of a class."""
        button = self.all(name)[0] if name.startswith(".") else self.find(name)
        self.run("arguments[0].scrollIntoView({ block: 'center' })", button)
        button.click()
        self.rest()

    def move(self, name: str, value: float) -> None:
        """Sets a slider by the name that a screen reader says."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.run(script, self.all(f"[aria-label='{name}']")[0], value)
        self.rest()

    def figures(self) -> list[str]:
        """The pictures of the capsule's card: input and reconstructions, by their content."""
        return self.run("return [...document.querySelectorAll('#pictures canvas')].map((each) => each.toDataURL())")

    def values(self) -> list[float]:
        """The numbers of the bars."""
        return [float(value.text) for value in self.all(".bar .value")]

    def upload(self, path: Path, content: bytes) -> None:
        """Gives the page a file."""
        path.write_bytes(content)
        self.click("mode-upload")
        self.find("file").send_keys(str(path))
        self.rest()

    def draw(self, *points) -> None:
        """One stroke of the mouse through points from 0 to 1."""
        pad = self.find("pad")
        places = [(round((x - 0.5) * pad.size["width"]), round((y - 0.5) * pad.size["height"])) for x, y in points]
        actions = ActionChains(self.driver, duration=5).move_to_element_with_offset(pad, *places[0]).click_and_hold()
        for place in places[1:]:
            actions.move_to_element_with_offset(pad, *place)
        actions.release().perform()
        self.rest()

    def choose_example(self, number: int) -> None:
        self.click("mode-test")
        self.find("index").send_keys(Keys.CONTROL, "a")
        self.find("index").send_keys(str(number), Keys.ENTER)
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
