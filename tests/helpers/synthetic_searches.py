"""A made-up table `learning_rates`: searches of every treatment, the middle rate the best."""

from itertools import product

import pandas as pd
import synthetic_table

from anml.results import Table
from anml.treatments import TREATMENTS

RATES = (1e-4, 1e-3, 1e-2)


def table(data: str = "omniglot") -> Table:
    """One search trajectory at two N, in sequence and shuffled."""
    rows = [
        {
            "profile": "quick",
            "data": data,
            "treatment": treatment,
            "regime": regime,
            "optimizer": "adam",
            "learning_rate": rate,
            "n_classes": n,
            "trajectory_seed": 0,
            "value": 0.9 if rate == RATES[1] else 0.1,
        }
        for treatment, regime, n, rate in product(
            TREATMENTS, ("sequential", "oracle"), (10, 600), RATES
        )
    ]
    return Table(pd.DataFrame(rows), synthetic_table.provenance(data))
