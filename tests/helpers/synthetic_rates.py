"""A made-up table `training_rates` with the grid that is really searched."""

from itertools import product

import pandas as pd
import synthetic_table

from anml.profiles import PROFILES
from anml.results import Table
from anml.running.rate_search import plan_rate_search


def table(data: str = "omniglot") -> Table:
    """Accuracy falls with the place of a pair in the grid; the profile uses the third pair."""
    rows = [
        {
            "profile": "quick",
            "data": data,
            "training": job.meta_training,
            "treatment": treatment,
            "inner_rate": dict(job.rates).get("oml_inner_rate", 0.0),
            "outer_rate": job.rates[-1][1],
            "iterations": 1000,
            "n_classes": n,
            "learning_rate": 1e-3,
            "value": 0.9 - 0.05 * place,
            "chosen": int(place == 2),
        }
        for place, job in enumerate(plan_rate_search(PROFILES["paper"]))
        for treatment, n in product(job.treatments, job.n_classes)
    ]
    return Table(pd.DataFrame(rows), synthetic_table.provenance(data))
