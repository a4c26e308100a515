"""Made-up tables of every kind for tests: they have the right form and no scientific content."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import synthetic_table

from anml.figures.plot_style import TREATMENTS as MARKS
from anml.results import Table
from anml.store.tables import TESTING, TRAINING
from anml.treatments import TREATMENTS

REGIMES = {"sequential": 0.0, "oracle": 0.06, "oracle 20 epochs": 0.12}
STARTS = {name: 0.93 - 0.0425 * place for place, name in enumerate(MARKS)}
REPRESENTATIONS = ("latent", "gated", "nm", "nm random", "oml")


def table(frame: pd.DataFrame, data: str = "omniglot", channels: int = 64) -> Table:
    """Return a frame as a table of the profile quick."""
    frame = frame.assign(profile="quick", data=data)
    return Table(frame, synthetic_table.provenance(data, channels=channels))


def meta_test(
    data: str = "omniglot",
    treatments: Iterable[str] = tuple(TREATMENTS),
    regimes: Iterable[str] = tuple(REGIMES),
    numbers: Iterable[int] = (10, 50, 600),
    models: int = 2,
    trajectories: int = 3,
    optimizer: str = "adam",
) -> Table:
    """Return a `meta_test` table: accuracy falls with N, and rises from regime to regime."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "treatment": treatment,
            "regime": regime,
            "optimizer": optimizer,
            "learning_rate": 1e-3,
            "model_seed": model,
            "trajectory_seed": trajectory,
            "n_classes": n,
            "metric": metric,
            "value": STARTS[treatment]
            + REGIMES[regime]
            + shift
            - 0.03 * np.log(n)
            + rng.normal(0, 0.01),
        }
        for treatment in treatments
        for regime in regimes
        for model in range(models)
        for trajectory in range(trajectories)
        for n in numbers
        for metric, shift in ((TRAINING, 0.02), (TESTING, -0.02))
    ]
    frame = pd.DataFrame(rows)
    return table(frame.assign(value=frame["value"].clip(0, 1)), data)


def class_accuracy(
    data: str = "omniglot",
    treatments: Iterable[str] = ("ANML", "OML", "OML-OLFT"),
    n_classes: int = 60,
    models: int = 2,
    trajectories: int = 3,
    held_out: int = 5,
) -> Table:
    """Return a `class_accuracy` table: the last classes learned are known better."""
    rng = np.random.default_rng(1)
    rows = [
        {
            "treatment": treatment,
            "model_seed": model,
            "trajectory_seed": trajectory,
            "n_classes": n_classes,
            "position": position,
            "metric": TESTING,
            "value": rng.binomial(held_out, STARTS[treatment] * (0.3 + 0.7 * position / n_classes))
            / held_out,
        }
        for treatment in treatments
        for model in range(models)
        for trajectory in range(trajectories)
        for position in range(n_classes)
    ]
    return table(pd.DataFrame(rows), data)


def activity(data: str = "omniglot", models: int = 2) -> Table:
    """Return an `activity` table."""
    layers = {"latent": ("ANML", 0.5), "gate": ("ANML", 0.55), "gated": ("ANML", 0.06)}
    layers["oml"] = ("OML", 0.04)
    rows = [
        {
            "treatment": treatment,
            "model_seed": model,
            "layer": layer,
            "metric": metric,
            "value": (share + 0.01 * model) if metric == "share active" else 0.0,
        }
        for layer, (treatment, share) in layers.items()
        for model in range(models)
        for metric in ("share active", "dead units")
    ]
    return table(pd.DataFrame(rows), data)


def knn(data: str = "omniglot", models: int = 2) -> Table:
    """Return a `knn` table: representation after representation 10% better, K hurts a little."""
    rows = [
        {
            "model_seed": model,
            "representation": representation,
            "k": k,
            "value": 0.3 + 0.1 * place + 0.01 * model - 0.002 * k,
        }
        for place, representation in enumerate(REPRESENTATIONS)
        for model in range(models)
        for k in range(1, 21)
    ]
    return table(pd.DataFrame(rows), data)


def everything(data: str = "omniglot") -> dict[str, Table]:
    """Return one table of each kind that published numbers are measured from."""
    tables = (meta_test, class_accuracy, activity, knn)
    return {make.__name__: make(data) for make in tables}


def with_values(table: Table, value: float, **chosen: object) -> Table:
    """Return the same table with one value in the rows that have the `chosen` values."""
    frame = table.frame.copy()
    mask = frame["value"] >= 0
    for column, wanted in chosen.items():
        mask &= frame[column] == wanted
    assert mask.any()
    frame.loc[mask, "value"] = value
    return Table(frame, table.provenance)
