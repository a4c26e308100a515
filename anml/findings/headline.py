"""The headline table: every published number beside the one that was measured here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from anml.findings.claims import SOURCES, published_with_noted
from anml.findings.curves import shown
from anml.findings.ledger import ledger
from anml.findings.measure import measured
from anml.results import Table
from anml.stats import model_words, replicates

NAME = "headline_table"
MEASURED_COLUMN = "measured here"
KEPT_COLUMN = "redrawn rows kept"


def headline(tables: Mapping[str, Table], optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return every published number with what `tables` hold beside it, one row a number.

    Columns: `id`, `source`, `place`, `treatment`, `regime`, `n_classes`, `metric`, `published` (all
    text, as in published.csv; percent), `measured`, `low`, `high` (percent; NaN where not run, or
    where one value has no interval), `measured_at` (the N; '' where there is none), `models`,
    `trajectories` (0 where not run), `verdict` (of the ledger), `note`.
    """
    published = published_with_noted()
    entries = ledger(tables, optimizer=optimizer, seed=seed, only=set(published["id"]))
    verdicts = {entry.id: entry.verdict for entry in entries}
    frame = _beside(published, tables, optimizer, seed)
    frame.insert(frame.columns.get_loc("note"), "verdict", frame["id"].map(verdicts))
    return frame


def _beside(
    published: pd.DataFrame, tables: Mapping[str, Table], optimizer: str, seed: int
) -> pd.DataFrame:
    """Return these published numbers with what `tables` hold beside them: `headline`, unjudged."""
    rows = []
    for row in published.to_dict("records"):
        own = measured(row, tables, optimizer=optimizer, seed=seed)
        value, low, high = (own.value, own.low, own.high) if own else (np.nan,) * 3
        rows.append(
            {name: row[name] for name in ("id", "source", "place", "treatment", "regime")}
            | {"n_classes": row["n_classes"], "metric": row["metric"], "published": row["value"]}
            | {"measured": 100 * value, "low": 100 * low, "high": 100 * high}
            | {"measured_at": str(own.n_classes) if own and own.n_classes else ""}
            | {"models": own.models if own else 0}
            | {"trajectories": own.trajectories if own else 0}
            | {"note": row["note"]}
        )
    return pd.DataFrame(rows)


def headline_sheet(
    frame: pd.DataFrame, source: str, *, kept: pd.DataFrame | None = None, omniglot: bool = True
) -> pd.DataFrame:
    """Return the rows of one published source for reading; percent.

    `kept`: what `headline` has of models whose redrawn rows were kept (`anml.findings.kept_rows`),
    if any: a column more, of what was measured at the published N, with its replicates where they
    are others than the row's.
    The published numbers are Omniglot's: with `omniglot` false they and the verdicts are left off,
    since beside results on other drawings they would look like a comparison.
    """
    rows = frame[frame["source"] == source]
    sheet = pd.DataFrame(
        {
            "number": [_number(row) for row in rows.itertuples()],
            "N": rows["n_classes"],
            "published": rows["published"],
            MEASURED_COLUMN: [_measured(row) for row in rows.itertuples()],
            "replicates": [_replicates(row) for row in rows.itertuples()],
            "verdict": rows["verdict"],
        }
    )
    if kept is not None:
        there = _at_the_published_n(kept)
        beside = [
            _kept(row, _replicates(own)) if there[row.Index] else ""
            for row, own in zip(
                kept[kept["source"] == source].itertuples(), rows.itertuples(), strict=True
            )
        ]
        if any(beside):
            sheet.insert(sheet.columns.get_loc(MEASURED_COLUMN) + 1, KEPT_COLUMN, beside)
    return sheet if omniglot else sheet.drop(columns=["published", "verdict"])


def with_kept(frame: pd.DataFrame, kept: pd.DataFrame | None) -> pd.DataFrame:
    """Return `headline` with what it has of models whose redrawn rows were kept, if any (`kept`).

    In the columns `kept`, `kept_low`, `kept_high` (percent; NaN where not measured at the published
    N), `kept_models` and `kept_trajectories`.
    """
    if kept is None:
        return frame
    there = _at_the_published_n(kept)
    own = {"kept": "measured", "kept_low": "low", "kept_high": "high"}
    counts = {"kept_models": "models", "kept_trajectories": "trajectories"}
    return frame.assign(
        **{name: kept[column].where(there) for name, column in own.items()},
        **{name: kept[column].where(there, 0) for name, column in counts.items()},
    )


def kept_replicates(kept: pd.DataFrame | None) -> list[str]:
    """Return a sentence on how many replicates the column of `kept` rests on; none without it."""
    if kept is None:
        return []
    words = dict.fromkeys(_replicates(row) for row in kept[kept["models"] > 0].itertuples())
    return [f"{KEPT_COLUMN.capitalize()}: {', '.join(words)}."]


def rerun_sheet(
    sets: Mapping[str, Mapping[str, Table]], optimizer: str = "adam", seed: int = 0
) -> pd.DataFrame:
    """Return what recorded runs on Omniglot gave for every published number, a column a profile.

    `sets`: `anml.findings.found_tables.recorded_sets`. A number that none of them holds has no row.
    """
    published = published_with_noted()
    stated = published[published["source"] == SOURCES[0]]
    frames = {name: _beside(stated, tables, optimizer, seed) for name, tables in sets.items()}
    columns = {}
    for profile, paper in frames.items():
        columns["number"] = [
            f"{_number(row)}, N {row.n_classes}" if row.n_classes else _number(row)
            for row in paper.itertuples()
        ]
        columns[profile] = [_measured(row) if row.models else "" for row in paper.itertuples()]
    sheet = pd.DataFrame(columns)
    return sheet[(sheet[list(frames)] != "").any(axis=1)].reset_index(drop=True)


def _number(row: object) -> str:
    """Return what a published number is, in words; 'representation' is no regime."""
    names = [row.treatment, row.regime]
    return f"{', '.join(names[: 1 if row.regime == 'representation' else 2])}: {row.metric}"


def _measured(row: object) -> str:
    """Return a measured number in words; N is said where it is not the published one."""
    if not row.models:
        return "not run at this scale"
    where = f" at N = {row.measured_at}" if row.measured_at not in ("", row.n_classes) else ""
    return shown(row.measured / 100, row.low / 100, row.high / 100) + where


def _kept(row: object, beside: str) -> str:
    """Return `_measured` of models with rows kept, and their replicates if not those `beside`."""
    own = _replicates(row)
    return _measured(row) + (f" ({own})" if own != beside else "")


def _at_the_published_n(frame: pd.DataFrame) -> pd.Series:
    """Return which rows of `headline` were measured, and at the published N if there is one."""
    without = frame["measured_at"] == ""
    return (frame["models"] > 0) & (without | (frame["measured_at"] == frame["n_classes"]))


def _replicates(row: object) -> str:
    """Return the replicates in words; numbers without an N have models alone."""
    if not row.models:
        return "-"
    if not row.measured_at:
        return model_words(row.models)
    return replicates(row.models, row.trajectories)


def coverage(frame: pd.DataFrame) -> str:
    """Return one line that says how many of the published numbers were measured, and at what N."""
    run = frame["models"] > 0
    # A number without an N, or a bound that holds from an N on, is measured where it was published.
    same = (frame["measured_at"] == frame["n_classes"]) | frame["n_classes"].str.startswith(">=")
    elsewhere = run & ~same & (frame["measured_at"] != "")
    here, smaller, none = (int(which.sum()) for which in (run & ~elsewhere, elsewhere, ~run))
    return (
        f"{len(frame)} published numbers: {here} measured, at the published N where there is one, "
        f"{smaller} at a smaller N, {none} not run at this scale."
    )
