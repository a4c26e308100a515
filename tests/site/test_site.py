"""The site as its readers meet it: every page in a browser, and every link in its HTML."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from browser import Browser, foreign, serve
from links import problems, read
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
PICTURES = bool(os.environ.get("ANML_SCREENSHOTS"))
"""Whether to take them: no test reads them."""
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
CHAPTERS = [page for part in TOC["parts"] for page in part["chapters"]]
BOOK = [TOC["root"]] + [p["file"] for page in CHAPTERS for p in [page, *page.get("sections", [])]]
PAGES = [f"{page}.html" for page in BOOK] + ["search.html", "genindex.html"]
NARROW, WIDE = 390, 1280
BETWEEN = 1000
"""Wide enough for the sidebar of pages, too narrow for that of the page's sections."""

# Elements that stick out to the right, unless something around them scrolls.
STICKING_OUT = """
const limit = document.documentElement.clientWidth + 1;
const held = e => { for (; e; e = e.parentElement)
  if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)
      && e.getBoundingClientRect().right <= limit) return true; return false; };
return [...document.querySelectorAll('.bd-article *')]
  .filter(e => e.getBoundingClientRect().right > limit && !held(e))
  .map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 40));
"""
UNSET_MATHEMATICS = """
return [...document.querySelectorAll('span.math, div.math')]
  .filter(e => !e.querySelector('mjx-container svg') || e.querySelector('[data-mjx-error]'))
  .map(e => e.textContent);
"""
BROKEN_IMAGES = """
return [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src);
"""


def test_no_broken_link_anchor_or_image(site: Path) -> None:
    assert problems(site) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ('<a href="nowhere.html">a</a>', "nowhere.html leads nowhere"),
        ('<a href="method.html#not-there">a</a>', "no anchor 'not-there'"),
        ('<a href="#not-here">a</a>', "no anchor 'not-here'"),
        ('<a href="/book/method.html">a</a>', "breaks under a sub-path"),
        ('<a href="../../outside.html">a</a>', "leads nowhere"),
        ('<img src="missing.png" alt="a picture">', "missing.png leads nowhere"),
        ('<img src="../_static/favicon.svg">', "has no alt text"),
        ('<img src="../_static/favicon.svg" alt="_static/favicon.svg">', "has no alt text"),
        ('<script src="https://elsewhere.invalid/a.js"></script>', "loaded from elsewhere"),
        ('<link rel="stylesheet" href="//elsewhere.invalid/a.css">', "loaded from elsewhere"),
        ('<svg role="img"></svg>', "has no label"),
    ],
)
def test_the_check_of_links_finds(tmp_path: Path, broken: str, said: str) -> None:
    sound = {
        "_static/favicon.svg": "<svg/>",
        "book/method.html": '<h1 id="there">Method</h1>',
        "book/idea.html": '<a href="method.html#there">a</a>',
    }
    for name, text in sound.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    (tmp_path / "outside.html").write_text("there, but not part of the site")
    assert problems(tmp_path / "site") == []
    (tmp_path / "site/book/broken.html").write_text(broken)
    found = problems(tmp_path / "site")
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_clean_and_fits(browser: Browser, address: str, page: str) -> None:
    browser.show(address + page, WIDE)
    assert browser.complaints() == []
    assert foreign(browser.requests(), address) == []
    assert browser.run(BROKEN_IMAGES) == []
    assert browser.run(UNSET_MATHEMATICS) == []
    for width in (WIDE, BETWEEN, NARROW):
        browser.resize(width)
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.run(STICKING_OUT) == []
    if PICTURES:
        save_pictures(browser, page)


def save_pictures(browser: Browser, page: str) -> None:
    """The page that is shown, light and dark, wide and narrow."""
    name = page.removeprefix("book/").removesuffix(".html").replace("/", "-")
    for theme in ("light", "dark"):
        browser.run(f"document.documentElement.dataset.theme = '{theme}'")
        for width in (WIDE, NARROW):
            browser.resize(width)
            browser.save_picture(SCREENSHOTS / f"{name}-{width}-{theme}.png")


def test_the_browser_reports_errors_and_foreign_requests(browser: Browser, tmp_path: Path) -> None:
    bad = "<script>console.error('ouch')</script><script src='http://elsewhere.invalid/a.js'></script>"
    (tmp_path / "bad.html").write_text(f"<!doctype html><link rel=icon href='data:,'>{bad}")
    with serve(tmp_path) as url:
        browser.show(url + "bad.html")
        assert any("ouch" in line for line in browser.complaints())
        assert foreign(browser.requests(), url) == ["http://elsewhere.invalid/a.js"]


def test_there_is_mathematics(browser: Browser, address: str) -> None:
    browser.show(address + "book/method.html")
    assert browser.run("return document.querySelectorAll('mjx-container svg').length") > 20


def test_mathematics_comes_from_the_site_itself(site: Path) -> None:
    folder = site / "vendor" / "mathjax"
    digest = hashlib.sha256((folder / "tex-svg.js").read_bytes()).hexdigest()
    assert digest in (folder / "README.txt").read_text()
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_what_sticks_out_is_found(browser: Browser, address: str) -> None:
    browser.show(address + "book/idea.html", NARROW)
    browser.run(
        "const e = document.createElement('pre'); e.style = 'width: 700px; overflow: visible';"
        "e.textContent = 'too wide'; document.querySelector('.bd-article').append(e);"
    )
    assert any("too wide" in line for line in browser.run(STICKING_OUT))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_is_remembered(browser: Browser, address: str, theme: str) -> None:
    browser.show(address + "book/idea.html", theme=theme)
    assert browser.run("return document.documentElement.dataset.theme") == theme


def test_theme_switch_works(browser: Browser, address: str) -> None:
    browser.show(address + "book/idea.html")
    seen = set()
    for _ in range(3):  # light, dark, as the system is
        browser.run("document.querySelector('.theme-switch-button').click()")
        seen.add(browser.run("return document.documentElement.dataset.mode"))
    assert {"light", "dark"} <= seen
    assert browser.complaints() == []


def test_search_works_offline(browser: Browser, address: str) -> None:
    browser.show(address + "search.html?q=neuromodulatory")
    script = "return [...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    hits: Any = WebDriverWait(browser.driver, 15).until(lambda _: browser.run(script))
    assert any(hit.split("?")[0].endswith("book/method.html") for hit in hits)
    assert foreign(browser.requests(), address) == []
    assert browser.complaints() == []


def one_of_each_kind(site: Path) -> list[str]:
    """Pages of which no two load the same scripts and styles, from as deep a folder, both with or
    without mathematics.
    """
    kinds = {}
    for page in PAGES:
        loads = {urlsplit(url).path.rpartition("/")[2] for url in read(site / page).loads}
        own = frozenset(name for name in loads if name.endswith((".js", ".css")))
        mathematics = 'class="math' in (site / page).read_text(encoding="utf8")
        kinds.setdefault((own, page.count("/"), mathematics), page)
    return ["index.html", *kinds.values()]


def test_pages_read_without_a_server(browser: Browser, site: Path) -> None:
    """Without one a page differs from what the other tests see by what it loads."""
    pages = one_of_each_kind(site)
    assert len(pages) > 3
    for page in pages:
        browser.show((site / page).as_uri())
        assert browser.complaints() == [], page
        requests = browser.requests()
        assert not [url for url in requests if not re.match(r"(file|data|blob|about):", url)], page
        assert browser.run(UNSET_MATHEMATICS) == [], page


def test_first_page_leads_to_the_book(browser: Browser, address: str) -> None:
    browser.show(address)
    browser.show(address + "index.html")
    assert browser.driver.current_url == address + f"{TOC['root']}.html"


def test_every_page_has_an_icon_and_one_heading(site: Path) -> None:
    for page in BOOK:
        html = (site / f"{page}.html").read_text(encoding="utf8")
        article = html.partition('<article class="bd-article">')[2].partition("</article>")[0]
        assert article.count("<h1>") == 1, page
        assert any("favicon" in url for url in read(site / f"{page}.html").loads), page


def test_static_hosts_serve_underscored_folders(site: Path) -> None:
    assert (site / ".nojekyll").is_file()


def test_nothing_but_the_book_became_a_page(site: Path) -> None:
    built = {str(f.relative_to(site)) for f in site.rglob("*.html") if "_static" not in f.parts}
    assert built == {*PAGES, "index.html"}
