"""The pages of networks that ship, and the page in a browser."""

import functools
import os

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from explorer.page import exported
from input_data import open_split
from runner.loader import load

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
# Asks a worker like that of the open page, which stays for further questions.
ASK = """
const [question, given, done] = arguments, { worker: code, ...content } = globalThis.exportedNetwork;
const { port1, port2 } = new MessageChannel(), first = !globalThis.asked;
const worker = globalThis.asked ??= new Worker(URL.createObjectURL(new Blob([code])));
const plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
port1.onmessage = ({ data }) => done(JSON.parse(JSON.stringify(data, plain)));
worker.onerror = (event) => done({ error: event.message });
if (first) worker.postMessage(content);
worker.postMessage({ question, given }, [port2]);
"""


@pytest.fixture(scope="session")
def shipped_page(tmp_path_factory):
    """A network that ships, its test split and its page of 20 images, by name; the eighth digit has a false label."""

    @functools.cache
    def export(name="capsnet_mnist_small"):
        trained = load(f"pretrained:{name}")
        split = open_split("mnist", "test", None, trained.config.options())
        if trained.config.num_targets == 1:
            split.labels[7] = (split.labels[7] + 1) % 10
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exported, "EXAMPLES", 20)
            return trained, split, exported.export_page(trained, split, tmp_path_factory.mktemp("page") / "page.html")

    return export


class Page:
    """The page in a browser, by what a user sees and does."""

    def __init__(self, driver):
        self.driver, self.run = driver, driver.execute_script

    def open(self, file, link: str = "", motion: str = "reduce") -> None:
        preference = [{"name": "prefers-reduced-motion", "value": motion}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preference})
        self.driver.get("about:blank")  # or nothing would be loaded where only the link differs
        self.driver.get(f"{file.as_uri()}{link}")
        self.wait(lambda: "sees" in self.text("prediction"))

    def ask(self, question: str, *given):
        received = self.driver.execute_async_script(ASK, question, given)
        assert "error" not in received, received
        return received["answer"]

    def wait(self, condition) -> None:
        WebDriverWait(self.driver, 120, 0.05, [StaleElementReferenceException]).until(lambda _: condition())

    def rest(self) -> None:
        """Waits until every question of the page is answered and painted."""
        self.wait(lambda: self.all("main")[0].get_attribute("aria-busy") == "false")

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.find(name).get_attribute("textContent")

    def click(self, selector: str, index: int = 0) -> None:
        """Clicks the first, or another, of the elements that a selector finds."""
        button = self.all(selector)[index]
        self.run("arguments[0].scrollIntoView({ block: 'center' })", button)
        button.click()
        self.rest()

    def move(self, name: str, value: float) -> None:
        """Sets a slider or a number by the name that a screen reader says."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.run(script, self.all(f"[aria-label='{name}']")[0], value)
        self.rest()

    def pictures(self, selector: str = "#pictures canvas") -> list[str]:
        """Canvases as URLs of PNG files, by default the input and the reconstructions of the capsule's card."""
        return self.run("return arguments[0].map((canvas) => canvas.toDataURL())", self.all(selector))

    def lengths(self) -> list[float]:
        return [float(bar.text.split()[-1]) for bar in self.all("#bars button")]


@pytest.fixture(scope="session")
def driver():
    """Headless Chromium, without the emulation of a graphics card."""
    if not (os.path.exists(CHROMIUM) and os.path.exists(DRIVER)):
        pytest.skip(f"{CHROMIUM} and {DRIVER} are missing: apt-get install chromium chromium-driver, on Debian")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    usual = "headless=new no-sandbox disable-dev-shm-usage disable-gpu window-size=1280,900"
    for argument in f"{usual} disable-background-networking disable-component-update disable-sync".split():
        options.add_argument(f"--{argument}")
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
