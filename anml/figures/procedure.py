"""The numbers of Algorithms 1 and 2, read off a run of them, for the picture of the procedure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch.overrides import TorchFunctionMode

from anml.adapt import ANML_FAST, Episode, plain_meta_gradient
from anml.drawings.packed import DRAWINGS_PER_CLASS
from anml.figures.trace import IMAGE_SHAPE
from anml.meta_testing.trajectories import draw_trajectory
from anml.meta_training.episodes import draw_episode
from anml.models import ANML, CELLS
from anml.profiles import META_TRAIN_CLASSES, Profile
from anml.treatments import TREATMENTS

PARTS = {"pln.": "PLN", "head.": "head", "nm.": "NM"}
"""The parts of ANML by the prefixes of their parameters."""


@dataclass(frozen=True)
class Procedure:
    """What one meta-iteration and the longest trajectory of a profile go through, in numbers."""

    meta_iterations: int
    sgd_steps: int  # inner loop, one drawing each
    inner_classes: int
    exam: int  # drawings under the meta-loss
    remember: int  # those of them that the inner loop has not just learned
    inner_parts: tuple[str, ...]  # what the inner loop moves
    outer_parts: tuple[str, ...]  # what the meta-gradient is taken for
    n_classes: tuple[int, ...]  # classes of the trajectories
    train_drawings: int  # of each class at meta-test
    test_drawings: int
    meta_test_steps: int  # of the longest trajectory
    meta_test_parts: tuple[str, ...]  # what learns at meta-test


class _Losses(TorchFunctionMode):
    """Notes how many drawings each cross-entropy is taken over."""

    def __init__(self) -> None:
        super().__init__()
        self.drawings: list[int] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(function, "__name__", "") == "cross_entropy":
            self.drawings.append(len(args[0]))
        return function(*args, **(kwargs or {}))


def trace_procedure(profile: Profile) -> Procedure:
    """Run one meta-iteration and draw one trajectory a length, as the profile asks for them.

    The network is a tiny one and the drawings are blank: what is counted does not depend on either.
    The meta-iteration is `anml.adapt.plain_meta_gradient`, which the tests hold meta-training to.
    """
    drawn = draw_episode(
        (META_TRAIN_CLASSES, DRAWINGS_PER_CLASS),
        *(0, 0),
        inner_steps=profile.inner_steps,
        remember=profile.remember,
        row_inputs=CELLS,
    )
    classes = torch.from_numpy(drawn.classes).unsqueeze(0)
    blank = torch.zeros(classes.shape[1], *IMAGE_SHAPE)
    episode = Episode(blank, classes, profile.inner_steps)
    model = ANML(pln_channels=1, nm_channels=1, outputs=profile.outputs)
    with _Losses() as losses:
        result = plain_meta_gradient(model, ANML_FAST, episode, profile.anml_inner_rate)
    *inner, exam = losses.drawings
    longest = draw_trajectory(0, max(profile.n_classes))
    return Procedure(
        meta_iterations=profile.meta_iterations,
        sgd_steps=sum(inner),
        inner_classes=len(episode.classes[0, : len(inner)].unique()),
        exam=exam,
        remember=exam - sum(inner),
        inner_parts=_parts(ANML_FAST),
        outer_parts=_parts(tuple(result.gradients)),
        n_classes=profile.n_classes,
        train_drawings=longest.train.shape[1],
        test_drawings=longest.test.shape[1],
        meta_test_steps=longest.train.size,
        meta_test_parts=_parts(TREATMENTS["ANML"].plastic),
    )


def _parts(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of ANML that parameters (or their prefixes) belong to."""
    return tuple(name for part, name in PARTS.items() if any(p.startswith(part) for p in prefixes))


def procedure_table(procedure: Procedure) -> pd.DataFrame:
    """The numbers for reading, each with the stage that it belongs to."""
    longest = max(procedure.n_classes)
    rows = (
        ("outer loop", "meta-iterations", f"{procedure.meta_iterations:,}"),
        ("outer loop", "learns the initial", ", ".join(procedure.outer_parts)),
        ("meta-train training", "classes", str(procedure.inner_classes)),
        ("meta-train training", "SGD steps, one drawing each", str(procedure.sgd_steps)),
        ("meta-train training", "moves", ", ".join(procedure.inner_parts)),
        ("meta-train testing", "drawings just learned", str(procedure.sgd_steps)),
        ("meta-train testing", "drawings of the remember set", str(procedure.remember)),
        ("meta-train testing", "drawings under the meta-loss", str(procedure.exam)),
        ("meta-test training", "classes N", f"{min(procedure.n_classes)} to {longest}"),
        ("meta-test training", "drawings of each class", str(procedure.train_drawings)),
        ("meta-test training", f"steps at N = {longest}", f"{procedure.meta_test_steps:,}"),
        ("meta-test training", "moves", ", ".join(procedure.meta_test_parts)),
        ("meta-test testing", "held-out drawings of each class", str(procedure.test_drawings)),
    )
    return pd.DataFrame(rows, columns=["stage", "what", "number"])
