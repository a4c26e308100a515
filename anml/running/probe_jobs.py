"""The job that probes one seed's models and leaves the rows of Figures 5 and 6."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from anml.data import Drawings
from anml.meta_train import initial_model
from anml.probes import (
    MAP_CLASSES,
    NEIGHBOURS,
    OTHER_DISTANCES,
    SHOWN_DRAWINGS,
    Layer,
    activations,
    dead_units,
    layers_of_anml,
    layers_of_oml,
    neighbours,
    probe_set,
    share_active,
    tsne_map,
)
from anml.profiles import Profile
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    part_path,
    train_jobs,
    treatment_model,
    write_part,
)
from anml.treatments import find_training, treatment_of

ACTIVITY_LAYERS = {"latent": "latent", "nm": "gate", "gated": "gated", "oml": "oml"}
"""Of a probed layer, the name under which the tables `activity` and `units` hold it."""
PROBED = ("units", "activity", "knn", "knn_distances", "tsne")
"""The tables that a probe fills."""
MAPPED = ("latent", "gated", "oml")
"""The layers that Fig. 6 maps."""
LAYERS = {"anml": 4, "oml": 1}
"""How many layers of a network are probed."""
DECIMALS = 6
"""Of stored activations and coordinates: far below what a picture shows, and short as text."""


@dataclass(frozen=True)
class ProbeJob:
    """Probe one seed's ANML and OML: activity, neighbours, maps (paper, section 4.2)."""

    code: ClassVar[str] = "anml.running.probe_jobs"
    rows: ClassVar[Rows] = ()
    seed: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"probe representations, seed {self.seed}"

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Layers."""
        return sum(LAYERS[find_training(name).network] for name in profile.probed)

    def weight(self) -> float:
        """In the units of a meta-test's step: thousands of drawings go through the network."""
        return 8000.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Take one layer after another through all probes and write their rows."""
        began = time.monotonic()
        probes = probe_set(drawings, place.profile.drawings_split)
        tables: dict[str, list[Row]] = {name: [] for name in PROBED}
        layers = {
            (training, name): layer
            for training in place.profile.probed
            for name, layer in probed_layers(training, self.seed, place).items()
        }
        for (training, name), layer in layers.items():
            known, asked = (
                activations(layer, x, place.device) for x in (probes.known, probes.asked)
            )
            tables["knn"] += knn_rows(name, neighbours(known, asked))
            for distance, taken_as in OTHER_DISTANCES.items():
                rows = knn_rows(name, neighbours(taken_as(known), taken_as(asked)))
                tables["knn_distances"] += [{"distance": distance, **row} for row in rows]
            if name in ACTIVITY_LAYERS:
                shown_as = ACTIVITY_LAYERS[name]
                tables["activity"] += activity_rows(treatment_of(training), shown_as, asked)
                if name != "oml":
                    tables["units"] += unit_rows(shown_as, asked)
            if name in MAPPED:
                tables["tsne"] += map_rows(name, tsne_map(known[:MAP_CLASSES]))
            on_step(1)
        own = {
            name: [{"model_seed": self.seed, **row} for row in rows]
            for name, rows in tables.items()
        }
        write_part(self, place, own, time.monotonic() - began)


def probed_layers(training: str, seed: int, place: Place) -> dict[str, Layer]:
    """The layers of the model of `seed` of a meta-training that are probed, by their names."""
    model = treatment_model(place, training, seed)
    if find_training(training).network != "anml":
        return layers_of_oml(model)
    untrained = initial_model("anml", place.profile, seed).to(place.device)
    return layers_of_anml(model, untrained)


def plan_probes(profile: Profile) -> Plan:
    """One probe a seed, after the meta-trainings whose models it probes."""
    return {
        ProbeJob(seed): [job for name in profile.probed for job in train_jobs(name, [seed])]
        for seed in profile.model_numbers()
    }


def knn_rows(representation: str, accuracy: np.ndarray) -> list[Row]:
    """Rows of `knn` from accuracies [20], one for each K of `NEIGHBOURS`."""
    return [
        {"representation": representation, "k": k, "value": float(value)}
        for k, value in zip(NEIGHBOURS, accuracy, strict=True)
    ]


def activity_rows(treatment: str, layer: str, asked: np.ndarray) -> list[Row]:
    """Rows of `activity` from the activations [C, 5, U] of the meta-test test set."""
    values = {"share active": float(share_active(asked).mean()), "dead units": dead_units(asked)}
    return [
        {"treatment": treatment, "layer": layer, "metric": metric, "value": value}
        for metric, value in values.items()
    ]


def unit_rows(layer: str, asked: np.ndarray) -> list[Row]:
    """Rows of `units`: three drawings and the mean of all, from activations [C, 5, U].

    The drawings are those of `ProbeSet.shown`.
    """
    pictures = {f"drawing {i}": asked[i, 0] for i in range(SHOWN_DRAWINGS)}
    pictures["mean"] = asked.mean(axis=(0, 1), dtype=np.float64)
    return [
        {"drawing": drawing, "layer": layer, "unit": unit, "value": value}
        for drawing, values in pictures.items()
        for unit, value in enumerate(_short(values))
    ]


def map_rows(representation: str, places: np.ndarray) -> list[Row]:
    """Rows of `tsne` from places in the plane [10, 15, 2]."""
    return [
        {"representation": representation, "class": number, "drawing": drawing, "x": x, "y": y}
        for number, own in enumerate(places)
        for drawing, (x, y) in enumerate(zip(*(_short(axis) for axis in own.T), strict=True))
    ]


def _short(values: np.ndarray) -> Iterator[float]:
    return (round(value, DECIMALS) for value in values.astype(np.float64).tolist())
