"""What lengths and widths of meta-training gave, for reading: sheets and sentences."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from anml.findings.claims import published_points
from anml.findings.curves import counts, shown
from anml.findings.found_tables import Found
from anml.findings.lengths_found import (
    AFTER_GATE,
    KEPT,
    PAPER_LENGTH,
    PAPERS,
    REDRAW_KEPT,
    Tables,
    by_width,
    forgotten,
    gains_of_others,
    gate_rows,
    in_sequence,
    length_gains,
    restarts,
    width_gains,
    width_words,
)
from anml.findings.rates_found import ARROWS, found_rates
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.results import Table
from anml.running.length_names import TREATMENT, units
from anml.stats import replicates, trajectory_words
from anml.store.tables import TESTING

COLUMNS = {SEQUENTIAL.name: "", ORACLE.name: ", oracle"}
"""What stands behind the N of a regime's column."""
SAID = {SEQUENTIAL.name: "", ORACLE.name: " (Oracle)"}
"""The same in a sentence."""
CHANGE = "change in points"
REPLICATES = "models \N{MULTIPLICATION SIGN} trajectories"


def length_sheet(accuracy: pd.DataFrame, gate: pd.DataFrame) -> pd.DataFrame:
    """Return `length_values` and `gate_values` in per cent: a row a width and length."""
    point = ["width", "iterations"]
    text = [shown(*row) for row in accuracy[["mean", "low", "high"]].itertuples(index=False)]
    cells = accuracy.assign(text=text).pivot(index=point, columns=["regime", "n_classes"])["text"]
    sheet = pd.DataFrame(
        {
            f"accuracy at N = {n}{words}": cells[regime, n]
            for regime, words in COLUMNS.items()
            for n in sorted(accuracy.loc[accuracy["regime"] == regime, "n_classes"].unique())
        }
    )
    active = gate.set_index(point)["mean"]
    sheet[AFTER_GATE] = (100 * active).map("{:.1f}".format).reindex(sheet.index)
    sheet[REPLICATES] = pd.Series({where: counts(own) for where, own in accuracy.groupby(point)})
    sheet = sheet.reindex(accuracy["width"].unique(), level="width").fillna("-")
    return sheet.reset_index(names=point).rename(columns={"iterations": "meta-iterations"})


def rate_sheet(tables: Tables, treatment: str = TREATMENT) -> pd.DataFrame:
    """Return the learning rate that each search of `length_rates` tables found, for reading.

    `treatment`: whose. A row a width, length and model, a column an N and regime; an arrow where
    the grid ends.
    """
    rows = []
    for table in by_width(tables).values():
        for (iterations, model), own in table.frame.groupby(["iterations", "model_seed"]):
            found = found_rates(Table(own, table.provenance), [treatment], list(COLUMNS))
            text = found["learning_rate"].map("{:g}".format) + found["edge"].map(ARROWS)
            names = "N = " + found["n_classes"].map(str) + found["regime"].map(COLUMNS)
            width = {"width": width_words(table), units([treatment]): iterations, "model": model}
            rows.append(width | dict(zip(names, text, strict=True)))
    return pd.DataFrame(rows).fillna("-")


def larger_lines(larger: Tables) -> list[str]:
    """Return the mean accuracy at each rate of `length_rates` tables, a sentence a length and N."""
    lines = []
    for table in by_width(larger).values():
        for point, own in table.frame.groupby(["iterations", "regime", "n_classes"]):
            iterations, regime, n = point
            means = own.groupby("learning_rate")["value"].mean()
            tried = [f"{100 * mean:.1f}% at {rate:g}" for rate, mean in means.items()]
            models = sorted(set(own["model_seed"]))
            named = f"model{'s' * (len(models) > 1)} {', '.join(map(str, models))}"
            count = own.groupby("model_seed")["trajectory_seed"].nunique().min()
            each = " each" if len(models) > 1 else ""
            lines.append(
                f"{width_words(table)} after {iterations:,} meta-iterations, {named}, "
                f"N = {n}{SAID[regime]}, {trajectory_words(count)}{each}: {', '.join(tried)}."
            )
    return lines


def points(difference: float, low: float, high: float) -> str:
    """Return a difference of fractions and its interval in points: `+8.0 [+7.5, +8.5]`."""
    bounds = f" [{100 * low:+.1f}, {100 * high:+.1f}]" if np.isfinite(low) else ""
    return f"{100 * difference:+.1f}{bounds}"


def times(models: int, trajectories: int) -> str:
    """Return how many replicates a number rests on: `2 × 10`."""
    return f"{models} \N{MULTIPLICATION SIGN} {trajectories}"


def gain_sheet(tables: Tables) -> pd.DataFrame:
    """Return what the last stretch of each width's meta-training changed (`length_gains`)."""
    gains = length_gains(tables)
    return _changes(gains, [f"{row.shorter:,} to {row.longer:,}" for row in gains.itertuples()])


def _changes(gains: pd.DataFrame, iterations: list[str]) -> pd.DataFrame:
    """Changes of each width, N and order for reading; `iterations`: what stands for each row."""
    return pd.DataFrame(
        {
            "width": row.width,
            "meta-iterations": words,
            "N": row.n_classes,
            "order": row.regime,
            CHANGE: points(row.gain, row.low, row.high),
            REPLICATES: times(row.models, row.trajectories),
        }
        for row, words in zip(gains.itertuples(), iterations, strict=True)
    )


def width_sheet(tables: Tables) -> pd.DataFrame:
    """Return what a wider network is worth at equal length (`width_gains`)."""
    return pd.DataFrame(
        {
            "width": row.wide,
            "against": row.narrow,
            "meta-iterations": f"{row.iterations:,}",
            "N": row.n_classes,
            CHANGE: points(row.gain, row.low, row.high),
            REPLICATES: times(row.models, row.trajectories),
        }
        for row in width_gains(tables).itertuples()
    )


def stated(regime: str, treatment: str = TREATMENT) -> dict[int, float]:
    """Return what the paper states of a testing accuracy under a regime: by N, in per cent."""
    known = published_points(TESTING, regime)
    own = known[(known["source"] == "paper") & (known["treatment"] == treatment)]
    return dict(zip(own["n_classes"], (100 * own["value"]).round(2), strict=True))


def distance_lines(values: pd.DataFrame) -> list[str]:
    """Return how far the paper's width is from what the paper states, a sentence a number.

    From `length_values`; nothing where that width is missing.
    """
    goal, rows = stated(SEQUENTIAL.name), in_sequence(values)
    own = rows[rows["width"].str.endswith(PAPERS) & rows["n_classes"].isin(goal)]
    return [
        f"{row.width} after {row.iterations:,} of {PAPER_LENGTH:,} meta-iterations, N = "
        f"{row.n_classes}: {100 * row.mean:.1f}%, the paper {goal[row.n_classes]:.1f}%: "
        f"{100 * row.mean - goal[row.n_classes]:+.1f} points."
        for row in own.groupby("n_classes", sort=False).tail(1).itertuples()
    ]


def forgotten_sheet(tables: Tables) -> pd.DataFrame:
    """Return what learning class after class costs (`forgotten`), in per cent and points.

    Where the paper states both numbers, the paper's width has its difference beside.
    """
    oracle, sequential = stated(ORACLE.name), stated(SEQUENTIAL.name)
    rows = []
    for row in forgotten(tables).itertuples():
        n, papers = row.n_classes, "-"
        if row.width.endswith(PAPERS) and n in oracle and n in sequential:
            difference = sequential[n] - oracle[n]
            papers = f"{difference:+.1f} ({oracle[n]:.1f}, {sequential[n]:.1f})"
        rows.append(
            {
                "width": row.width,
                "meta-iterations": f"{row.iterations:,}",
                "N": n,
                "random order (Oracle)": f"{100 * row.oracle:.1f}",
                "class after class": f"{100 * row.sequential:.1f}",
                "points lost": points(-row.lost, -row.high, -row.low),
                "in the paper": papers,
                REPLICATES: times(row.models, row.trajectories),
            }
        )
    return pd.DataFrame(rows)


def parts_lines(tables: Tables) -> list[str]:
    """Return how much of the distance to the paper is forgetting, a sentence for each N.

    At the paper's width, over the models that were measured in both orders.
    """
    oracle, sequential = stated(ORACLE.name), stated(SEQUENTIAL.name)
    found = forgotten(tables)
    own = found[found["width"].str.endswith(PAPERS)] if len(found) else found
    lines = []
    for row in own.itertuples():
        n = row.n_classes
        if n in oracle and n in sequential:
            whole = 100 * row.sequential - sequential[n]
            known = 100 * row.oracle - oracle[n]
            lines.append(
                f"N = {n}, {replicates(row.models, row.trajectories)} in both orders: of "
                f"{whole:+.1f} points to the paper {known:+.1f} stand between the Oracles already "
                f"({100 * row.oracle:.1f}% and {oracle[n]:.1f}%), and {whole - known:+.1f} come of "
                "the order of the classes."
            )
    return lines


def restart_lines(pieces: pd.DataFrame) -> list[str]:
    """Return which models' meta-training began anew (`lengths_found.restarts`), a sentence each."""
    return [
        f"{row.width}, model {row.model_seed}: meta-training did not run in one piece. It went on "
        f"from the model recorded after {row.iteration:,} meta-iterations (weights in "
        f"{row.precision}), whose head and Adam's moments were found again in {row.settling:,} "
        "meta-iterations done over, in which nothing but the head was changed."
        for row in pieces.itertuples()
    ]


def two_pieces(found: Found, root: Path | None = None) -> list[str]:
    """Return `restart_lines` of the models behind a recorded table; none for a run of one's own."""
    if not found.recorded:
        return []
    return restart_lines(restarts({found.table.provenance.profile: found.table}, root))


def pieces_either_way(own: Tables, kept: Tables, root: Path | None = None) -> list[str]:
    """Return `restart_lines` of recorded models: those of a profile, then those with rows kept."""
    with_rows_kept = restart_lines(restarts(kept, root, REDRAW_KEPT))
    return [*restart_lines(restarts(own, root)), *(f"{KEPT}: {line}" for line in with_rows_kept)]


def kept_lines(kept: Iterable[Table], root: Path | None = None) -> list[str]:
    """Return where tables of models whose redrawn rows were kept come from, a sentence each."""
    tables = list(kept)
    lines = dict.fromkeys(table.provenance.line() for table in tables)
    profiles = {table.provenance.profile: table for table in tables}
    pieces = restart_lines(restarts(profiles, root, REDRAW_KEPT))
    return [f"{KEPT}: {line}" for line in (*lines, *pieces)]


def restart_sheet(tables: Tables, again: Tables) -> pd.DataFrame:
    """Return what going on from a recorded model changed (`gains_of_others`), in points."""
    gains = gains_of_others(tables, again)
    return _changes(gains, [f"{row.iterations:,}" for row in gains.itertuples()])


def redraw_sheet(tables: Tables, kept: Tables) -> pd.DataFrame:
    """Return what keeping the redrawn row changed (`gains_of_others`), in per cent and points."""
    gains = gains_of_others(tables, kept)
    sheet = _changes(gains, [f"{row.iterations:,}" for row in gains.itertuples()])
    if gains.empty:
        return sheet
    before = sheet.columns.get_loc(CHANGE)
    for name, words in (("other", "kept"), ("usual", "in the copy")):
        sheet.insert(before, words, (100 * gains[name]).map("{:.1f}".format))
    return sheet


def furthest_words(values: pd.DataFrame) -> str:
    """Return what the longest length of each width gave at the longest N, in words.

    From `length_values`: 'at N = 600, 256 / 112 channels (the paper's) after 5,000 meta-iterations
    60.1 [59.0, 61.2]% (1 model × 10 trajectories); 64 / 28 channels ...'.
    """
    rows = in_sequence(values)
    longest = rows["n_classes"].max()
    last = rows[rows["n_classes"] == longest].groupby("width", sort=False).tail(1)
    return f"at N = {longest}, " + "; ".join(
        f"{row.width} after {row.iterations:,} meta-iterations "
        f"{shown(row.mean, row.low, row.high)}% ({replicates(row.models, row.trajectories)})"
        for row in last.itertuples()
    )


def gate_lines(activity: Tables) -> list[str]:
    """Return how many units the gate leaves active at the first and the last length, a sentence a
    width: of the models that came furthest, from the first length at which all were measured.
    """
    lines = []
    for table in by_width(activity).values():
        shares = gate_rows(table).pivot(index="iterations", columns="model_seed", values="value")
        ends = shares.loc[:, shares.iloc[-1].notna()].dropna().mean(axis="columns")
        (first, share), *others = ends.drop(ends.index[1:-1]).items()
        lines.append(
            f"{width_words(table)}: {100 * share:.1f}% of the units are active after the gate "
            f"after {first:,} meta-iterations"
            + "".join(f", {100 * last:.1f}% after {length:,}" for length, last in others)
            + "."
        )
    return lines
