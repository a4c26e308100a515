"""The built site, served under a sub-path, and a browser to read it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, find_chromium, serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site: `ANML_SITE`, or `_build/html`, built if it's missing."""
    folder = Path(os.environ.get("ANML_SITE") or ROOT / "_build" / "html").resolve()
    if not (folder / "index.html").is_file():
        if "ANML_SITE" in os.environ:
            pytest.fail(f"ANML_SITE names {folder}, where there is no index.html")
        build = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT]
        done = subprocess.run(
            [*build, "--all", "-W", "-n", "--keep-going"], capture_output=True, text=True
        )
        assert done.returncode == 0, f"the book was not built:\n{done.stdout}\n{done.stderr}"
    return folder


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, with a slash at the end."""
    with serve(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for the session. In CI it has to be there."""
    found = find_chromium()
    if found is None:
        reason = "Chromium and chromedriver are needed to read the site, and one of them is missing"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    browser = Browser(*found, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.driver.quit()
