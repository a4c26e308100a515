"""Recorded neighbours asked for again: a sample of the probed layers of recorded models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anml.data import Drawings
from anml.errors import AnmlError
from anml.findings.measure import KNN_K
from anml.probes import NEIGHBOURS, OTHER_DISTANCES, activations, neighbours, probe_set
from anml.recording.verify import Check, recorded_place
from anml.results import Table
from anml.running.jobs import Place, TrainJob
from anml.running.length_names import MEASURED
from anml.running.lengths import LengthJob
from anml.running.probe_jobs import probed_layers
from anml.treatments import find_training

PROBE_TABLES = ("knn", "knn_distances")
"""The tables of neighbours, of which `verify_neighbours` takes a sample."""


def verify_neighbours(
    table: Table,
    folder: Path,
    drawings: Drawings,
    sample: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> list[Check]:
    """Ask again for the neighbours in a random sample of a `knn` or `knn_distances` table's layers.

    Compared at K = 5, the paper's. `folder`, `sample`, `seed`, `tell`: as in
    `anml.recording.verify.verify`, of layers, and distances where there are several. AnmlError:
    other drawings than the table's, or no model of any layer.
    """
    place = recorded_place(table, folder, drawings, device)
    known = table.frame[table.frame["k"] == KNN_K]
    places = [_model_place(place, case) for case in known.itertuples()]
    cases = [(case, own) for case, own in zip(known.itertuples(), places, strict=True) if own]
    if not cases:
        raise AnmlError(
            f"{folder} has no model of the {len(known)} recorded layers: verify a run that is "
            "recorded with its models, such as laptop"
        )
    if len(cases) < len(known):
        tell(
            f"{len(known) - len(cases)} of {len(known)} recorded layers are left out: no model of "
            "theirs is recorded"
        )
    probes = probe_set(drawings, place.profile.drawings_split)
    checks = []
    for number in sorted(np.random.default_rng(seed).permutation(len(cases))[:sample]):
        case, own = cases[number]
        layer = probed_layers(_training(place, case), case.model_seed, own)[case.representation]
        distance = getattr(case, "distance", None)
        taken_as = OTHER_DISTANCES[distance] if distance else np.asarray
        both = (taken_as(activations(layer, part, device)) for part in (probes.known, probes.asked))
        again = float(neighbours(*both)[NEIGHBOURS.index(KNN_K)])
        what = f"{case.representation}, model {case.model_seed}"
        what += f", by {distance}" if distance else ""
        size = probes.asked.shape[0] * probes.asked.shape[1]
        checks.append(Check(what, f"kNN accuracy, K = {KNN_K}", case.value, again, size))
    return checks


def _training(place: Place, case: Any) -> str:
    """The meta-training whose model has the layer of a row."""
    of_oml = case.representation == "oml"
    return next(
        name for name in place.profile.probed if (find_training(name).network == "oml") == of_oml
    )


def _model_place(place: Place, case: Any) -> Place | None:
    """Where the model of a row is recorded: with the run's own, or with those of its length."""
    training, seed = _training(place, case), int(case.model_seed)
    places = [place]
    if training in MEASURED:
        places.append(LengthJob(seed, place.profile.meta_iterations, 0, training).own(place))
    there = (own for own in places if TrainJob(training, seed).result(own).is_file())
    return next(there, None)
