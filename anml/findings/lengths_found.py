"""What lengths and widths of meta-training gave: values, gains, what is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pandas as pd

from anml.errors import AnmlError
from anml.findings.curves import FULL_WIDTH
from anml.findings.found_tables import Found, find_beside, recorded_tables, repository_root
from anml.findings.measure import ACTIVITY
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.profiles import PROFILES
from anml.results import Table
from anml.running.length_names import LENGTH_REGIMES, TREATMENT, recorded_models
from anml.stats import two_level_interval
from anml.store.checkpoint import read_header
from anml.store.tables import TESTING
from anml.treatments import OF_ANML, treatment_of

WIDTHS = ("pln_channels", "nm_channels")
KEPT = treatment_of("anml-redraw-kept")
"""The treatment whose redrawn rows are kept, shown beside ANML where it was measured."""
REDRAW_KEPT = "redraw_kept"
"""Of a profile's folder of results in which redrawn rows were kept: what stands behind its name."""
PAPERS = "(the paper's)"
PAPER_LENGTH = PROFILES["paper"].meta_iterations
AFTER_GATE = "units active after the gate"
GATED = ACTIVITY[AFTER_GATE][0]
REPLICATE = ["model_seed", "trajectory_seed"]
COMPARABLE = ("n_classes", "iterations")
"""The columns that say which points two tables share."""
Tables = Mapping[str, Table]
"""By profile."""


def width_words(table: Table) -> str:
    """The channels of ANML's networks: '64 / 28 channels', '256 / 112 channels (the paper's)'."""
    own = {name: table.provenance.profile_values.get(name) for name in WIDTHS}
    full = all(own[name] == FULL_WIDTH[name] for name in WIDTHS)
    return " / ".join(map(str, own.values())) + " channels" + (f" {PAPERS}" if full else "")


def beside(name: str, found: Found, root: Path | None = None) -> Tables:
    """Return a table by its profile, and beside a recorded one those of other widths, if recorded.

    The same data source always; the others as in `recorded_widths`.
    """
    source, width = found.table.provenance, width_words(found.table)
    own = {source.profile: found.table}
    if not found.recorded:
        return own
    recorded = _recorded(name, source.data_source, root)
    return own | _one_a_width({p: t for p, t in recorded.items() if width_words(t) != width})


def recorded_widths(name: str, root: Path | None = None) -> Tables:
    """Return the recorded tables called `name` that rest on Omniglot, by profile.

    Of several profiles with one width, the one that goes furthest.
    """
    return _one_a_width(_recorded(name, "omniglot", root))


def larger_rates(own: Found, rates: Tables, kept: bool = False, root: Path | None = None) -> Tables:
    """Return the `length_rates` tables recorded at larger rates than the profiles', by profile.

    `own`: the table that a page is about; `rates`: all that the page shows (`beside`); `kept`: of
    models whose redrawn rows were kept. None where `own` is of a run of one's own, whose models are
    others.
    """
    what = "larger_rates"
    return _tried(f"{REDRAW_KEPT}_{what}" if kept else what, "length_rates", own, rates, root)


def restarted(own: Found, accuracy: Tables, root: Path | None = None) -> Tables:
    """Return the `lengths` tables recorded of models that went on from recorded ones, by profile.

    They were made to be compared with those that ran in one piece. `own`, `accuracy`: as
    `larger_rates`.
    """
    return _tried("restarted", "lengths", own, accuracy, root)


def redraw_kept(name: str, shown: Tables, root: Path | None = None) -> Tables:
    """Return the tables `name` recorded of models whose redrawn rows were kept, by profile.

    That is the released code's way (`anml.treatments`). `shown`: the recorded tables of that name
    that a page shows; rows of other numbers of classes or lengths than theirs are left out.
    """
    found = {}
    for profile, table in recorded_beside(REDRAW_KEPT, name, shown, root).items():
        rows, own = table.frame, shown[profile].frame
        for column in COMPARABLE:
            if column in rows and column in own:
                rows = rows[rows[column].isin(own[column])]
        if len(rows):
            found[profile] = replace(table, frame=rows)
    return found


def require_anml(found: Found) -> None:
    """Refuse a `lengths` table of anything but ANML, for which a page would take it.

    AnmlError: it is of another treatment or variant.
    """
    names = sorted(found.table.frame["treatment"].unique())
    if names != [TREATMENT]:
        raise AnmlError(
            f"this page shows ANML by the length of its meta-training, and the table holds "
            f"{' and '.join(names)}: name results of a run with length_training=anml, or read that "
            "table by itself"
        )


def _tried(what: str, name: str, own: Found, shown: Tables, root: Path | None) -> Tables:
    """The tables `name` of recorded runs with values of their own, beside those of a page."""
    return recorded_beside(what, name, shown, root) if own.recorded else {}


def recorded_beside(what: str, name: str, shown: Tables, root: Path | None) -> Tables:
    """The tables `name` of recorded runs in `results/<profile>_<what>/`, by profile."""
    found = {
        profile: find_beside(name, what, profile, table.provenance.data_source, root)
        for profile, table in shown.items()
    }
    return {profile: table for profile, table in found.items() if table is not None}


def _recorded(name: str, source: str, root: Path | None) -> Tables:
    """The recorded tables of one data source."""
    tables = recorded_tables(name, root)
    return {p: table for p, table in tables.items() if table.provenance.data_source == source}


def _one_a_width(tables: Tables) -> Tables:
    """Of each width, the table that goes furthest."""
    furthest: dict[str, str] = {}
    for profile, table in tables.items():
        width, length = width_words(table), table.frame["iterations"].max()
        if width not in furthest or length > tables[furthest[width]].frame["iterations"].max():
            furthest[width] = profile
    return {profile: tables[profile] for profile in furthest.values()}


def by_width(tables: Tables) -> Tables:
    """The same tables, the widest network first."""
    width = {name: table.provenance.profile_values[WIDTHS[0]] for name, table in tables.items()}
    return {name: tables[name] for name in sorted(tables, key=lambda name: -width[name])}


def accuracies(table: Table, regime: str = SEQUENTIAL.name) -> pd.DataFrame:
    """Return the meta-test testing accuracies of a `lengths` table under one regime."""
    return table.frame[(table.frame["metric"] == TESTING) & (table.frame["regime"] == regime)]


def length_values(tables: Tables) -> pd.DataFrame:
    """Return meta-test testing accuracy from `lengths` tables, the widest network first.

    Columns: `profile`, `width` (in words), `regime`, `n_classes`, `iterations`, `mean`, `low`,
    `high` (fractions; two-level bootstrap interval), `models`, `trajectories`.
    """
    rows = []
    for profile, table in by_width(tables).items():
        for regime in LENGTH_REGIMES:
            measured = accuracies(table, regime)
            for (n, iterations), own in measured.groupby(["n_classes", "iterations"]):
                where = {"profile": profile, "width": width_words(table), "regime": regime}
                point = {"n_classes": int(n), "iterations": int(iterations)}
                rows.append(where | point | _summary(own, "value", "mean"))
    return pd.DataFrame(rows)


def with_kept(values: pd.DataFrame, kept: Tables) -> pd.DataFrame:
    """Return `length_values` and those of models whose redrawn rows were kept (`redraw_kept`).

    A column `redraw` says which: 'copy' or 'kept'.
    """
    return pd.concat(
        [values.assign(redraw="copy"), length_values(kept).assign(redraw="kept")], ignore_index=True
    )


def in_sequence(values: pd.DataFrame) -> pd.DataFrame:
    """Return what of `length_values` was learned one class after another."""
    return values[values["regime"] == SEQUENTIAL.name]


def restarts(tables: Tables, root: Path | None = None, what: str = "") -> pd.DataFrame:
    """Return which of ANML's models of recorded tables went on from a recorded state of theirs.

    By the recorded models' headers. `what`: of the runs with values of their own, such as
    `REDRAW_KEPT`; empty: of the profiles'. Columns: `width`, `model_seed`, `iteration`, `settling`
    (meta-iterations), `precision`; without rows where there are none.
    """
    rows = []
    for profile, table in by_width(tables).items():
        folder = f"{profile}_{what}" if what else profile
        for path in recorded_models((root or repository_root()) / "results" / folder):
            header = read_header(path)
            if header["training"] in OF_ANML:
                where = {"width": width_words(table), "model_seed": header["seed"]}
                rows += [where | restart for restart in header.get("restarts", [])]
    return pd.DataFrame(rows)


def gains_of_others(tables: Tables, others: Tables) -> pd.DataFrame:
    """Return what meta-training in another way changed, beside that of `tables`.

    `others`: the tables of `restarted` or `redraw_kept`. Over the models and trajectories of both,
    pair by pair, at equal length. Columns: `width`, `regime`, `n_classes`, `iterations`, `usual`,
    `other` (means), `gain`, `low`, `high` (fractions), `models`, `trajectories`; none where nothing
    was tried.
    """
    rows = []
    for (profile, table), regime in product(by_width(others).items(), LENGTH_REGIMES):
        both = (accuracies(one, regime) for one in (table, tables[profile]))
        pairs = _differences(*both, ["n_classes", "iterations"])
        for (n, iterations), own in pairs.groupby(["n_classes", "iterations"]):
            where = {"width": width_words(table), "regime": regime, "n_classes": int(n)}
            means = own.groupby("model_seed")[["other", "value"]].mean().mean()
            each = {"usual": means["other"], "other": means["value"]}
            point = {"iterations": int(iterations)} | each
            rows.append(where | point | _summary(own, "gain", "gain"))
    return pd.DataFrame(rows)


def _summary(rows: pd.DataFrame, column: str, name: str) -> dict[str, float]:
    """The mean of `column`, called `name`, with its interval and its replicates."""
    found = two_level_interval(rows[column], rows["model_seed"])
    bounds = {name: found.mean, "low": found.low, "high": found.high}
    return bounds | {"models": found.models, "trajectories": found.trajectories}


def gate_rows(table: Table) -> pd.DataFrame:
    """Return the rows of a `length_activity` table that say which share the gate leaves active."""
    frame = table.frame
    return frame[(frame["layer"] == GATED) & (frame["metric"] == "share active")]


def gate_values(tables: Tables) -> pd.DataFrame:
    """Return the share of units active after the gate, from `length_activity` tables.

    Columns: `profile`, `width`, `iterations`, `mean` over models (fraction), widest first.
    """
    columns = ["profile", "width", "iterations", "mean"]
    if not tables:
        return pd.DataFrame(columns=columns)
    rows = []
    for profile, table in by_width(tables).items():
        means = gate_rows(table).groupby("iterations", as_index=False)["value"].mean()
        rows.append(
            means.rename(columns={"value": "mean"}).assign(
                profile=profile, width=width_words(table)
            )
        )
    return pd.concat(rows, ignore_index=True)[columns]


def _differences(rows: pd.DataFrame, others: pd.DataFrame, same: list[str]) -> pd.DataFrame:
    """`value`s, `other`s and their `gain`, over the replicates with the `same` that both have."""
    pairs = rows.merge(others, on=[*REPLICATE, *same], suffixes=("", "_other"))
    return pairs.assign(other=pairs["value_other"], gain=pairs["value"] - pairs["value_other"])


def width_gains(tables: Tables) -> pd.DataFrame:
    """Return how much better each wider network is than a narrower one at equal length.

    Over the models and trajectories that both have, pair by pair. Columns: `wide`, `narrow` (in
    words), `n_classes`, `iterations`, `gain`, `low`, `high` (fractions; two-level bootstrap
    interval), `models`, `trajectories`; the longest length that both have, for each N.
    """
    rows = []
    for wide, narrow in combinations(by_width(tables).values(), 2):
        pairs = _differences(accuracies(wide), accuracies(narrow), ["n_classes", "iterations"])
        for n, of_n in pairs.groupby("n_classes"):
            longest = of_n["iterations"].max()
            last = of_n[of_n["iterations"] == longest]
            widths = {"wide": width_words(wide), "narrow": width_words(narrow)}
            point = {"n_classes": int(n), "iterations": int(longest)}
            rows.append(widths | point | _summary(last, "gain", "gain"))
    return pd.DataFrame(rows)


def length_gains(tables: Tables) -> pd.DataFrame:
    """Return what the last stretch of meta-training still added, for each width, order and N.

    Over the models and trajectories that both ends of the stretch have, pair by pair. Columns:
    `width`, `regime`, `n_classes`, `shorter`, `longer` (iterations), `gain`, `low`, `high`
    (fractions), `models`, `trajectories`; nothing where there is a single length, or no pair.
    """
    rows = []
    for table, regime in product(by_width(tables).values(), LENGTH_REGIMES):
        for n, own in accuracies(table, regime).groupby("n_classes"):
            *_, shorter, longer = [0, *sorted(own["iterations"].unique())]
            ends = (own[own["iterations"] == length] for length in (longer, shorter))
            pairs = _differences(*ends, ["n_classes"])
            if not pairs.empty:
                where = {"width": width_words(table), "regime": regime, "n_classes": int(n)}
                stretch = {"shorter": int(shorter), "longer": int(longer)}
                rows.append(where | stretch | _summary(pairs, "gain", "gain"))
    return pd.DataFrame(rows)


def forgotten(tables: Tables) -> pd.DataFrame:
    """Return what learning one class after another costs, beside the same drawings in i.i.d. order.

    For each width and N at the longest length at which both were measured, pair by pair. Columns:
    `width`, `n_classes`, `iterations`, `oracle`, `sequential`, `lost`, `low`, `high` (fractions;
    the interval is of what is lost), `models`, `trajectories`.
    """
    rows = []
    for table in by_width(tables).values():
        both = (accuracies(table, regime) for regime in (ORACLE.name, SEQUENTIAL.name))
        pairs = _differences(*both, ["n_classes", "iterations"])
        for n, of_n in pairs.groupby("n_classes"):
            longest = of_n["iterations"].max()
            last = of_n[of_n["iterations"] == longest]
            means = last.groupby("model_seed")[["value", "other"]].mean().mean()
            where = {"width": width_words(table), "n_classes": int(n), "iterations": int(longest)}
            each = {"oracle": means["value"], "sequential": means["other"]}
            rows.append(where | each | _summary(last, "gain", "lost"))
    return pd.DataFrame(rows)
