"""A made-up table of results for tests: it has the right form and no scientific content."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anml.results import Provenance
from anml.store.tables import TESTING, TRAINING

STARTS = {
    "ANML": 0.95,
    "OML": 0.85,
    "OML-OLFT": 0.8,
    "Pretrain & Transfer": 0.5,
    "Scratch": 0.2,
}


def provenance(data: str = "omniglot", profile: str = "quick", channels: int = 64) -> Provenance:
    return Provenance(
        data_source=data,
        data_fingerprint="0123456789abcdef",
        profile=profile,
        profile_values={
            "pln_channels": channels,
            "nm_channels": channels * 112 // 256,
            "oml_channels": channels,
            "oml_hidden": channels * 4,
        },
        package_version="0.1.0",
        commit="0123456789ab",
        device="CPU, 2 threads",
        seconds=1500.0,
        date="2025-01-02T03:04:05+00:00",
    )


def frame(
    data: str = "omniglot", profile: str = "quick", models: int = 2, trajectories: int = 3
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for treatment, start in STARTS.items():
        for model in range(models):
            for trajectory in range(trajectories):
                for n in (10, 25, 50):
                    for metric, shift in ((TRAINING, 0.02), (TESTING, -0.02)):
                        value = start + shift - 0.03 * np.log(n) + rng.normal(0, 0.01)
                        rows.append(
                            {
                                "profile": profile,
                                "data": data,
                                "treatment": treatment,
                                "regime": "sequential",
                                "optimizer": "adam",
                                "learning_rate": 1e-3,
                                "model_seed": model,
                                "trajectory_seed": trajectory,
                                "n_classes": n,
                                "metric": metric,
                                "value": float(np.clip(value, 0, 1)),
                            }
                        )
    return pd.DataFrame(rows)
