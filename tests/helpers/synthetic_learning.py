"""A made-up table `meta_train_log`: two models of ANML, one of OML, each metric changing evenly."""

import pandas as pd
import synthetic_table

from anml.results import Table
from anml.store.tables import LOG_METRICS

STEPS = 200


def table(data: str = "omniglot") -> Table:
    """The value at step `s` of metric `p` and model `m` is `(m + p) / 10 + s / STEPS`."""
    rows = [
        {
            "profile": "quick",
            "data": data,
            "treatment": training,
            "model_seed": seed,
            "iteration": 10 * (step + 1),
            "metric": metric,
            "value": (seed + place) / 10 + step / STEPS,
        }
        for training, seeds in (("anml", 2), ("oml", 1))
        for seed in range(seeds)
        for place, metric in enumerate(LOG_METRICS)
        for step in range(STEPS)
    ]
    return Table(pd.DataFrame(rows), synthetic_table.provenance(data))
