"""Made-up tables `lengths`, `length_rates` and `length_activity` of one width."""

from dataclasses import replace
from itertools import product

import pandas as pd
import synthetic_table

from anml.profiles import PROFILES
from anml.results import Provenance, Table
from anml.running.jobs import trajectory_seeds
from anml.store.tables import TESTING, TRAINING

LENGTHS = (1000, 4000)
NUMBERS = (100, 600)


def provenance(profile: str, data: str) -> Provenance:
    values = PROFILES[profile]
    made = synthetic_table.provenance(data, profile, values.pln_channels)
    length = {"meta_iterations": values.meta_iterations}
    return replace(made, profile_values=made.profile_values | length)


def meta_test_row(profile: str, data: str, **own: object) -> dict[str, object]:
    """What every made-up meta-test shares, and its `own` values."""
    return {
        "profile": profile,
        "data": data,
        "treatment": "ANML",
        "regime": "sequential",
        "optimizer": "adam",
        "model_seed": 0,
        **own,
    }


def accuracy(
    profile: str = "laptop",
    data: str = "omniglot",
    lengths: tuple[int, ...] = LENGTHS,
    gain: float = 0.0,
    trajectories: int = 3,
    models: int = 1,
    oracle: bool = True,
) -> Table:
    """Testing accuracy is 0.2, a tenth more a further length, a hundredth more a trajectory, and
    `gain`; at 600 classes it is half of that. The Oracle has 0.05 more.
    """
    regimes = (("sequential", 0.0), *([("oracle", 0.05)] if oracle else []))
    rows = [
        meta_test_row(
            profile,
            data,
            regime=regime,
            learning_rate=1e-3,
            model_seed=model,
            trajectory_seed=trajectory_seeds(model, trajectories)[t],
            n_classes=n,
            metric=metric,
            value=(0.2 + 0.1 * place + 0.01 * t + gain) / (1 if n == NUMBERS[0] else 2) + more,
            iterations=length,
        )
        for (place, length), n, model, t, metric, (regime, more) in product(
            enumerate(lengths),
            NUMBERS,
            range(models),
            range(trajectories),
            (TRAINING, TESTING),
            regimes,
        )
    ]
    return Table(pd.DataFrame(rows), provenance(profile, data))


def of_model(table: Table, seed: int) -> Table:
    """The rows of one model of a made-up table, as another commit made them."""
    frame = table.frame[table.frame["model_seed"] == seed]
    made = {"commit": f"{seed}" * 12, "device": f"CPU {seed}", "seconds": 100.0 + seed}
    return Table(frame, replace(table.provenance, **made))


def activity(
    profile: str = "laptop", data: str = "omniglot", lengths: tuple[int, ...] = LENGTHS
) -> Table:
    """Units active after the gate: 30%, and 10 points less a further length."""
    rows = [
        {
            "profile": profile,
            "data": data,
            "treatment": "ANML",
            "model_seed": 0,
            "layer": layer,
            "metric": metric,
            "value": start - 0.1 * place,
            "iterations": length,
        }
        for (place, length), (layer, start), metric in product(
            enumerate(lengths),
            (("latent", 0.6), ("gate", 0.5), ("gated", 0.3)),
            ("share active", "dead units"),
        )
    ]
    return Table(pd.DataFrame(rows), provenance(profile, data))


def rates(
    profile: str = "laptop", data: str = "omniglot", lengths: tuple[int, ...] = LENGTHS
) -> Table:
    """The middle one of three rates is best after the first length, the smallest from then on."""
    rows = [
        meta_test_row(
            profile,
            data,
            learning_rate=rate,
            trajectory_seed=0,
            n_classes=n,
            metric=TESTING,
            value=0.5 if rate == (1e-3 if place == 0 else 3e-4) else 0.1,
            iterations=length,
        )
        for (place, length), n, rate in product(enumerate(lengths), NUMBERS, (3e-3, 1e-3, 3e-4))
    ]
    return Table(pd.DataFrame(rows), provenance(profile, data))


def tables(profile: str = "laptop", data: str = "omniglot") -> dict[str, Table]:
    """All three by name."""
    made = {"lengths": accuracy, "length_activity": activity, "length_rates": rates}
    return {name: make(profile, data) for name, make in made.items()}


def two_widths() -> dict[str, Table]:
    """Accuracies of a narrow and the paper's width by profile, the wide one 0.2 better."""
    return {
        "laptop": accuracy(lengths=(1000, 4000, 20_000)),
        "paper": accuracy("paper", gain=0.2, trajectories=2),
    }
