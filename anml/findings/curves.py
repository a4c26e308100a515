"""Accuracy against the number of classes learned, as values: points, what is missing, words.

Values come from a `meta_test` table, one row a point. `anml.figures.plot_curves` draws them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from anml.errors import AnmlError
from anml.findings.claims import SOURCES, published, published_points
from anml.results import Provenance, Table
from anml.stats import replicates, summary
from anml.store.tables import TESTING, TRAINING, listing
from anml.treatments import IN_ORDER

METRICS = ((TRAINING, "Meta-test training accuracy"), (TESTING, "Meta-test testing accuracy"))
KEYS = ["treatment", "regime", "metric", "n_classes"]
# The paper's sizes (section 3): ANML's two networks, and the architecture of every control.
FULL_WIDTH = {"pln_channels": 256, "nm_channels": 112, "oml_channels": 256, "oml_hidden": 1024}


def curve_rows(
    table: Table, treatments: Sequence[str], regimes: Sequence[str], optimizer: str = "adam"
) -> pd.DataFrame:
    """Return the observations of `treatments` under `regimes` with `optimizer`.

    Raises:
        AnmlError: the table holds none of them; one line says what it holds.
    """
    frame = table.frame
    wanted = frame["regime"].isin(list(regimes)) & frame["treatment"].isin(list(treatments))
    rows = frame[wanted & (frame["optimizer"] == optimizer)]
    if rows.empty:
        held = sorted(set(frame.loc[wanted, "optimizer"]))
        raise AnmlError(
            f"the table holds no results of regime {listing(regimes)} with optimizer "
            f"{optimizer!r} for the treatments shown here; "
            + (
                f"it holds {listing(held)}"
                if held
                else "it holds none with any: `make results` adds them"
            )
        )
    return rows


def curve_values(
    table: Table,
    treatments: Sequence[str],
    regimes: Sequence[str] = ("sequential",),
    optimizer: str = "adam",
    seed: int = 0,
) -> pd.DataFrame:
    """Return what a figure shows, one row a point, in the order of every legend.

    Columns: `treatment`, `regime`, `metric`, `n_classes`, `mean`, `low`, `high` (fractions in
    [0, 1]; two-level bootstrap interval, seeded with `seed`), `models`, `trajectories`.
    """
    values = summary(curve_rows(table, treatments, regimes, optimizer), KEYS, seed=seed)
    places = {name: place for place, name in enumerate([*IN_ORDER, *regimes])}
    order = values[["treatment", "regime"]].map(places.get).assign(metric=values["metric"])
    order["n_classes"] = values["n_classes"]
    return values.loc[order.sort_values(KEYS).index].reset_index(drop=True)


def not_run(
    values: pd.DataFrame, treatments: Sequence[str], regimes: Sequence[str] = ("sequential",)
) -> str:
    """Return one line that says what of the paper's comparison the values lack; '' if nothing."""
    reached = values.groupby(["treatment", "regime"])["n_classes"].max().to_dict()
    paper = published()["n_classes"]
    furthest = int(paper[paper.str.fullmatch(r"\d+")].astype(int).max())
    longest = max(reached.values())
    missing = []
    for regime in regimes:
        for name in treatments:
            words = name if len(regimes) == 1 else f"{name} ({regime})"
            if (name, regime) not in reached:
                missing.append(words)
            elif reached[name, regime] < longest:
                missing.append(f"{words} beyond {reached[name, regime]} classes")
    if longest < furthest:
        missing.append(f"more than {longest} classes (the paper goes to {furthest})")
    return f"Not run at this scale: {', '.join(missing)}." if missing else ""


def published_marks(
    treatments: Sequence[str],
    regimes: Sequence[str],
    provenance: Provenance,
    sources: Sequence[str] = SOURCES,
) -> pd.DataFrame:
    """Return the published numbers to draw beside results on Omniglot; none beside any other.

    Columns: `id`, `source`, `treatment`, `regime`, `metric`, `n_classes`, `value` (fraction) and
    `kind`: 'point', 'bound' (below `value` at that N) or 'onwards' (below `value` from that N on).
    """
    points = pd.concat(
        published_points(metric, regime).assign(metric=metric, regime=regime, kind="point")
        for metric, _ in METRICS
        for regime in regimes
    )
    rows = published()
    rows = rows[rows["value"].str.startswith("<") & rows["regime"].isin(list(regimes))]
    onwards = rows["n_classes"].str.startswith(">=")
    bounds = rows[["id", "source", "treatment", "regime", "metric"]].assign(
        n_classes=rows["n_classes"].str.lstrip(">=").astype("int64"),
        value=rows["value"].str.lstrip("<").astype("float64") / 100,
        kind=np.where(onwards, "onwards", "bound"),
    )
    marks = pd.concat([points, bounds], ignore_index=True)
    kept = marks["treatment"].isin(list(treatments)) & marks["source"].isin(list(sources))
    return marks[kept & (provenance.data_source == "omniglot")].reset_index(drop=True)


def network_label(provenance: Provenance) -> str:
    """Return the sizes of the networks in words, from the profile's own values."""
    widths = {name: provenance.profile_values.get(name) for name in FULL_WIDTH}
    if None in widths.values():
        return "network width not recorded"
    narrow = widths != FULL_WIDTH
    pln, nm, oml, hidden = (
        f"{width} (paper {full})" if narrow else f"{width}"
        for width, full in zip(widths.values(), FULL_WIDTH.values(), strict=True)
    )
    return (
        f"{'NARROW' if narrow else 'full-width'} networks, channels: ANML's PLN {pln}, NM {nm}, "
        f"OML's {oml}, OML's hidden units {hidden}"
    )


def replicate_words(values: pd.DataFrame) -> str:
    """Return the replicates a point in words, as a range where points differ."""
    counts = sorted(
        {(int(m), int(t)) for m, t in zip(values.models, values.trajectories, strict=True)}
    )
    if len(counts) == 1:
        return replicates(*counts[0])
    return f"{replicates(*counts[0])} to {replicates(*counts[-1])}"


def counts(values: pd.DataFrame) -> str:
    """Return `3 × 5`, or each that is a point's where points differ."""
    pairs = sorted(set(zip(values["models"], values["trajectories"], strict=True)))
    return ", ".join(f"{m} \N{MULTIPLICATION SIGN} {t}" for m, t in pairs)


def shown(mean: float, low: float, high: float) -> str:
    """Return a fraction and its interval in per cent: `63.1 [62.4, 63.9]`."""
    bounds = f" [{100 * low:.1f},\N{NO-BREAK SPACE}{100 * high:.1f}]" if np.isfinite(low) else ""
    return f"{100 * mean:.1f}{bounds}"


def number_table(values: pd.DataFrame, metric: str, regime: str = "sequential") -> pd.DataFrame:
    """Return one metric for reading, in per cent: a row an N, a column a treatment.

    The last row counts the replicates: models × trajectories of each.
    """
    rows = values[(values["metric"] == metric) & (values["regime"] == regime)]
    text = [shown(*row) for row in rows[["mean", "low", "high"]].itertuples(index=False)]
    table = rows.assign(text=text).pivot(index="n_classes", columns="treatment", values="text")
    table = table[[name for name in IN_ORDER if name in table]].fillna("-")
    table.loc["models \N{MULTIPLICATION SIGN} trajectories"] = {
        name: counts(rows[rows["treatment"] == name]) for name in table
    }
    return table.rename_axis(columns=None).rename_axis("N").reset_index()


def glued(
    prefix: str, values: pd.DataFrame, provenance: Provenance, regime: str = "sequential"
) -> dict[str, float | int | str]:
    """Return the values that prose cites: `<prefix>_<treatment>_test` and the like, in per cent.

    Each treatment's mean testing accuracy at the longest N, with `_low` and `_high` where there is
    an interval; `<prefix>_longest_n`, `_replicates`, `_data`, `_profile`.
    """
    longest = int(values["n_classes"].max())
    chosen = (values["metric"] == TESTING) & (values["regime"] == regime)
    result: dict[str, float | int | str] = {}
    for row in values[chosen & (values["n_classes"] == longest)].itertuples():
        name = f"{prefix}_{slug(row.treatment)}_test"
        result[name] = round(100 * row.mean, 1)
        if np.isfinite(row.low):
            result[f"{name}_low"] = round(100 * row.low, 1)
            result[f"{name}_high"] = round(100 * row.high, 1)
    return result | {
        f"{prefix}_longest_n": longest,
        f"{prefix}_replicates": replicate_words(values),
        f"{prefix}_data": "Omniglot"
        if provenance.data_source == "omniglot"
        else "embedded drawings",
        f"{prefix}_profile": provenance.profile,
    }


def slug(treatment: str) -> str:
    """Return a treatment's name in lower-case letters and underscores: `pretrain_transfer`."""
    return re.sub(r"[^a-z]+", "_", treatment.lower()).strip("_")
