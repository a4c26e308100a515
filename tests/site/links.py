"""What can be checked in the built HTML without a browser: links, anchors, images, hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser fetch something while the page is read, by tag.
LOADED = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
FETCHING_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}


@dataclass
class Page(HTMLParser):
    """What one HTML file names: its anchors, what it links to, what it loads, its images."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        self.anchors |= {a[key] for key in ("id", "name") if a.get(key)}
        if tag == "a" and "href" in a:
            self.links.append(a["href"])
        if tag == "meta" and a.get("http-equiv", "").lower() == "refresh":
            self.links.append(a["content"].partition("url=")[2])
        if tag == "link" and FETCHING_LINKS & set(a.get("rel", "").split()):
            self.loads.append(a["href"])
        if tag in LOADED and LOADED[tag] in a:
            self.loads.append(a[LOADED[tag]])
        if tag == "img" and not _is_alt_text(a.get("alt", "")):
            self.unlabelled.append(f"image {a.get('src')} has no alt text (alt: {a.get('alt')!r})")
        if tag == "svg" and a.get("role") == "img" and not a.get("aria-label"):
            self.unlabelled.append("a drawing has no label")


def _is_alt_text(text: str) -> bool:
    # Sphinx puts the file name where nobody wrote an alternative text.
    return bool(text.strip()) and not re.search(r"(_images/|\.(png|svg|jpe?g|gif)$)", text)


@cache
def read(file: Path) -> Page:
    page = Page()
    page.feed(file.read_text(encoding="utf8"))
    return page


def pages(site: Path) -> list[Path]:
    """Every HTML page of the site; what lies in _static are templates of the theme."""
    return sorted(f for f in site.rglob("*.html") if "_static" not in f.relative_to(site).parts)


def problems(site: Path) -> list[str]:
    """One line for each broken link, anchor or image, foreign source, or image without alt text."""
    found = []
    for file in pages(site):
        page = read(file)
        lines = list(page.unlabelled)
        lines += [line for url in page.links if (line := _problem(site, file, url, loaded=False))]
        lines += [line for url in page.loads if (line := _problem(site, file, url, loaded=True))]
        found += [f"{file.relative_to(site)}: {line}" for line in lines]
    return found


def _problem(site: Path, file: Path, url: str, loaded: bool) -> str | None:
    parts = urlsplit(url)
    if parts.scheme == "data" or (not loaded and parts.scheme in {"http", "https", "mailto"}):
        return None
    if parts.scheme or parts.netloc:
        return f"{url} would be loaded from elsewhere"
    if parts.path.startswith("/"):
        return f"{url} is absolute and breaks under a sub-path"
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if target.is_dir():
        target = target / "index.html"
    if not target.is_relative_to(site.resolve()) or not target.is_file():
        return f"{url} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target.suffix == ".html" and anchor not in read(target).anchors:
        return f"{url}: that page has no anchor '{anchor}'"
    return None
