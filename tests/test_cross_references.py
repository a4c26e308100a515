"""Citations and glossary links of the pages: each leads somewhere, and no page does without."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*NOTEBOOKS, *sorted((ROOT / "book").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """The Markdown of a page, or of all cells of a notebook."""
    text = page.read_text(encoding="utf8")
    if page.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def glossary() -> set[str]:
    """The terms that the glossary defines: in its blocks, the lines that are not indented."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf8")
    blocks = re.findall(r"^```\{glossary\}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^\S.*$", "\n".join(blocks), re.MULTILINE))


def bibliography() -> set[str]:
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
    return set(re.findall(r"^@\w+\{([^,\s]+),", text, re.MULTILINE))


def terms(text: str) -> list[str]:
    """What the `{term}` roles of a page link to: what stands in their <>, if they have any."""
    roles = (" ".join(role.split()) for role in re.findall(r"\{term\}`([^`]+)`", text))
    return [re.sub(r"^.*<(.+)>$", r"\1", role) for role in roles]


def citations(text: str) -> list[str]:
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    return [key.strip() for role in roles for key in role.split(",")]


@each_page
def test_every_term_and_key_is_defined(page: Path) -> None:
    text = prose(page)
    assert set(terms(text)) <= glossary()
    assert set(citations(text)) <= bibliography()


@each_page
def test_a_term_is_linked_at_its_first_use_only(page: Path) -> None:
    if page.name != "glossary.md":
        linked = terms(prose(page))
        assert len(linked) == len(set(linked))


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebook_links_the_glossary_and_cites_the_paper_where_it_speaks_of_it(
    page: Path,
) -> None:
    text = prose(page)
    assert terms(text)
    shows = [part for part in text.split("\n\n") if "What the paper shows" in part]
    assert all("beaulieu2020" in citations(part) for part in shows)
    assert shows or page.stem in ("data_drawings", "quickstart")
