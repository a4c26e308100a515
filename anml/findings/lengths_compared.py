"""ANML and others after equally long training: the paper's comparison, before its 20,000; and ANML
beside itself, meta-trained in the released code's ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from anml.findings.claims import published
from anml.findings.curves import counts, shown
from anml.findings.found_tables import Found
from anml.findings.lengths_found import (
    PAPER_LENGTH,
    PAPERS,
    REDRAW_KEPT,
    REPLICATE,
    Tables,
    by_width,
    recorded_beside,
    recorded_widths,
    width_words,
)
from anml.findings.lengths_said import (
    CHANGE,
    REPLICATES,
    points,
    rate_sheet,
    stated,
    times,
)
from anml.findings.measure import DROP
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.running.length_names import (
    LENGTH_REGIMES,
    MEASURED,
    META_TRAINING,
    TREATMENT,
    units,
)
from anml.stats import relative_drop, replicates, summary, two_level_interval
from anml.store.tables import TESTING
from anml.treatments import IN_ORDER, treatment_of

COMPARED = {"oml": "oml", "pretrain": "pretrain"}
"""Trainings whose models are compared with ANML's, with what stands behind the profile's name where
they are recorded: `results/<profile>_<this>/`.
"""
WAYS = {
    "anml-first-order": "first_order",
    "anml-redraw-kept": REDRAW_KEPT,
    "anml-as-released": "as_released",
}
"""ANML meta-trained as the released code does it, in one respect or in all: as `COMPARED`."""
CHANGES = (
    *((way, META_TRAINING) for way in WAYS),
    ("anml-as-released", "anml-redraw-kept"),
)
"""Which meta-training is compared with which."""
REPRESENTATION = "oml"
"""The layer of `length_activity` that is behind the convolutions of OML's network."""
POINT = ["profile", "width", "iterations", "n_classes"]
ORDERS = {ORACLE.name: "random order (Oracle)", SEQUENTIAL.name: "class after class"}
LOST = f"{DROP}, %"
AHEAD = "ANML is ahead by, in points"
IN_PAPER = f"the paper's, after {PAPER_LENGTH:,}"
Others = Mapping[str, Tables]
"""The tables of each training of `COMPARED`, or of `WAYS`, that has any."""


def of_others(
    name: str, tables: Tables, root: Path | None = None, where: Mapping[str, str] = COMPARED
) -> dict[str, Tables]:
    """Return the tables `name` recorded of others' lengths beside those of a page, if there are.

    `where`: of which others, `COMPARED` or `WAYS`.
    """
    found = {
        training: recorded_beside(what, name, tables, root) for training, what in where.items()
    }
    return {training: own for training, own in found.items() if own}


def papers_width(name: str, found: Found, root: Path | None = None) -> Tables:
    """Return the table `name` recorded of ANML's lengths at the paper's width, by profile.

    Empty for a page, `found`, that is not about recorded results on Omniglot.
    """
    if not found.recorded or found.table.provenance.data_source != "omniglot":
        return {}
    tables = recorded_widths(name, root)
    return {own: table for own, table in tables.items() if width_words(table).endswith(PAPERS)}


def shared_rows(tables: Tables, others: Others) -> pd.DataFrame:
    """Return meta-test testing accuracies of ANML and others at what was measured of all.

    `tables`: `lengths` tables of ANML by profile; `others`: of `of_others`. Of equal length, number
    of classes, regime, model and trajectory. Columns: `profile`, `width` (in words), `iterations`,
    `n_classes`, `treatment`, `regime`, `model_seed`, `trajectory_seed`, `value` (fraction); the
    widest network first, the treatments in the order of every table.
    """
    keys = [*POINT, "treatment", "regime", *REPLICATE]
    found = [pd.DataFrame(columns=[*keys, "value"])]
    profiles = dict.fromkeys(profile for own in others.values() for profile in own)
    for profile, table in by_width({name: tables[name] for name in profiles}).items():
        beside = [own[profile].frame for own in others.values() if profile in own]
        rows = pd.concat([table.frame, *beside])
        rows = rows[(rows["metric"] == TESTING) & rows["regime"].isin(LENGTH_REGIMES)]
        rows = rows.assign(profile=profile, width=width_words(table))
        same = rows.groupby([*POINT, "regime", *REPLICATE])["treatment"]
        shared = rows[same.transform("nunique") == rows["treatment"].nunique()]
        place = shared["treatment"].map(IN_ORDER.index)
        ordered = shared.assign(place=place).sort_values([*POINT[2:], "place", "regime"])
        found.append(ordered[found[0].columns])
    return pd.concat(found[1:] or found, ignore_index=True)


def compared_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the means of `shared_rows`, in their order, and intervals: `anml.stats.summary`."""
    keys = [*POINT, "treatment", "regime"]
    return rows[keys].drop_duplicates().merge(summary(rows, keys), on=keys)


def compared_sheet(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `shared_rows` for reading: what each treatment knows in either order, what it loses.

    A row a width, length, N and treatment; beside them what the paper states.
    """
    sheet, counted = [], units(rows["treatment"].unique())
    for (_, width, iterations, n, name), own in rows.groupby([*POINT, "treatment"], sort=False):
        found = summary(own, ["regime"]).set_index("regime")
        orders = [own[own["regime"] == regime] for regime in ORDERS]
        known = len(orders[1]) and (orders[0]["value"] > 0).any()
        drop = relative_drop(*orders) if known else None
        sheet.append(
            {
                "width": width,
                counted: f"{iterations:,}",
                "N": n,
                "treatment": name,
                **{words: _accuracy(found, regime) for regime, words in ORDERS.items()},
                LOST: shown(drop.mean, drop.low, drop.high) if drop else "-",
                IN_PAPER: _stated(name, n),
                REPLICATES: counts(found),
            }
        )
    return pd.DataFrame(sheet)


def lead_sheet(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how far ANML is ahead of each other treatment, in points, pair by pair.

    From `shared_rows`; a row a width, length, N, treatment and order.
    """
    keys, sheet = [*POINT, "regime"], []
    counted = units(rows["treatment"].unique())
    for (_, width, iterations, n, regime), own in rows.groupby(keys, sort=False):
        values = own.pivot(index=REPLICATE, columns="treatment", values="value")
        for name in own["treatment"].unique()[1:]:  # ANML is the first
            lead = values[TREATMENT] - values[name]
            found = two_level_interval(lead, lead.index.get_level_values("model_seed"))
            sheet.append(
                {
                    "width": width,
                    counted: f"{iterations:,}",
                    "N": n,
                    "order": regime,
                    "ahead of": name,
                    AHEAD: points(found.mean, found.low, found.high),
                    REPLICATES: times(found.models, found.trajectories),
                }
            )
    return pd.DataFrame(sheet)


def change_sheet(tables: Tables, ways: Others, lengths: Iterable[int]) -> pd.DataFrame:
    """Return what each way of meta-training changed (`CHANGES`), in points, pair by pair.

    Over the models and trajectories that both of a pair have, at these `lengths`. `tables`, `ways`:
    `lengths` tables of ANML, and of `of_others` with `WAYS`. A row a width, length, N and pair, a
    column an order of the drawings; empty where nothing was measured.
    """
    known, counted, sheet = {META_TRAINING: tables, **ways}, units([TREATMENT]), []
    for pair in (pair for pair in CHANGES if known.keys() >= set(pair)):
        (name, first), (other, second) = ((treatment_of(one), known[one]) for one in pair)
        rows = shared_rows(second, {pair[0]: first})
        rows = rows[rows["iterations"].isin(lengths)]
        for (_, width, iterations, n), own in rows.groupby(POINT, sort=False):
            values = own.pivot(index=["regime", *REPLICATE], columns="treatment", values="value")
            gains = (values[name] - values[other]).groupby("regime")
            found = {
                regime: two_level_interval(gain, gain.index.get_level_values("model_seed"))
                for regime, gain in gains
            }
            changes = {
                f"{ORDERS[regime]}, {CHANGE}": points(gain.mean, gain.low, gain.high)
                for regime, gain in sorted(found.items(), reverse=True)  # in sequence first
            }
            replicated = (times(gain.models, gain.trajectories) for gain in found.values())
            sheet.append(
                {"width": width, counted: iterations, "N": n}
                | {"treatment": name, "against": other, **changes}
                | {REPLICATES: ", ".join(dict.fromkeys(replicated))}
            )
    if not sheet:
        return pd.DataFrame()
    order = ["width", counted, "N"]
    rows = pd.DataFrame(sheet).sort_values(order, kind="stable", ignore_index=True).fillna("-")
    return rows.assign(**{counted: rows[counted].map("{:,}".format)})


def compared_words(rows: pd.DataFrame) -> str:
    """Return what one class after another gave at the longest N and length of each width, in words.

    From `shared_rows`: '256 / 112 channels (the paper's), after 5,000 meta-iterations or batches
    each, N = 600: ANML 55.1 [54.6, 55.5]%, OML ... (1 model × 10 trajectories)'; widths between
    ';'.
    """
    found = []
    for (_, width), own in rows[rows["regime"] == SEQUENTIAL.name].groupby(POINT[:2], sort=False):
        for point in POINT[2:]:
            own = own[own[point] == own[point].max()]
        values = summary(own, ["treatment"]).set_index("treatment").loc[own["treatment"].unique()]
        bounds = values[["mean", "low", "high"]]
        shares = ", ".join(f"{name} {shown(*row)}%" for name, *row in bounds.itertuples())
        counted = replicates(values["models"].min(), values["trajectories"].min())
        iterations, n = own[POINT[2:]].iloc[0]
        found.append(
            f"{width}, after {iterations:,} {units(values.index)} each, N = {n}: {shares} "
            f"({counted})"
        )
    return "; ".join(found)


def activity_lines(activity: Others) -> list[str]:
    """Return how many of the others' units are active, a sentence a training, width and length.

    `activity`: `length_activity` tables of `of_others`.
    """
    lines = []
    for training, tables in activity.items():
        name = treatment_of(training)
        for table in by_width(tables).values():
            channels = table.provenance.profile_values["oml_channels"]
            rows = table.frame[table.frame["layer"] == REPRESENTATION]
            for length, own in rows.pivot_table("value", "iterations", "metric").iterrows():
                lines.append(
                    f"{name}, {channels} channels, after {length:,} {units([name])}: "
                    f"{100 * own['share active']:.1f}% of the representation's units are active "
                    f"for a drawing, {100 * own['dead units']:.1f}% for none."
                )
    return lines


def searched(rates: Tables, root: Path | None = None) -> dict[str, Tables]:
    """Return the `length_rates` tables recorded beside a page's, by treatment of others' models."""
    found = of_others("length_rates", rates, root)
    return {name: tables for training, tables in found.items() for name in MEASURED[training]}


def found_rates_sheet(rows: pd.DataFrame, rates: Others) -> pd.DataFrame:
    """Return the meta-test rates that were found for what `shared_rows` compares, for reading.

    `rates`: `length_rates` tables by training. A row a treatment, width, length and model.
    """
    same = rows[["iterations", "n_classes", "model_seed"]].drop_duplicates()
    sheets = []
    for training, tables in rates.items():
        own = {p: replace(table, frame=table.frame.merge(same)) for p, table in tables.items()}
        for name in MEASURED[training]:
            sheet = rate_sheet(own, name)
            sheet.insert(0, "treatment", name)
            sheets.append(sheet)
    return pd.concat(sheets, ignore_index=True)


def source_lines(others: Others) -> list[str]:
    """Return where the tables of `of_others` come from, a line a training and width."""
    return [
        f"{treatment_of(training)}: {table.provenance.line()}"
        for training, tables in others.items()
        for table in tables.values()
    ]


def _accuracy(found: pd.DataFrame, regime: str) -> str:
    """A regime's mean and interval in per cent; `-` where it was not measured."""
    return shown(*found.loc[regime, ["mean", "low", "high"]]) if regime in found.index else "-"


def _stated(treatment: str, n: int) -> str:
    """What the paper states of a treatment after N classes: accuracy and relative drop."""
    known = published()
    known = known[known["source"].eq("paper") & known["treatment"].eq(treatment)]
    drops = known[known["metric"].eq(DROP) & known["n_classes"].eq(str(n))]["value"]
    accuracy = stated(SEQUENTIAL.name, treatment).get(n)
    said = [f"{accuracy:g}%"] if accuracy else []
    return "; ".join([*said, *(f"drop {value}%" for value in drops)]) or "-"
