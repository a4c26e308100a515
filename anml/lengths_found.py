"""What lengths and widths of meta-training gave: values, gains, sentences (`anml.lengths`)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from anml.claims import published_points
from anml.curves import FULL_WIDTH, shown
from anml.lengths import TREATMENT
from anml.measure import ACTIVITY
from anml.notebook import Found
from anml.profiles import PROFILES
from anml.rates_found import ARROWS, found_rates
from anml.recorded import recorded_tables
from anml.results import Table
from anml.stats import replicates, two_level_interval
from anml.tables import TESTING

WIDTHS = ("pln_channels", "nm_channels")
PAPERS = "(the paper's)"
PAPER_LENGTH = PROFILES["paper"].meta_iterations
AFTER_GATE = "units active after the gate"
GATED = ACTIVITY[AFTER_GATE][0]
Tables = Mapping[str, Table]
"""By profile."""


def width_words(table: Table) -> str:
    """The channels of ANML's networks: '64 / 28 channels', '256 / 112 channels (the paper's)'."""
    own = {name: table.provenance.profile_values.get(name) for name in WIDTHS}
    full = all(own[name] == FULL_WIDTH[name] for name in WIDTHS)
    return " / ".join(map(str, own.values())) + " channels" + (f" {PAPERS}" if full else "")


def beside(name: str, found: Found, root: Path | None = None) -> Tables:
    """Return a table by its profile, and beside a recorded one those of other widths, if recorded.

    The same data source always; as `recorded_widths`.
    """
    own = {found.table.provenance.profile: found.table}
    if not found.recorded:
        return own
    return _one_a_width(own | _recorded(name, found.table.provenance.data_source, root))


def recorded_widths(name: str, root: Path | None = None) -> Tables:
    """Return the recorded tables called `name` that rest on Omniglot, by profile.

    Of several profiles with one width, the one that goes furthest.
    """
    return _one_a_width(_recorded(name, "omniglot", root))


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


def length_values(tables: Tables) -> pd.DataFrame:
    """Return meta-test testing accuracy from `lengths` tables, the widest network first.

    Columns: `profile`, `width` (in words), `n_classes`, `iterations`, `mean`, `low`, `high`
    (fractions; two-level bootstrap interval), `models`, `trajectories`.
    """
    rows = []
    for profile, table in by_width(tables).items():
        frame = table.frame[table.frame["metric"] == TESTING]
        for (n, iterations), own in frame.groupby(["n_classes", "iterations"]):
            found = two_level_interval(own["value"], own["model_seed"])
            where = {"profile": profile, "width": width_words(table), "n_classes": int(n)}
            numbers = {"mean": found.mean, "low": found.low, "high": found.high}
            counts = {"models": found.models, "trajectories": found.trajectories}
            rows.append(where | {"iterations": int(iterations)} | numbers | counts)
    return pd.DataFrame(rows)


def gate_values(tables: Tables) -> pd.DataFrame:
    """Return the share of units active after the gate, from `length_activity` tables.

    Columns: `profile`, `width`, `iterations`, `mean` over models (fraction), widest first.
    """
    rows = []
    for profile, table in by_width(tables).items():
        frame = table.frame
        own = frame[(frame["layer"] == GATED) & (frame["metric"] == "share active")]
        means = own.groupby("iterations", as_index=False)["value"].mean()
        rows.append(
            means.rename(columns={"value": "mean"}).assign(
                profile=profile, width=width_words(table)
            )
        )
    return pd.concat(rows, ignore_index=True)[["profile", "width", "iterations", "mean"]]


def length_sheet(accuracy: pd.DataFrame, gate: pd.DataFrame) -> pd.DataFrame:
    """Return both kinds of values for reading, in per cent: a row a width and length."""
    text = [shown(*row) for row in accuracy[["mean", "low", "high"]].itertuples(index=False)]
    rows = accuracy.assign(text=text)
    sheet = rows.pivot(index=["width", "iterations"], columns="n_classes", values="text")
    sheet.columns = [f"accuracy at N = {n}" for n in sheet.columns]
    active = gate.set_index(["width", "iterations"])["mean"]
    sheet[AFTER_GATE] = (100 * active).map("{:.1f}".format).reindex(sheet.index)
    sheet = sheet.reindex(accuracy["width"].unique(), level="width").fillna("-")
    return sheet.reset_index().rename(columns={"iterations": "meta-iterations"})


def rate_sheet(tables: Tables) -> pd.DataFrame:
    """Return the learning rate that each search of `length_rates` tables found, for reading.

    A row a width and length, a column an N; an arrow where the grid ends.
    """
    rows = []
    for table in by_width(tables).values():
        for iterations, own in table.frame.groupby("iterations"):
            found = found_rates(Table(own, table.provenance), [TREATMENT])
            text = found["learning_rate"].map("{:g}".format) + found["edge"].map(ARROWS)
            columns = (f"N = {n}" for n in found["n_classes"])
            where = {"width": width_words(table), "meta-iterations": iterations}
            rows.append(where | dict(zip(columns, text, strict=True)))
    return pd.DataFrame(rows)


def width_gains(tables: Tables) -> pd.DataFrame:
    """Return how much better each wider network is than a narrower one at equal length.

    Over the models and trajectories that both have, pair by pair. Columns: `wide`, `narrow` (in
    words), `n_classes`, `iterations`, `gain`, `low`, `high` (fractions; two-level bootstrap
    interval), `models`, `trajectories`; the longest length that both have, for each N.
    """
    keys = ["model_seed", "trajectory_seed", "n_classes", "iterations"]
    rows = []
    for wide, narrow in combinations(by_width(tables).values(), 2):
        own, other = (
            table.frame[table.frame["metric"] == TESTING].set_index(keys)["value"]
            for table in (wide, narrow)
        )
        gain = (own - other).dropna().reset_index()
        for n, of_n in gain.groupby("n_classes"):
            last = of_n[of_n["iterations"] == of_n["iterations"].max()]
            found = two_level_interval(last["value"], last["model_seed"])
            rows.append(
                {"wide": width_words(wide), "narrow": width_words(narrow), "n_classes": int(n)}
                | {"iterations": int(last["iterations"].iloc[0]), "gain": found.mean}
                | {"low": found.low, "high": found.high}
                | {"models": found.models, "trajectories": found.trajectories}
            )
    return pd.DataFrame(rows)


def length_gains(values: pd.DataFrame) -> pd.DataFrame:
    """Return what the last stretch of meta-training still added, for each width and N.

    From `length_values`. Columns: `width`, `n_classes`, `shorter`, `longer` (iterations), `gain`
    (fraction); nothing where there is a single length.
    """
    rows = []
    for (width, n), own in values.groupby(["width", "n_classes"], sort=False):
        last = own.sort_values("iterations").tail(2)
        if len(last) == 2:
            (shorter, longer), (less, more) = last["iterations"], last["mean"]
            lengths = {"shorter": int(shorter), "longer": int(longer)}
            rows.append({"width": width, "n_classes": n, **lengths, "gain": more - less})
    return pd.DataFrame(rows)


def gain_lines(tables: Tables) -> list[str]:
    """Return what length and width are worth, a sentence each, in percentage points."""
    lines = [
        f"{row.width}: from {row.shorter:,} to {row.longer:,} meta-iterations the accuracy at "
        f"N = {row.n_classes} changes by {100 * row.gain:+.1f} points."
        for row in length_gains(length_values(tables)).itertuples()
    ]
    for row in width_gains(tables).itertuples():
        bounds = f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]" if np.isfinite(row.low) else ""
        lines.append(
            f"After {row.iterations:,} meta-iterations, N = {row.n_classes}: {row.wide} against "
            f"{row.narrow}: {100 * row.gain:+.1f} points{bounds} "
            f"({replicates(row.models, row.trajectories)} that both have)."
        )
    return lines


def distance_lines(values: pd.DataFrame) -> list[str]:
    """Return how far the paper's width is from what the paper states, a sentence a number.

    From `length_values`; nothing where that width is missing.
    """
    points = published_points(TESTING)
    stated = points[(points["source"] == "paper") & (points["treatment"] == TREATMENT)]
    goal = dict(zip(stated["n_classes"], (100 * stated["value"]).round(2), strict=True))
    own = values[values["width"].str.endswith(PAPERS) & values["n_classes"].isin(goal)]
    return [
        f"{row.width} after {row.iterations:,} of {PAPER_LENGTH:,} meta-iterations, N = "
        f"{row.n_classes}: {100 * row.mean:.1f}%, the paper {goal[row.n_classes]:.1f}%: "
        f"{100 * row.mean - goal[row.n_classes]:+.1f} points."
        for row in own.groupby("n_classes", sort=False).tail(1).itertuples()
    ]


def furthest_words(values: pd.DataFrame) -> str:
    """Return what the longest length of each width gave at the longest N, in words.

    From `length_values`: 'at N = 600, 256 / 112 channels (the paper's) after 5,000 meta-iterations
    60.1 [59.0, 61.2]% (1 model × 10 trajectories); 64 / 28 channels ...'.
    """
    longest = values["n_classes"].max()
    last = values[values["n_classes"] == longest].groupby("width", sort=False).tail(1)
    return f"at N = {longest}, " + "; ".join(
        f"{row.width} after {row.iterations:,} meta-iterations "
        f"{shown(row.mean, row.low, row.high)}% ({replicates(row.models, row.trajectories)})"
        for row in last.itertuples()
    )


def gate_lines(activity: Tables) -> list[str]:
    """Return how many units the gate leaves active at the first and the last length, a sentence a
    width.
    """
    lines = []
    for width, own in gate_values(activity).groupby("width", sort=False):
        first, *others = own.iloc[[0, -1]].drop_duplicates().itertuples(index=False)
        lines.append(
            f"{width}: {100 * first.mean:.1f}% of the units are active after the gate after "
            f"{first.iterations:,} meta-iterations"
            + "".join(f", {100 * last.mean:.1f}% after {last.iterations:,}" for last in others)
            + "."
        )
    return lines
