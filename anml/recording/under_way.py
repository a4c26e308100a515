"""Meta-trainings that are under way: how far each is, by the table `unfinished_log`. No results."""

from collections.abc import Mapping

import pandas as pd

from anml.results import Table
from anml.store.tables import LAST_SHARE, LOG_METRICS
from anml.treatments import treatment_of

NO_RESULTS = (
    "These are not results. What a model gave at lengths that it has passed on its way is on the "
    "page about how much meta-training."
)


def how_far(frame: pd.DataFrame) -> str:
    """How far each meta-training of the table is: 'anml seed 0: 4,000 of 20,000; ...'."""
    each = frame[["treatment", "model_seed", "done", "asked"]].drop_duplicates()
    return "; ".join(
        f"{row.treatment} seed {row.model_seed}: {row.done:,} of {row.asked:,}"
        for row in each.sort_values(["treatment", "model_seed"]).itertuples()
    )


def under_way_sheet(tables: Mapping[str, Table]) -> pd.DataFrame:
    """A row of texts for each meta-training in the tables, which are given by profile.

    Loss and accuracy are means over the last tenth of the iterations that are done.
    """
    rows = []
    for profile, table in tables.items():
        for (training, seed), own in table.frame.groupby(["treatment", "model_seed"]):
            done, asked, seconds, device = own[["done", "asked", "seconds", "device"]].iloc[0]
            ended = own[own["iteration"] > (1 - LAST_SHARE) * done]
            means = ended.groupby("metric")["value"].mean()
            rows.append(
                {
                    "profile": profile,
                    "training": treatment_of(training),
                    "seed": str(seed),
                    "iterations done": f"{done:,}",
                    "of": f"{asked:,}",
                    "hours so far": f"{seconds / 3600:.1f}",
                    "meta-loss": f"{means[LOG_METRICS[0]]:.2f}",
                    "remember set": f"{100 * means[LOG_METRICS[2]]:.0f}%",
                    "device": device,
                }
            )
    return pd.DataFrame(rows)
