"""Figure 3: meta-test training and testing accuracy against the number of classes learned."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from anml.figures.plot_curves import two_panels
from anml.figures.plot_style import FIVE, style
from anml.findings.curves import curve_rows, curve_values, published_marks
from anml.findings.lengths_found import KEPT, Tables
from anml.results import Provenance, Table
from anml.stats import SIGNIFICANT, mann_whitney, model_means
from anml.store.tables import TESTING

NAME = "fig3_continual_learning"
SEQUENTIAL = ("sequential",)


def fig3_values(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return what Figure 3 shows: `anml.findings.curves.curve_values` of its five treatments."""
    return curve_values(table, FIVE, SEQUENTIAL, optimizer, seed)


def fig3_with_kept(
    values: pd.DataFrame, kept: Tables, optimizer: str = "adam", seed: int = 0
) -> pd.DataFrame:
    """Return `fig3_values` and, behind them, those of ANML whose redrawn rows were kept.

    `kept`: from `anml.findings.kept_rows.kept_meta_tests`; where it is empty, nothing is added.
    """
    others = [curve_values(own, [KEPT], SEQUENTIAL, optimizer, seed) for own in kept.values()]
    return pd.concat([values, *others], ignore_index=True)


def fig3(
    values: pd.DataFrame,
    provenance: Provenance,
    optimizer: str = "adam",
    stars: Sequence[int] = (),
) -> Figure:
    """Draw Figure 3: two panels, mean and band a treatment, published marks.

    `values`: from `fig3_values` or `fig3_with_kept`.
    `stars`: the N of `fig3_stars`, marked above the testing accuracy.
    """
    with style():
        marks = published_marks(FIVE, SEQUENTIAL, provenance)
        figure = two_panels(values, marks, provenance, optimizer, height=5.8)
        _, testing = figure.axes
        for n in stars:
            place = {"xycoords": testing.get_xaxis_transform(), "ha": "center", "va": "top"}
            testing.annotate("*", (n, 1.0), fontsize=14, **place)
        return figure


def fig3_published_sheet(drawn: pd.DataFrame, provenance: Provenance) -> pd.DataFrame:
    """Return how far the measured curves of ANML are from the published points, for reading.

    `drawn`: from `fig3_values` or `fig3_with_kept`. A row a source and metric, with the N that were
    published and measured; of each curve the mean difference in percentage points, measured less
    published, and in brackets the lowest and highest. Curves that were measured at other N have
    rows of their own. Empty beside results on other drawings.
    """
    marks = published_marks(["ANML"], SEQUENTIAL, provenance)
    points = marks[marks["kind"] == "point"][["source", "metric", "n_classes", "value"]]
    ours = drawn[drawn["treatment"].isin(["ANML", KEPT])]
    both = ours.merge(points, on=["metric", "n_classes"])
    both = both.assign(gap=100 * (both["mean"] - both["value"]))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for (source, metric), own in both.groupby(["source", "metric"], sort=False):
        for treatment, curve in own.groupby("treatment"):
            gap = curve["gap"]
            ends = f" [{gap.min():+.1f}, {gap.max():+.1f}]" if len(gap) > 1 else ""
            numbers = ", ".join(map(str, sorted(set(curve["n_classes"]))))
            rows.setdefault((source, metric, numbers), {})[treatment] = f"{gap.mean():+.1f}{ends}"
    keys = ("published by", "metric", "N")
    sheet = [dict(zip(keys, key, strict=True)) | gaps for key, gaps in rows.items()]
    return pd.DataFrame(sheet).fillna("-")


def kept_beside_published(sheet: pd.DataFrame) -> str:
    """Return `fig3_published_sheet` in words: testing accuracy where redrawn rows were kept.

    'not measured' where there is none.
    """
    if KEPT not in sheet:
        return "not measured"
    rows = sheet[(sheet["metric"] == TESTING) & (sheet[KEPT] != "-")]
    return "; ".join(
        f"{gap} beside the {source} (N = {numbers})"
        for source, numbers, gap in rows[["published by", "N", KEPT]].itertuples(index=False)
    )


def fig3_stars(table: Table, optimizer: str = "adam") -> list[int]:
    """Return every N at which ANML differs from each other treatment that was run there.

    By a Mann-Whitney U test between models, in testing accuracy, p < 0.05 in every pair; none where
    the models are too few for such a p.
    """
    rows = curve_rows(table, FIVE, SEQUENTIAL, optimizer)
    rows = rows[rows["metric"] == TESTING]
    stars = []
    for n, here in rows.groupby("n_classes"):
        models = {name: model_means(own) for name, own in here.groupby("treatment")}
        ours = models.pop("ANML", None)
        if ours is None or not models:
            continue
        found = [mann_whitney(ours, theirs).p for theirs in models.values()]
        if all(p is not None and p < SIGNIFICANT for p in found):
            stars.append(int(n))
    return stars


def fig3_tests(table: Table, optimizer: str = "adam") -> pd.DataFrame:
    """Return ANML against each other treatment at the longest N: model means, testing accuracy.

    Columns: `against`, `N`, `difference` (percentage points, of the means), `test`.
    """
    rows = curve_rows(table, FIVE, SEQUENTIAL, optimizer)
    rows = rows[rows["metric"] == TESTING]
    at = {n: set(group["treatment"]) for n, group in rows.groupby("n_classes")}
    result = []
    for other in FIVE[1:]:
        shared = [n for n, names in at.items() if {"ANML", other} <= names]
        if not shared:
            continue
        here = rows[rows["n_classes"] == max(shared)]
        ours, theirs = (model_means(here[here["treatment"] == t]) for t in ("ANML", other))
        gap = 100 * (ours.mean() - theirs.mean())
        test = mann_whitney(ours, theirs).text
        result.append(
            {"against": other, "N": max(shared), "difference": f"{gap:+.1f}", "test": test}
        )
    return pd.DataFrame(result, columns=["against", "N", "difference", "test"])
