"""When a meta-training has failed: its loss is no number, or stays far above that of guessing."""

import math

import torch
from torch import Tensor

from anml.errors import AnmlError
from anml.meta_training.training_job import Job

WATCHED = 100
"""Iterations whose median loss must not stay above `FAR_ABOVE_GUESSING` times that of guessing."""
FAR_ABOVE_GUESSING = 5


class DivergedError(AnmlError):
    """A meta-training diverged, for the `seeds` that it names and perhaps not for others."""

    def __init__(self, message: str, seeds: tuple[int, ...] = ()) -> None:
        """`message`: the line for the user. `seeds` may be left out, as unpickling does, which
        gives a copy in another process its attributes afterwards.
        """
        super().__init__(message)
        self.seeds = seeds


def refuse_divergence(job: Job, log: Tensor, iteration: int) -> None:
    """Stop with advice if a replica diverged.

    `log`: float64 [iterations, R, 3] (`anml.store.tables.LOG_METRICS`), filled up to `iteration`.
    DivergedError: a loss there is not finite, or, checked every `WATCHED` iterations, stays far
    above that of guessing.
    """
    losses, guessing = log[iteration, :, 0], math.log(job.profile.outputs)
    failed = ~torch.isfinite(losses)
    problem = "the loss is not a finite number"
    if not failed.any() and (iteration + 1) % WATCHED == 0:
        # The median: a single spike, which Adam recovers from, is no divergence.
        usual = log[iteration + 1 - WATCHED : iteration + 1, :, 0].median(0).values
        failed = usual > FAR_ABOVE_GUESSING * guessing
        problem = f"the loss stays near {usual.max():.3g}, guessing has {guessing:.1f}"
    if not failed.any():
        return
    seeds = tuple(seed for seed, own in zip(job.seeds, failed.tolist(), strict=True) if own)
    advice = " or ".join(
        f"--set {name}={getattr(job.profile, name) / 3:.1g}" for name in reversed(job.rate_names)
    )
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    raise DivergedError(
        f"meta-training {job.training.name}, {named}, diverged by iteration {iteration + 1} "
        f"({problem}): lower its learning rates, for instance with {advice}",
        seeds,
    )
