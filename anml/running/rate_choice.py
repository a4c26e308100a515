"""Which learning rate a search chooses, and which are tried for SGD."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

SGD_RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4)
"""Searched for SGD at meta-test: the profiles' rates are Adam's, a hundred times too small here."""


def best_rate(rows: Sequence[Mapping[str, Any]]) -> float:
    """The learning rate that a search chooses, from its rows.

    On each trajectory the rate with the best accuracy wins; the rate that wins most often is
    taken (spec, section 4), by mean accuracy where that is a draw, and the larger of equals.
    """
    searches: dict[int, dict[float, float]] = defaultdict(dict)
    for row in rows:
        searches[row["trajectory_seed"]][row["learning_rate"]] = row["value"]
    wins = Counter(max(values, key=lambda r: (values[r], r)) for values in searches.values())
    means = {
        rate: sum(values[rate] for values in searches.values())
        for rate in {row["learning_rate"] for row in rows}
    }
    return max(means, key=lambda rate: (wins[rate], means[rate], rate))
