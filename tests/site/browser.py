"""A headless Chromium that keeps account: what it logged, which hosts it asked, what it shows."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SUB_PATH = "/anml/"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

# Sidebars slide when the width changes: a picture taken meanwhile shows neither state.
STILL = """
const style = document.createElement('style');
style.textContent = '* { transition: none !important; animation: none !important }';
document.head.append(style);
"""
# Resolved when everything the page asked for is there and its mathematics is set.
SETTLED = """
const done = arguments[0];
const mathjax = window.MathJax && MathJax.startup ? MathJax.startup.promise : null;
Promise.all([mathjax, document.fonts.ready]).then(() => requestAnimationFrame(() => done(true)));
"""


def find_chromium() -> tuple[str, str] | None:
    """The browser and its driver, or None where one of them is missing."""
    browser = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    # Machines of GitHub keep the driver in a folder that this variable names.
    folders = os.pathsep.join([os.environ.get("CHROMEWEBDRIVER", ""), os.environ["PATH"]])
    driver = shutil.which("chromedriver", path=folders)
    return (browser, driver) if browser and driver else None


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def translate_path(self, path: str) -> str:
        inside = path.startswith(SUB_PATH)
        return super().translate_path(path.removeprefix(SUB_PATH[:-1]) if inside else "/outside")


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve `folder` below a sub-path of this machine, and nothing else; gives the address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{SUB_PATH}"
        server.shutdown()


class Browser:
    """One Chromium with a new, empty profile in `profile`."""

    def __init__(self, chromium: str, driver: str, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(30)

    def show(self, url: str, width: int = 1280, theme: str = "light") -> None:
        """Open a page at a width in CSS pixels, and wait until it is all there."""
        self.forget()
        # A script that runs before the page's own: this is what its theme switch remembers.
        script = (
            f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        )
        added = self.command(
            "Page.addScriptToEvaluateOnNewDocument", source=f"try {{ {script} }} catch (e) {{}}"
        )
        self.resize(width)
        self.driver.get(url)
        self.command("Page.removeScriptToEvaluateOnNewDocument", **added)
        self.run(STILL)
        self.driver.execute_async_script(SETTLED)

    def resize(self, width: int, height: int = 900) -> None:
        """Set the page's size in CSS pixels; a window itself can't be as narrow as a phone."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def forget(self) -> None:
        """Drop what was logged before."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")

    def complaints(self) -> list[str]:
        """Errors and warnings in the console since the page was opened."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] in {"SEVERE", "WARNING"}]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened, this machine's own too."""
        log = self.driver.get_log("performance")
        events = [json.loads(entry["message"])["message"] for entry in log]
        sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def save_picture(self, file: Path) -> None:
        """The whole page, as far down as it goes, as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


def foreign(requests: list[str], base: str) -> list[str]:
    """Those requests that go to another host than the site's."""
    home = urlsplit(base).netloc
    return [
        url
        for url in requests
        if urlsplit(url).scheme not in {"data", "blob", "about"} and urlsplit(url).netloc != home
    ]
