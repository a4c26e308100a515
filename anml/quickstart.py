"""The quickstart's experiment: three networks learn characters in turn, each watched as it learns.

Unlike `anml.meta_test`, which measures after the last class, this asks after every class what the
network still knows: a small history that shows forgetting as it happens.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from anml.data import Drawings
from anml.meta_test import redraw_head
from anml.meta_testing.frozen_features import cut_network
from anml.meta_testing.linear_learning import OPTIMIZERS
from anml.meta_testing.regimes import learning_order
from anml.meta_testing.trajectories import Trajectory
from anml.meta_train import Job, initial_model, load_model, meta_train
from anml.meta_training.episodes import Stream, to_unit
from anml.process import prepare_process
from anml.profiles import PROFILES, Profile, find_profile
from anml.running.jobs import make_runs, trajectory_seeds
from anml.treatments import Treatment, find_training, find_treatment

SMALLER: dict[str, int | float] = {
    "pln_channels": 32,
    "nm_channels": 16,
    "oml_channels": 32,
    "oml_hidden": 128,
    "anml_outer_rate": 3e-3,
}
"""What fits into two minutes on one core, beside the number of meta-iterations; the higher outer
rate makes the most of few of them."""
OPTIMIZER = "sgd"
"""At meta-test, as the paper writes (Algorithm 2); the published numbers were very probably
made with Adam.
"""
RATES = (0.03, 0.01, 0.003)
"""Rates of meta-test training that each network may choose from. At 0.1 the ordinary network's
units die on some trajectories: it then answers one class for ever."""


SETTINGS = {
    "meta_iterations": "meta-iterations",
    "pln_channels": "channels, ANML's prediction network",
    "nm_channels": "channels, ANML's neuromodulatory network",
    "oml_channels": "channels, ordinary network",
    "oml_hidden": "hidden units, ordinary network",
    "inner_steps": "inner steps",
    "remember": "drawings in the remember set",
    "anml_inner_rate": "inner rate",
    "anml_outer_rate": "outer rate",
    "model_seeds": "meta-trained models",
    "trajectories": "trajectories a model",
    "n_classes": "classes learned in a trajectory, at most",
}
"""What the notebook says where it differs from the paper: fields of a profile, in words."""


@dataclass(frozen=True)
class Learner:
    """A network at the start of meta-test training, and which of its layers learn there."""

    name: str
    model: nn.Module
    treatment: Treatment


@dataclass(frozen=True)
class Outcome:
    """What became of a learner: `history` [T, N, N], one `history` a trajectory, at `rate`."""

    name: str
    rate: float
    history: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The history averaged over trajectories, [N, N]; NaN for classes still to come."""
        return self.history.mean(0)

    @property
    def just_learned(self) -> float:
        """Accuracy on each class right after it was learned, the mean over classes."""
        return float(np.diag(self.mean).mean())

    @property
    def at_the_end(self) -> float:
        """Accuracy on all classes after the last: meta-test testing accuracy."""
        return float(self.mean[-1].mean())


def use_one_core() -> None:
    """Compute on one core: networks this small gain nothing from more."""
    torch.set_num_threads(1)
    prepare_process()


def small_profile(profile: str, meta_iterations: int, n_classes: int, trajectories: int) -> Profile:
    """Return the profile with the quickstart's sizes; everything else stays as it is there.

    Raises:
        AnmlError: unknown profile, or a number out of range.
    """
    sizes = {"n_classes": n_classes, "trajectories": trajectories, "model_seeds": 1}
    return find_profile(profile, SMALLER | sizes | {"meta_iterations": meta_iterations})


def settings(profile: Profile) -> pd.DataFrame:
    """Return what differs from the paper: columns `setting`, `paper`, `here` (text)."""
    paper = PROFILES["paper"]
    rows = []
    for name, words in SETTINGS.items():
        there, here = (np.max(getattr(p, name)).item() for p in (paper, profile))
        if there != here:
            rows.append({"setting": words, "paper": f"{there:,}", "here": f"{here:,}"})
    return pd.DataFrame(rows)


def ordinary(profile: Profile, seed: int) -> Learner:
    """Return an ordinary network: OML's architecture from scratch; all of its weights learn."""
    return Learner(
        "Ordinary network", initial_model("oml", profile, seed), find_treatment("Scratch")
    )


def untrained(profile: Profile, seed: int) -> Learner:
    """Return ANML as its meta-training finds it: random weights, only the head learns."""
    return Learner(
        "ANML, not meta-trained", initial_model("anml", profile, seed), find_treatment("ANML")
    )


def meta_trained(profile: Profile, drawings: Drawings, seed: int) -> Learner:
    """Meta-train ANML now (paper, Algorithm 1), with a progress bar; its checkpoint is not kept."""
    treatment = find_treatment("ANML")
    with tempfile.TemporaryDirectory() as folder:
        training = find_training(treatment.training)
        (path,) = meta_train(Job(training, profile, drawings, (seed,), Path(folder)))
        return Learner("ANML, meta-trained", load_model(path, "anml", profile), treatment)


def history(
    learner: Learner,
    drawings: Drawings,
    trajectory: Trajectory,
    rate: float,
    on_step: Callable[[], object] = lambda: None,
) -> np.ndarray:
    """Learn the trajectory's classes in turn and measure after each (paper, Algorithm 2).

    Returns accuracies [N, N] in [0, 1]: entry [t, c] is that on the held-out drawings of the c-th
    class after the t-th was learned; NaN where c is still to come (c > t). The network chooses
    among all its outputs. `learner` is left unchanged; its head is drawn anew by the trajectory's
    seed. `on_step()` hears of every class.
    """
    model = copy.deepcopy(learner.model)
    redraw_head(model.head.weight, model.head.bias, trajectory.seed)
    images = torch.from_numpy(drawings.meta_test[trajectory.classes])
    inputs, network = to_unit(images, torch.float32).unsqueeze(2), model
    if cut := cut_network(learner.treatment, model):
        # Frozen layers give the same features whenever they are asked: once is enough.
        (network,) = cut.plastic
        with torch.no_grad():
            features = cut.behind(cut.convolutions(inputs.flatten(0, 1)))
        inputs = features.unflatten(0, images.shape[:2])
    n, per_class = trajectory.train.shape
    own = torch.arange(n).unsqueeze(1)
    held_out = inputs[own, torch.from_numpy(trajectory.test)]
    optimizer = OPTIMIZERS[OPTIMIZER](network.parameters(), lr=rate)
    result = np.full((n, n), np.nan)
    labels, chosen = learning_order(trajectory)
    for step, (label, drawing) in enumerate(zip(labels, chosen, strict=True), start=1):
        logits = network(inputs[label, drawing].unsqueeze(0))
        optimizer.zero_grad()
        F.cross_entropy(logits, torch.tensor([label])).backward()
        optimizer.step()
        if step % per_class == 0:
            seen = label + 1
            with torch.no_grad():
                guess = network(held_out[:seen].flatten(0, 1)).argmax(1).unflatten(0, (seen, -1))
            result[label, :seen] = (guess == own[:seen]).double().mean(1).numpy()
            on_step()
    return result


def seen_accuracy(history: np.ndarray) -> np.ndarray:
    """Return accuracy on everything learned so far, [..., N] from `history` [..., N, N]."""
    return np.nanmean(history, axis=-1)


def best(histories: list[np.ndarray]) -> int:
    """Return which history [N, N] is best: by `seen_accuracy` over time, in whole points.

    Where that is a draw, by accuracy on what was just learned: a network stuck on its first class
    scores like one that always knows the last.
    """
    scores = [(round(100 * seen_accuracy(h).mean()), np.diag(h).mean()) for h in histories]
    return max(range(len(scores)), key=scores.__getitem__)


def compare(
    learners: list[Learner], drawings: Drawings, profile: Profile, seed: int
) -> list[Outcome]:
    """Let every learner learn the same trajectories, each at the rate that suits it best.

    How many trajectories and the classes in each (its longest N) are the profile's. The rate is
    chosen from `RATES` by `best`, on a trajectory apart.
    """
    n_classes, trajectories = max(profile.n_classes), profile.trajectories
    searches = make_runs(profile, n_classes, [seed], RATES, Stream.SEARCH)
    seeds = trajectory_seeds(seed, trajectories)
    outcomes = []
    total = len(learners) * (len(searches) + trajectories) * n_classes
    with tqdm(total=total, desc="learn in turn", unit="class") as bar:
        for learner in learners:
            searched = [
                history(learner, drawings, run.trajectory, run.learning_rate, bar.update)
                for run in searches
            ]
            rate = searches[best(searched)].learning_rate
            runs = make_runs(profile, n_classes, seeds, [rate], Stream.TRAJECTORY)
            histories = [history(learner, drawings, r.trajectory, rate, bar.update) for r in runs]
            outcomes.append(Outcome(learner.name, rate, np.stack(histories)))
    return outcomes


def values(outcomes: list[Outcome]) -> pd.DataFrame:
    """Return what the figure shows, one row a cell of a heat map.

    Columns: `network`, `rate`, `classes_learned` (1 to N), `class_place` (1 to `classes_learned`),
    `accuracy` (a fraction, the mean over trajectories).
    """
    frames = []
    for outcome in outcomes:
        time, place = np.tril_indices(len(outcome.mean))
        frames.append(
            pd.DataFrame(
                {
                    "network": outcome.name,
                    "rate": outcome.rate,
                    "classes_learned": time + 1,
                    "class_place": place + 1,
                    "accuracy": outcome.mean[time, place],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def summary(outcomes: list[Outcome]) -> pd.DataFrame:
    """Return the numbers in words: a row each network, accuracies in per cent as text."""
    return pd.DataFrame(
        [
            {
                "network": outcome.name,
                "rate": f"{outcome.rate:g}",
                "just learned, %": f"{100 * outcome.just_learned:.1f}",
                "all, at the end, %": f"{100 * outcome.at_the_end:.1f}",
            }
            for outcome in outcomes
        ]
    )


def statements(outcomes: list[Outcome]) -> list[str]:
    """Return what was found as sentences that end in True or False, whatever came out.

    `outcomes`: ordinary network, ANML not meta-trained, ANML meta-trained. The margins are wide, so
    that the sentences come out alike on machines that round differently.
    """
    plain, before, after = outcomes
    lost = plain.just_learned - plain.at_the_end
    return [
        "The ordinary network lost more than half of what it had just learned: "
        f"{lost > plain.just_learned / 2}",
        "Meta-trained ANML ends at least 20 points above the ordinary network: "
        f"{after.at_the_end - plain.at_the_end >= 0.2}",
        "Meta-trained ANML ends at least 10 points above ANML that was not meta-trained: "
        f"{after.at_the_end - before.at_the_end >= 0.1}",
    ]
