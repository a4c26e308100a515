"""The ledger as a page shows it: a table that becomes a list of cards on a narrow screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape

import pandas as pd

from anml.findings.found_tables import find_tables
from anml.findings.ledger import (
    DIRECTION,
    NOT,
    NOT_COMPARABLE,
    NOT_RUN,
    REPRODUCED,
    TABLES,
    Entry,
    counts,
    ledger,
)
from anml.results import Table

NAME = "claims_ledger"
# White on these is legible by day and by night; the words say the same without the colour.
BADGES = {
    REPRODUCED: "#0b6b3a",
    DIRECTION: "#7a5a00",
    NOT: "#a3172b",
    NOT_COMPARABLE: "#44546b",
    NOT_RUN: "#56606c",
}
KINDS = {"number": "numbers of the paper", "claim": "claims", "replication": "replications"}
FIGURES: dict[str, tuple[str, ...]] = {
    "fig3": (
        *("anml_600", "oml_600", "olft_600", "scratch_train_50up", "pretrain_train_400up"),
        *("anml_best", "olft_overtakes", "hopeless_without_memory"),
    ),
    "fig4": (
        *("anml_oracle_600", "anml_drop_600", "olft_drop_600", "oml_drop_600"),
        *("pretrain_drop_600", "scratch_drop_600", "anml_beats_oracles", "anml_forgets_least"),
    ),
    "fig5": (
        *("active_before", "active_after", "active_nm", "active_oml", "dead_anml", "dead_oml"),
        "gating_sparsifies",
    ),
    "fig6": (
        *("knn_nm", "knn_nm_random", "knn_before", "knn_after"),
        *("nm_knows_classes", "gating_helps_neighbours"),
    ),
    "figS7": (
        *("scratch_20ep", "scratch_20ep_training", "pretrain_20ep", "pretrain_20ep_training"),
        *("anml_20ep", "epochs_do_not_catch_up", "epochs_memorise"),
    ),
    "figS8": (
        *("anml_ft_pln", "anml_ft_pln_nm", "oml_ft_rln", "oml_unlimited"),
        *("plasticity_hurts", "unlimited_anml"),
    ),
    "figS9": ("above_chance_anml", "above_chance_oml", "order_matters_little"),
}
"""The figure that each of the paper's own numbers and claims is read from."""
_STYLE = """
table.scoreboard, .bd-article table.scoreboard {
  display: table; table-layout: fixed; width: 100%; border-collapse: collapse; font-size: 0.88em; }
table.scoreboard :is(th, td) {
  box-sizing: border-box; text-align: left; vertical-align: top; padding: 0.4rem 0.6rem;
  white-space: normal; overflow-wrap: break-word;
  border-bottom: 1px solid rgba(128, 128, 128, 0.35); background: transparent; color: inherit; }
table.scoreboard small { display: block; opacity: 0.8; }
table.scoreboard .verdict {
  display: inline-block; padding: 0.1em 0.5em; border-radius: 0.3em; color: #fff; }
@media (max-width: 48rem) {
  table.scoreboard thead { display: none; }
  table.scoreboard, .bd-article table.scoreboard,
  table.scoreboard :is(tbody, tr, td) { display: block; width: auto; }
  table.scoreboard tr { border-bottom: 2px solid rgba(128, 128, 128, 0.6); padding: 0.4rem 0; }
  table.scoreboard td { border: 0; padding: 0.15rem 0; }
  table.scoreboard td:empty { display: none; }
  table.scoreboard td:not(:first-child)::before { content: attr(data-label) ": "; opacity: 0.8; }
}
"""
_WIDTHS = {
    "The paper says": "",
    "Published": "9%",
    "Measured": "25%",
    "Verdict": "14%",
    "What is known of why": "25%",
}
"""The columns, and how wide they are on a wide screen."""


@dataclass(frozen=True)
class Scoreboard:
    """Entries of the ledger as a notebook shows them."""

    entries: Sequence[Entry]

    def _repr_html_(self) -> str:
        # Claims in words have no published number: a column for it would only take room.
        columns = [c for c in _WIDTHS if c != "Published" or any(e.published for e in self.entries)]
        head = "".join(
            f'<th scope="col" style="width:{_WIDTHS[c] or "auto"}">{c}</th>' for c in columns
        )
        body = "\n".join(_row(entry, columns) for entry in self.entries)
        return (
            f"<style>{_STYLE}</style>\n"
            f'<table class="scoreboard"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>'
            "</table>"
        )

    def __repr__(self) -> str:
        """Return one line an entry."""
        return "\n".join(
            " | ".join((entry.id, entry.published, entry.measured or "-", entry.verdict))
            for entry in self.entries
        )


def _row(entry: Entry, columns: Sequence[str]) -> str:
    """One entry as a row of HTML."""
    beside = [entry.place if entry.kind != "replication" else f"{entry.source}, {entry.place}"]
    beside += [f"published direction: {entry.direction}"] if entry.direction else []
    equals = "= " if entry.n_classes.isdigit() else ""
    n = f"N {equals}{entry.n_classes}" if entry.n_classes else ""
    found = [part for part in (entry.interval, n, entry.replicates) if part]
    cells = {
        "The paper says": f"{escape(entry.statement)}<small>{escape('; '.join(beside))}</small>",
        "Published": escape(entry.published),
        "Measured": escape(entry.measured)
        + (f"<small>{escape(', '.join(found))}</small>" if found else ""),
        "Verdict": f'<span class="verdict" style="background:{BADGES[entry.verdict]}">'
        f"{entry.verdict}</span>",
        "What is known of why": escape(entry.why),
    }
    shown = "".join(f'<td data-label="{name}">{cells[name]}</td>' for name in columns)
    return f'<tr id="claim-{entry.id}">{shown}</tr>'


def of_kind(entries: Sequence[Entry], kind: str) -> Scoreboard:
    """Return the entries of one kind: 'number', 'claim' or 'replication'."""
    return Scoreboard([entry for entry in entries if entry.kind == kind])


def of_figure(entries: Sequence[Entry], figure: str, *, omniglot: bool = True) -> Scoreboard:
    """Return the entries that are read from one figure, a key of `FIGURES`.

    The published numbers are Omniglot's: with `omniglot` false they are left off, since beside
    results on other drawings they would look like a comparison.
    """
    named = {entry.id: entry for entry in entries}
    own = [named[name] for name in FIGURES[figure]]
    return Scoreboard(own if omniglot else [replace(entry, published="") for entry in own])


def read_figure(
    figure: str,
    profile: str,
    data: str,
    results: str = "",
    *,
    optimizer: str = "adam",
    seed: int = 0,
) -> Scoreboard:
    """Return what the ledger says of a figure, from the tables that `find_tables` finds.

    Raises:
        AnmlError: there are no such tables, or one is damaged.
    """
    found = find_tables(TABLES, profile, data, results)
    tables = {name: one.table for name, one in found.items()}
    entries = ledger(tables, optimizer=optimizer, seed=seed, only=FIGURES[figure])
    return of_figure(entries, figure, omniglot=data == "omniglot")


def count_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return how many entries of each kind have each verdict: a row a verdict, and the sums."""
    columns = {words: counts(of_kind(entries, kind).entries) for kind, words in KINDS.items()}
    frame = pd.DataFrame(columns)
    frame.loc["all"] = frame.sum()
    return frame.rename_axis("verdict").reset_index()


def counts_by_profile(
    sets: Mapping[str, Mapping[str, Table]], optimizer: str = "adam", seed: int = 0
) -> pd.DataFrame:
    """Return how many of the paper's own numbers and claims have each verdict, a column a profile.

    `sets`: `anml.findings.found_tables.recorded_sets`.
    """
    columns = {
        profile: counts(_of_the_paper(ledger(tables, optimizer=optimizer, seed=seed)))
        for profile, tables in sets.items()
    }
    return pd.DataFrame(columns).rename_axis("verdict").reset_index()


def ledger_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return the ledger as a table of text, a row an entry, a column a field."""
    return pd.DataFrame([asdict(entry) for entry in entries])


def ledger_glue(entries: Sequence[Entry]) -> dict[str, int | str]:
    """Return what prose cites: `ledger_reproduced` and the like, `ledger_rows`, `ledger_failed`.

    Counts of the paper's own numbers and claims (the replications are further evidence, not
    counted), and the statements of those that are not reproduced, in a sentence.
    """
    own = _of_the_paper(entries)
    named = {f"ledger_{v.replace(' ', '_')}": count for v, count in counts(own).items()}
    failed = [
        f'"{entry.statement}"' + (f", {entry.published}" if entry.published else "")
        for entry in own
        if entry.verdict == NOT
    ]
    return named | {
        "ledger_rows": len(own),
        "ledger_failed": "; ".join(failed or ["nothing"]) + ".",
    }


def _of_the_paper(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that the paper makes itself."""
    return [entry for entry in entries if entry.kind != "replication"]
