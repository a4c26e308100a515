"""Made-up tables of representations for tests: they have the right form and no content."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import synthetic_table

from anml.results import Table
from anml.store.tables import TABLES

UNITS = 54


def _columns(name: str, column: str) -> Sequence[str]:
    return TABLES[name][column].allowed


def tables(data: str = "omniglot", models: int = 2) -> dict[str, Table]:
    """The tables that a probe fills, of `models` models with `UNITS` units."""
    rng = np.random.default_rng(0)
    seeds = range(models)
    units = [
        (seed, drawing, layer, unit, max(0.0, rng.normal()))
        for seed, drawing, layer, unit in product(
            seeds, _columns("units", "drawing"), _columns("units", "layer"), range(UNITS)
        )
    ]
    layers = (("ANML", "latent"), ("ANML", "gate"), ("ANML", "gated"), ("OML", "oml"))
    activity = [
        (treatment, seed, layer, metric, rng.random())
        for seed, (treatment, layer), metric in product(
            seeds, layers, _columns("activity", "metric")
        )
    ]
    knn = [
        (seed, name, k, rng.random())
        for seed, name, k in product(seeds, _columns("knn", "representation"), range(1, 21))
    ]
    knn_distances = [
        (*row[:3], rng.random(), distance)
        for row, distance in product(knn, _columns("knn_distances", "distance"))
    ]
    tsne = [
        (seed, name, number, drawing, *rng.normal(size=2))
        for seed, name, number, drawing in product(
            seeds, _columns("tsne", "representation"), range(10), range(15)
        )
    ]
    rows = {"units": units, "activity": activity, "knn": knn, "tsne": tsne}
    rows |= {"knn_distances": knn_distances}
    made = synthetic_table.provenance(data, channels=UNITS // 9)
    made.profile_values.update(drawings_split="shuffled", meta_iterations=20_000)
    result = {}
    for name, observations in rows.items():
        columns = [column for column in TABLES[name] if column not in ("profile", "data")]
        frame = pd.DataFrame(observations, columns=columns)
        result[name] = Table(frame.assign(profile=made.profile, data=data), made)
    return result
