"""The ledger as a page shows it: every entry once, counted, and as it was recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import synthetic_results
from notebook_table import read_rows

from anml.findings.claims import published_with_noted
from anml.findings.found_tables import find_tables
from anml.findings.ledger import NOT, NOT_RUN, TABLES, VERDICTS, counts, ledger
from anml.findings.qualitative import CLAIMS
from anml.pages.scoreboard import (
    FIGURES,
    KINDS,
    Scoreboard,
    count_table,
    counts_by_profile,
    ledger_glue,
    of_figure,
    of_kind,
    read_figure,
)
from anml.results import write_table

PAGE = Path(__file__).resolve().parents[1] / "book" / "notebooks" / "claims_ledger.ipynb"
PAPER = published_with_noted().query("source == 'paper'")


def verdicts(html: str) -> dict[str, str]:
    """What a scoreboard says of each row."""
    pattern = r'<tr id="claim-(\w+)">.*?<span class="verdict"[^>]*>([\w ]+)<'
    return dict(re.findall(pattern, html))


def test_the_page_shows_every_entry_once_and_the_counts_are_of_it():
    found = ledger(synthetic_results.everything())
    table = count_table(found)
    assert list(table["verdict"]) == [*VERDICTS, "all"]
    for kind, words in KINDS.items():
        shown = of_kind(found, kind)
        assert table[words].iloc[-1] == len(shown.entries) > 0
        assert verdicts(shown._repr_html_()) == {entry.id: entry.verdict for entry in shown.entries}
    glued = ledger_glue(found)
    own = [entry for entry in found if entry.kind != "replication"]
    assert glued["ledger_rows"] == len(own) == len(PAPER) + len(CLAIMS)
    assert glued["ledger_not_reproduced"] == counts(own)[NOT]
    failed = [entry.statement for entry in own if entry.verdict == NOT]
    assert failed
    assert all(statement in glued["ledger_failed"] for statement in failed)
    assert ledger_glue([])["ledger_failed"] == "nothing."
    both = counts_by_profile({"quick": {}, "laptop": synthetic_results.everything()})
    both = both.set_index("verdict")
    assert both["laptop"].to_dict() == counts(own)
    assert both.loc[NOT_RUN, "quick"] == len(own)


def test_every_number_and_claim_of_the_paper_belongs_to_one_figure():
    own = [name for names in FIGURES.values() for name in names]
    assert sorted(own) == sorted([*PAPER["id"], *(claim.id for claim in CLAIMS)])
    found = ledger({})
    for figure, names in FIGURES.items():
        assert [entry.id for entry in of_figure(found, figure).entries] == list(names)


def test_a_figure_is_read_from_its_tables_and_shows_no_published_number_beside_other_drawings(
    tmp_path,
):
    for data in ("omniglot", "glyphs"):
        folder = tmp_path / data
        for name, table in synthetic_results.everything(data).items():
            write_table(folder / f"{name}.parquet", table.frame, table.provenance)
        profile = table.provenance.profile
        shown = read_figure("fig3", profile, data, str(folder))
        found = find_tables(TABLES, profile, data, str(folder))
        tables = {name: one.table for name, one in found.items()}
        expected = of_figure(ledger(tables), "fig3", omniglot=data == "omniglot")
        assert shown.entries == expected.entries
        html = shown._repr_html_()
        assert ("63.8%" in html) == ("Published" in html) == (data == "omniglot")


def test_text_is_escaped():
    entry = replace(ledger({})[0], published="< 3%", statement="a & b")
    html = Scoreboard([entry])._repr_html_()
    assert "&lt; 3%" in html
    assert "a &amp; b" in html


def test_the_committed_page_shows_the_verdicts_of_the_recorded_results():
    if not PAGE.is_file():
        pytest.skip("the page is made by `make pages`")
    row = next(row for row in read_rows() if row.output == PAGE.stem)
    places = [row.parameters[name] for name in ("profile", "data", "results")]
    tables = {name: found.table for name, found in find_tables(TABLES, *places).items()}
    outputs = [
        o for cell in nbformat.read(PAGE, as_version=4).cells for o in cell.get("outputs", [])
    ]
    html = "\n".join(o.data.get("text/html", "") for o in outputs if "data" in o)
    assert verdicts(html) == {entry.id: entry.verdict for entry in ledger(tables)}
