"""Meta-testing: learn many unseen classes one after another, then measure (paper, Algorithm 2).

Where only linear layers are plastic the drawings' features are computed once and many runs
(trajectories, learning rates) are trained side by side; otherwise a plain loop trains the network.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anml.data import Drawings
from anml.episodes import Stream, generator, to_unit
from anml.errors import AnmlError
from anml.linear_learning import Linears, learn_linears
from anml.models import ANML, kaiming_
from anml.trajectories import Trajectory
from anml.treatments import Treatment

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
"""Fresh state per trajectory. The paper writes SGD; the published numbers were made with Adam."""
FEATURE_BATCH = 500
"""Drawings whose features are computed at once: bounds the memory."""


@dataclass(frozen=True)
class Run:
    """One meta-test training: which trajectory, at which learning rate."""

    trajectory: Trajectory
    learning_rate: float


@dataclass(frozen=True)
class Score:
    """Accuracies after the last class, in [0, 1]."""

    run: Run
    training: float  # meta-test training accuracy: the drawings learned from, once more
    testing: float  # meta-test testing accuracy: held-out drawings


def meta_test(
    treatment: Treatment,
    model: nn.Module,
    drawings: Drawings,
    runs: Sequence[Run],
    optimizer: str = "adam",
    on_step: Callable[[int], None] | None = None,
) -> list[Score]:
    """Accuracies of `runs`, each from the same meta-trained `model`, which is left unchanged.

    The runs' trajectories have the same number of classes N; the i-th class learned has label i.
    The head is drawn anew (Kaiming, zero bias) by the trajectory's seed before each. `on_step(n)`
    hears that `n` more drawings have been learned. AnmlError: unknown optimiser, or trajectories of
    different lengths.
    """
    if optimizer not in OPTIMIZERS:
        raise AnmlError(f"unknown optimizer {optimizer!r}: choose one of {', '.join(OPTIMIZERS)}")
    if len({len(run.trajectory.classes) for run in runs}) != 1:
        raise AnmlError("meta_test takes runs of one number of classes at a time")
    device = next(model.parameters()).device
    images = torch.from_numpy(drawings.meta_test).to(device)
    on_step = on_step or (lambda n: None)
    split = frozen_features(treatment, model)
    if split is None:
        return [_train_network(treatment, model, images, run, optimizer, on_step) for run in runs]
    return _train_linears(*split, images, runs, optimizer, on_step)


def learning_order(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Labels and drawings [N * 15] in the order of learning: class after class."""
    labels = np.repeat(np.arange(len(trajectory.classes)), trajectory.train.shape[1])
    return labels, trajectory.train.reshape(-1)


def frozen_features(
    treatment: Treatment, model: nn.Module
) -> tuple[Callable[[Tensor], Tensor], list[nn.Linear]] | None:
    """The frozen part as a function of images, and the plastic linear layers behind it.

    None where a layer before the linear ones is plastic.
    """
    if treatment.plastic == ("head.",):
        if isinstance(model, ANML):
            return model.gated, [model.head]
        return (lambda x: F.relu(model.hidden(model.representation(x)))), [model.head]
    if treatment.plastic == ("hidden.", "head."):
        return model.representation, [model.hidden, model.head]
    return None


def _train_linears(
    features_of: Callable[[Tensor], Tensor],
    layers: list[nn.Linear],
    images: Tensor,
    runs: Sequence[Run],
    optimizer: str,
    on_step: Callable[[int], None],
) -> list[Score]:
    """All runs, on features computed once for every class that any of them meets."""
    classes = np.unique(np.concatenate([run.trajectory.classes for run in runs]))
    places = [np.searchsorted(classes, run.trajectory.classes) for run in runs]
    dtype = layers[0].weight.dtype
    features = _features(features_of, images[torch.from_numpy(classes)], dtype)
    orders = [learning_order(run.trajectory) for run in runs]
    labels = np.stack([labels for labels, _ in orders])
    pairs = zip(places, orders, strict=True)
    drawings = np.stack([at[own] * features.shape[1] + chosen for at, (own, chosen) in pairs])
    learned = learn_linears(
        features.flatten(0, 1),
        torch.from_numpy(drawings).to(features.device),
        torch.from_numpy(labels).to(features.device),
        (_start(layers, run.trajectory.seed) for run in runs),
        [run.learning_rate for run in runs],
        optimizer,
        on_step,
    )
    return [
        _score(run, lambda x, own=own: _apply(own, x), features[torch.from_numpy(at)])
        for run, own, at in zip(runs, learned, places, strict=True)
    ]


def _features(
    features_of: Callable[[Tensor], Tensor], images: Tensor, dtype: torch.dtype
) -> Tensor:
    """Features [C, 20, D] of all drawings of the classes `images` uint8 [C, 20, 28, 28]."""
    flat = images.flatten(0, 1).unsqueeze(1)
    with torch.no_grad():
        parts = [features_of(to_unit(part, dtype)) for part in flat.split(FEATURE_BATCH)]
    return torch.cat(parts).unflatten(0, images.shape[:2])


def _start(layers: list[nn.Linear], seed: int) -> Linears:
    """The layers before the first step: copies of the meta-trained ones, the head drawn anew."""
    own = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in layers]
    redraw_head(*own[-1], seed)
    return own


def _apply(layers: Linears, x: Tensor) -> Tensor:
    """Logits of features `x` [B, D]."""
    for depth, (weight, bias) in enumerate(layers):
        x = F.linear(F.relu(x) if depth else x, weight, bias)
    return x


def _train_network(
    treatment: Treatment,
    model: nn.Module,
    images: Tensor,
    run: Run,
    optimizer: str,
    on_step: Callable[[int], None],
) -> Score:
    """One run in which layers before the linear ones learn too: plain autograd."""
    learner = copy.deepcopy(model)
    redraw_head(learner.head.weight, learner.head.bias, run.trajectory.seed)
    plastic = []
    for name, parameter in learner.named_parameters():
        parameter.requires_grad_(name.startswith(treatment.plastic))
        if parameter.requires_grad:
            plastic.append(parameter)
    steps = OPTIMIZERS[optimizer](plastic, lr=run.learning_rate, fused=True)
    dtype = learner.head.weight.dtype
    drawings = to_unit(images[torch.from_numpy(run.trajectory.classes)], dtype)
    for label, drawing in zip(*learning_order(run.trajectory), strict=True):
        logits = learner(drawings[label, drawing][None, None])
        loss = F.cross_entropy(logits, torch.tensor([label], device=images.device))
        steps.zero_grad()
        loss.backward()
        steps.step()
        on_step(1)

    def logits_of(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([learner(part.unsqueeze(1)) for part in x.split(FEATURE_BATCH)])

    return _score(run, logits_of, drawings)


def redraw_head(weight: Tensor, bias: Tensor, seed: int) -> None:
    """Draw `weight` [O, D] anew in place, Kaiming normal by a trajectory's `seed`; bias 0."""
    # A stream of its own: the plain seed is that of a model's initial weights.
    own = int(generator(seed, Stream.HEAD).integers(2**63))
    fresh = torch.empty(weight.shape)
    with torch.no_grad():
        weight.copy_(kaiming_(fresh, torch.Generator().manual_seed(own)))
        bias.zero_()


def _score(run: Run, logits_of: Callable[[Tensor], Tensor], inputs: Tensor) -> Score:
    """Accuracies on the drawings trained on and on the held-out ones; `inputs` [N, 20, ...]."""
    own = torch.arange(len(inputs)).unsqueeze(1)
    accuracy = []
    for part in (run.trajectory.train, run.trajectory.test):
        chosen = inputs[own, torch.from_numpy(part)]
        guess = logits_of(chosen.flatten(0, 1)).argmax(1).unflatten(0, chosen.shape[:2])
        accuracy.append((guess == own.to(guess.device)).double().mean().item())
    return Score(run, *accuracy)
