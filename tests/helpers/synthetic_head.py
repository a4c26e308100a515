"""Made-up tables `head_rules` and `head_outputs`: the right form and no scientific content."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import synthetic_table

from anml.meta_testing.head_rules import HEAD_RULES
from anml.results import Table
from anml.running.head_jobs import PARTS
from anml.store.tables import (
    BELOW,
    LEARNED,
    OF_LEARNED,
    OF_TO_COME,
    OWN,
    TESTING,
    TO_COME,
    TRAINING,
)

LEVELS = dict(zip(HEAD_RULES, (0.5, 0.1, 0.55, 0.2), strict=True))
"""Of each rule at its third rate, which is its best; a rate off it costs a tenth a place."""


def table(data: str = "omniglot", models: int = 2, trajectories: int = 2) -> Table:
    """Testing accuracy rises from part to part by 1 point around its rule's level."""
    rng = np.random.default_rng(0)
    rows = []
    for rule, own in HEAD_RULES.items():
        for (place, rate), model, trajectory, part, (metric, more) in product(
            enumerate(own.rates),
            range(models),
            range(trajectories),
            range(1, PARTS + 1),
            ((TRAINING, 0.2), (TESTING, 0.0)),
        ):
            level = LEVELS[rule] * (1 - abs(place - 2) / 10) + more
            rows.append(
                {
                    "treatment": "ANML",
                    "rule": rule,
                    "optimizer": own.optimizer,
                    "learning_rate": rate,
                    "model_seed": model,
                    "trajectory_seed": 1000 * model + trajectory,
                    "n_classes": 50,
                    "part": part,
                    "metric": metric,
                    "value": level + (part - 5.5) / 100 + rng.normal(0, 1e-4),
                }
            )
    frame = pd.DataFrame(rows).assign(profile="quick", data=data)
    return Table(frame, synthetic_table.provenance(data))


ANSWERS = {OWN: -1.0, LEARNED: -2.0, TO_COME: -3.0, BELOW: 0.4}


def outputs(data: str = "omniglot", models: int = 2, trajectories: int = 2) -> Table:
    """`ANSWERS` on classes learned, and half of them on those to come, a hundredth more a
    trajectory.
    """
    rows = [
        {
            "treatment": "ANML",
            "rule": rule,
            "optimizer": own.optimizer,
            "learning_rate": rate,
            "model_seed": model,
            "trajectory_seed": 1000 * model + trajectory,
            "n_classes": 50,
            "learned": 25,
            "drawings": drawings,
            "metric": metric,
            "value": share * value + trajectory / 100,
        }
        for rule, own in HEAD_RULES.items()
        for rate, model, trajectory in product(own.rates, range(models), range(trajectories))
        for drawings, share in ((OF_LEARNED, 1.0), (OF_TO_COME, 0.5))
        for metric, value in ANSWERS.items()
    ]
    frame = pd.DataFrame(rows).assign(profile="quick", data=data)
    return Table(frame, synthetic_table.provenance(data))
