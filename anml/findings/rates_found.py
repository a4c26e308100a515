"""Which meta-test learning rates the search found, and where its grid may have been too short."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from anml.results import Table
from anml.running.rate_choice import best_rate

SMALLEST, LARGEST = "smallest", "largest"
ARROWS = {SMALLEST: " \N{DOWNWARDS ARROW}", LARGEST: " \N{UPWARDS ARROW}", "": ""}


def edge_of(rate: float, tried: Collection[float]) -> str:
    """Return 'smallest' or 'largest' where `rate` is the end of the rates `tried`, else ''."""
    ends = {max(tried): LARGEST, min(tried): SMALLEST} if len(tried) else {}
    return ends.get(rate, "")


def found_rates(
    table: Table,
    treatments: Sequence[str],
    regimes: Sequence[str] = ("sequential",),
    optimizer: str = "adam",
    *,
    each_model: bool = False,
) -> pd.DataFrame:
    """Return the rate that each search in a `learning_rates` table chose, treatments in order.

    `each_model`: in a `length_rates` table, where each model had a search of its own; else the
    trajectories of all models are one search. Columns: `treatment`, `regime`, `n_classes`,
    `learning_rate`, `edge`: 'smallest' or 'largest' where it is the end of what was tried, else '';
    and `models`: '' where all have that rate, else those that have it, a row for each rate.
    """
    frame = table.frame[table.frame["optimizer"] == optimizer]
    rows = []
    for treatment in treatments:
        for regime in regimes:
            own = frame[(frame["treatment"] == treatment) & (frame["regime"] == regime)]
            for n, searches in own.groupby("n_classes"):
                found = _rates_of_models(searches) if each_model else {_chosen(searches): []}
                for (rate, edge), models in found.items():
                    named = ", ".join(map(str, models)) if len(found) > 1 else ""
                    rows.append((treatment, regime, int(n), rate, edge, named))
    columns = ["treatment", "regime", "n_classes", "learning_rate", "edge", "models"]
    return pd.DataFrame(rows, columns=columns)


def _chosen(searches: pd.DataFrame) -> tuple[float, str]:
    """The rate that a search chose, and at which end of the rates tried it is."""
    rate = best_rate(searches.to_dict("records"))
    return rate, edge_of(rate, searches["learning_rate"])


def _rates_of_models(searches: pd.DataFrame) -> dict[tuple[float, str], list[int]]:
    """The models whose own search chose each rate, by rate and edge, the smallest rate first."""
    chosen = {model: _chosen(own) for model, own in searches.groupby("model_seed")}
    return {
        found: [model for model, own in chosen.items() if own == found]
        for found in sorted(set(chosen.values()))
    }


def _model_words(models: pd.Series) -> pd.Series:
    """What names models behind a rate: `model 1`, `models 0, 2`; '' for all of them."""
    several = models.str.contains(",")
    return (models.where(models == "", "model ") + models).mask(several, "models " + models)


def rate_sheet(rates: pd.DataFrame) -> pd.DataFrame:
    """Return `found_rates` for reading: a row a treatment (and regime), a column an N searched.

    An arrow says that the grid ends there, and on which side. Where models have other rates, all
    stand there, each with its models.
    """
    words = _row_words(rates)
    text = rates["learning_rate"].map("{:g}".format) + rates["edge"].map(ARROWS)
    named = _model_words(rates["models"])
    text += named.where(named == "", " (" + named + ")")
    shown = pd.DataFrame({"treatment": words, "n": rates["n_classes"], "text": text})
    joined = shown.groupby(["treatment", "n"], as_index=False)["text"].agg("; ".join)
    sheet = joined.pivot(index="treatment", columns="n", values="text").loc[words.unique()]
    sheet.columns = [f"N = {n}" for n in sheet.columns]
    return sheet.fillna("-").reset_index()


def edge_notes(rates: pd.DataFrame) -> list[str]:
    """Return a sentence for each end of a grid that is the best rate, with the N where it is."""
    notes = []
    for edge, other in ((SMALLEST, "smaller"), (LARGEST, "larger")):
        own = rates[rates["edge"] == edge]
        whose = _row_words(rates).loc[own.index]
        named = _model_words(own["models"])
        own = own.assign(whose=whose + named.where(named == "", ", " + named))
        alike: dict[tuple[float, tuple[int, ...]], list[str]] = {}
        for (rate, who), rows in own.groupby(["learning_rate", "whose"], sort=False):
            alike.setdefault((rate, tuple(rows["n_classes"])), []).append(who)
        notes += [
            f"At N = {', '.join(map(str, numbers))} the best learning rate is the {edge} that was "
            f"tried, {rate:g}, for {'; '.join(who)}: a {other} one may be better still."
            for (rate, numbers), who in alike.items()
        ]
    return notes


def _row_words(rates: pd.DataFrame) -> pd.Series:
    """The treatment, with its regime where there are several."""
    several = rates["regime"].nunique() > 1
    return rates["treatment"] + (", " + rates["regime"] if several else "")
