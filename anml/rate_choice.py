"""Which learning rate a search chooses."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any


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
