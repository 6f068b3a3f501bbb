"""tools/web_demo.py in a real browser: headless Chromium, driven by Selenium."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from transavs.video import VideoReader

ROOT = Path(__file__).resolve().parents[2]
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WAIT = 60  # seconds at most, for anything
pytestmark = [
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
    pytest.mark.slow(minutes=3),
    pytest.mark.xdist_group("web_demo"),  # one server and one browser for all of them
]


@pytest.fixture(scope="module")
def served(model_arguments, videos, tmp_path_factory):
    """The program, until it is told to end; it must leave nothing.

    Gives its address, the folder of its files, and which are there before anybody has come.
    """
    config, overrides = model_arguments
    temporary = tmp_path_factory.mktemp("temporary")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "tools/web_demo.py",
        *config,
        "--examples",
        videos / "drum.mp4",
        "--port",
        port,
        "--max-megabytes",
        1,
        "--max-seconds",
        4,
        *overrides,
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    server = subprocess.Popen([str(word) for word in command], env=environment)
    try:
        wait_for_port(port, server)
        yield f"http://127.0.0.1:{port}", temporary, set(temporary.rglob("*"))
        server.send_signal(signal.SIGTERM)
        server.wait(WAIT)
    finally:
        server.kill()
    assert not list(temporary.glob("transavs_*"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = open_browser(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


@pytest.fixture
def page(served, browser, tmp_path):
    address, temporary, first_files = served
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.get(address)
    page = Page(browser, address, temporary, first_files, tmp_path)
    page.wait(lambda: page.find("#video input[type=file]"))
    yield page
    browser.get("about:blank")
    page.wait(lambda: not page.files())  # who leaves takes the files along


def wait_for_port(port, server):
    for _ in range(10 * WAIT):
        assert server.poll() is None, "the program has ended"
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens at port {port}")


def open_browser(folder):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "autoplay-policy=no-user-gesture-required",
        "window-size=1280,1100",
        f"user-data-dir={folder}",
    ):
        options.add_argument(f"--{argument}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


class Page:
    """What a user does with the page, and sees of it."""

    def __init__(self, driver, address, temporary, first_files, downloads):
        self.driver, self.address, self.downloads = driver, address, downloads
        self.temporary, self.first_files = temporary, first_files

    def wait(self, condition):
        return WebDriverWait(self.driver, WAIT).until(lambda _: condition())

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def upload(self, path):
        """Returns once the page knows the file, be it a video or not."""
        self.choose(path)
        self.wait(lambda: self.find("#video button[aria-label=Clear]"))

    def choose(self, path):
        for button in self.find("#video button[aria-label=Clear]"):
            button.click()
        self.wait(lambda: self.find("#video input[type=file]"))[0].send_keys(str(path))

    def start(self):
        self.find("#start")[0].click()

    def segment(self, path):
        self.upload(path)
        self.start()
        self.wait(lambda: self.find(".timeline button"))

    def result(self, field):
        return self.driver.execute_script(f"return document.querySelector('#result video').{field}")

    def wait_for_new_result(self, shown):
        self.wait(lambda: self.find("#result video") and self.result("currentSrc") not in ("", shown))

    def move(self, slider, value):
        (handle,) = self.find(f"#{slider} input[type=range]")
        self.driver.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}));"
            "arguments[0].dispatchEvent(new Event('pointerup', {bubbles: true}));",
            handle,
            value,
        )

    def messages(self):
        return " ".join(toast.text for toast in self.find(".toast-body"))

    def files(self):
        """The names of those that came with visitors."""
        return [path.name for path in set(self.temporary.rglob("*")) - self.first_files if path.is_file()]

    def download(self):
        """The masks' archive: its number of sounding pixels, and its description."""
        for old in self.downloads.glob("*.zip"):
            old.unlink()
        self.find("#archive")[0].click()
        self.wait(lambda: list(self.downloads.glob("*.zip")))
        with zipfile.ZipFile(next(self.downloads.glob("*.zip"))) as archive:
            masks = [np.asarray(Image.open(archive.open(name))) for name in archive.namelist() if name.endswith(".png")]
            description = json.loads(archive.read("bell_sounding.json"))
        assert len(masks) == len(description["frames"]) and masks[0].shape == (48, 64)
        return sum(int((mask == 255).sum()) for mask in masks), description


def test_a_video_is_uploaded_watched_and_its_masks_are_downloaded(page, videos):
    page.segment(videos / "bell.mp4")
    page.wait(lambda: page.result("readyState") == 4 and page.result("currentTime") > 0)
    assert page.result("duration") == pytest.approx(VideoReader(videos / "bell.mp4").duration, abs=0.1)
    assert (page.result("videoWidth"), page.result("videoHeight")) == (64, 48)
    assert page.result("webkitAudioDecodedByteCount") > 0
    assert "in 3 of 3 seconds" in page.find("#sentence")[0].text
    page.driver.save_screenshot(os.environ.get("WEB_DEMO_PICTURE", str(page.downloads / "page.png")))

    cells = page.find(".timeline button")
    assert {cell.get_attribute("data-second") for cell in cells} == {"0", "1", "2"}
    assert all(cell.text.endswith("%") and int(cell.text[:-1]) > 90 for cell in cells)
    page.driver.execute_script("document.querySelector('#result video').pause()")
    next(cell for cell in cells if cell.get_attribute("data-second") == "2").click()
    page.wait(lambda: page.result("currentTime") == pytest.approx(2))

    sounding, description = page.download()
    assert description["video"] == "bell.mp4" and len(description["frames"]) == 12
    shown = page.result("currentSrc")
    page.move("mask_threshold", 0.6)
    page.wait_for_new_result(shown)
    fewer, _ = page.download()
    assert 0 <= fewer < sounding

    page.upload(videos / "drum.mp4")  # the result stays that of the first, and can still be drawn anew
    page.move("least_score", 1)  # nobody is as sure as that
    page.wait(lambda: not page.find(".timeline button"))
    assert "Nothing sounds." in page.find("#sentence")[0].text and page.download()[0] == 0

    origins = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin)"
    )
    assert set(origins) == {page.address}  # nothing is fetched from elsewhere

    assert "bell.mp4" in page.files()


def test_a_video_that_fails_leaves_the_last_result_usable(page, videos):
    page.segment(videos / "bell.mp4")
    shown = page.result("currentSrc")
    page.upload(videos / "broken.mp4")
    page.start()
    page.wait(lambda: "broken.mp4: not a readable video" in page.messages())
    page.move("mask_threshold", 0.6)
    page.wait_for_new_result(shown)


def test_an_example_is_segmented(page):
    page.wait(lambda: page.find(".gallery button, .gallery-item"))[0].click()
    page.wait(lambda: page.find("#video video"))
    page.start()
    page.wait(lambda: page.find(".timeline button"))
    assert "drum_sounding" in page.result("currentSrc")


def test_what_is_wrong_is_told_on_the_page(page, videos, tmp_path):
    page.start()
    page.wait(lambda: "Upload a video first" in page.messages())
    page.upload(videos / "broken.mp4")
    page.start()
    page.wait(lambda: "broken.mp4: not a readable video" in page.messages())
    assert str(page.temporary) not in page.messages()
    (tmp_path / "large.mp4").write_bytes(bytes(1_100_000))
    page.choose(tmp_path / "large.mp4")
    page.wait(lambda: "exceed the maximum allowed size of 1.0 Mb" in page.messages())


def test_an_address_is_not_fetched(served):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(2)
        video = {"path": f"http://127.0.0.1:{other.getsockname()[1]}/a.mp4", "meta": {"_type": "gradio.FileData"}}
        config = json.load(urllib.request.urlopen(f"{served[0]}/config"))
        (number,) = [event["id"] for event in config["dependencies"] if "segment" in event["api_name"]]
        body = {"data": [video, 1, 0.5, 0, False], "fn_index": number, "session_hash": "somebody"}
        post(f"{served[0]}/gradio_api/queue/join", body)
        answer = urllib.request.urlopen(f"{served[0]}/gradio_api/queue/data?session_hash=somebody", timeout=WAIT)
        messages = [json.loads(line[6:]) for line in answer if line.startswith(b"data: ")]
        assert "An address is not fetched" in str(messages)
        with pytest.raises(TimeoutError):
            other.accept()  # nobody came


def post(address, body):
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=WAIT)


def test_only_this_machine_is_served(served):
    with pytest.raises(OSError):
        urllib.request.urlopen(served[0].replace("127.0.0.1", "127.0.0.2"), timeout=5)
