"""Meta-testing: learn many unseen classes one after another, then measure (paper, Algorithm 2).

What a treatment freezes is computed once for all drawings. Where only linear layers are left, they
are learned by `linear_learning`; where convolutions learn too, by the plain loop of
`network_learning`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anml.data import Drawings
from anml.errors import AnmlError
from anml.meta_testing.frozen_features import Cut, KnownFeatures, cut_network
from anml.meta_testing.head_rules import PAPERS_HEAD, Head
from anml.meta_testing.linear_learning import OPTIMIZERS, Linears, learn_linears
from anml.meta_testing.network_learning import FEATURE_BATCH, Learners, frozen_inputs, split_network
from anml.meta_testing.regimes import SEQUENTIAL, Regime, learning_order
from anml.meta_testing.trajectories import Trajectory
from anml.meta_training.episodes import Stream, generator, to_unit
from anml.models import kaiming_
from anml.treatments import Treatment

SIDE_BY_SIDE = {"cpu": 1, "cuda": 16}
"""Runs whose convolutions learn in one program. On a CPU one run's weights stay in the cache, and
more at once take as long a run; on a GPU a step of one run leaves nearly all of it idle."""


@dataclass(frozen=True)
class Run:
    """One meta-test training: which trajectory, at which learning rate, in which order.

    `draw_trajectory` draws a trajectory by its seed; `regimes.find_regime` knows the orders.
    """

    trajectory: Trajectory
    learning_rate: float
    regime: Regime = SEQUENTIAL


@dataclass(frozen=True)
class Score:
    """Accuracies after the last class, in [0, 1]."""

    run: Run
    training: float  # meta-test training accuracy: the drawings learned from, once more
    testing: float  # meta-test testing accuracy: held-out drawings
    per_class: tuple[float, ...]  # testing accuracy of each of the N classes, as they were learned
    per_class_training: tuple[float, ...]  # the same on the drawings learned from


@dataclass(frozen=True)
class Learned:
    """What a run left where linear layers alone learn: these, and what they read of its classes.

    Inputs that are zero for all drawings of the runs' classes are left out of both.
    """

    run: Run
    layers: Linears  # weight [O, D] and bias [O] of each, the head last
    features: Tensor  # float [N, 20, D], of all drawings of its classes, as they are learned

    def outputs(self, features: Tensor) -> Tensor:
        """Logits [B, O] of features [B, D], such as `self.features.flatten(0, 1)`."""
        for depth, (weight, bias) in enumerate(self.layers):
            features = F.linear(F.relu(features) if depth else features, weight, bias)
        return features


def meta_test(
    treatment: Treatment,
    model: nn.Module,
    drawings: Drawings,
    runs: Sequence[Run],
    optimizer: str = "adam",
    on_step: Callable[[int], None] | None = None,
    known: KnownFeatures | None = None,
    head: Head = PAPERS_HEAD,
) -> list[Score]:
    """Accuracies of `runs`, each from the same meta-trained `model`, which is left unchanged.

    With `draw_trajectory` of `anml.meta_testing.trajectories`, 5 trajectories over 10 classes:

        runs = [Run(draw_trajectory(seed, 10), learning_rate=1e-3) for seed in range(5)]
        scores = meta_test(find_treatment("ANML"), model, drawings, runs)

    `model`: the network of the treatment's meta-training, on any device; `load_model` of
    `anml.meta_train` reads one. `drawings`: `anml.data.load()`; its `meta_test`, uint8
    [C, 20, 28, 28], holds all classes that a trajectory names (of fewer than 659, tell
    `draw_trajectory` how many are `available`). The runs have the same number of steps:
    trajectories with the same number of classes N, under regimes with the same number of epochs.
    The i-th class learned has label i < N, and N is at most the model's outputs. Optimisers are
    those of `linear_learning.OPTIMIZERS`, with fresh state for each run: the paper writes SGD; the
    published numbers were very probably made with Adam. The head is drawn anew (Kaiming, zero bias)
    by the trajectory's seed before each. `on_step(n)` hears that `n` more drawings have been
    learned. `known`: what earlier meta-tests of this model computed once, to be gone on with.
    `head`: where linear layers alone learn, another way to treat it.

    Returns a score a run, in their order, each with N accuracies of both kinds.

    Raises:
        AnmlError: unknown optimiser; no runs, or runs of different lengths; rows held with another
            optimiser than Adam, or a `head` of its own where convolutions learn.
    """
    _refuse_wrong(runs, optimizer, head)
    on_step = on_step or (lambda n: None)
    cut = cut_network(treatment, model)
    if cut is not None:
        known = known or KnownFeatures(model)
        learned = _train_linears(cut, known, drawings, runs, optimizer, on_step, head)
        return [_score(one.run, one.outputs, one.features) for one in learned]
    if head != PAPERS_HEAD:
        raise AnmlError(
            f"treatment {treatment.name!r} learns convolutions, where the head is drawn anew and "
            "all of it learns: choose a treatment of which linear layers alone learn"
        )
    together = SIDE_BY_SIDE[next(model.parameters()).device.type]
    groups = [runs[k : k + together] for k in range(0, len(runs), together)]
    return [
        score
        for group in groups
        for score in _train_networks(treatment, model, drawings, group, optimizer, on_step)
    ]


def learn(
    treatment: Treatment,
    model: nn.Module,
    drawings: Drawings,
    runs: Sequence[Run],
    optimizer: str = "adam",
    on_step: Callable[[int], None] | None = None,
    known: KnownFeatures | None = None,
    head: Head = PAPERS_HEAD,
    classes: int | None = None,
) -> Iterator[Learned]:
    """Learn `runs` as `meta_test` does, and yield what each left in place of its score.

    `classes`: how many of each run's classes are learned, the first ones (default: all N). The
    rest as there. A run is learned when it is asked for.

    Raises:
        AnmlError: as `meta_test`; convolutions learn; `classes` outside 1 to N.
    """
    _refuse_wrong(runs, optimizer, head)
    n_classes = len(runs[0].trajectory.classes)
    if classes is not None and not 1 <= classes <= n_classes:
        raise AnmlError(f"classes = {classes}: choose 1 to {n_classes}, as many as a run has")
    cut = cut_network(treatment, model)
    if cut is None:
        raise AnmlError(
            f"treatment {treatment.name!r} learns convolutions: choose a treatment of which linear "
            "layers alone learn"
        )
    known, on_step = known or KnownFeatures(model), on_step or (lambda n: None)
    return _train_linears(cut, known, drawings, runs, optimizer, on_step, head, classes)


def _refuse_wrong(runs: Sequence[Run], optimizer: str, head: Head) -> None:
    """AnmlError: no such optimiser, runs of different lengths, or rows held without Adam."""
    if optimizer not in OPTIMIZERS:
        raise AnmlError(f"unknown optimizer {optimizer!r}: choose one of {', '.join(OPTIMIZERS)}")
    if len({(len(run.trajectory.classes), run.regime.epochs) for run in runs}) != 1:
        raise AnmlError("the runs must have one number of classes and of epochs")
    if head.hold_unmet and optimizer != "adam":
        raise AnmlError(
            f"rows are held with Adam alone, and optimizer is {optimizer!r}: choose 'adam'"
        )


@dataclass(frozen=True)
class _Lessons:
    """What `K` runs learn, over the drawings of all classes that any of them meets.

    `classes` int64 [C]; `rows` int64 [K, N]: which of the C classes are a run's; `drawings` int64
    [K, S]: index among the C * 20 drawings of each step; `labels` int64 [K, S].
    """

    classes: np.ndarray
    rows: Tensor
    drawings: Tensor
    labels: Tensor

    def of_first(self, classes: int) -> "_Lessons":
        """Those of each run's first classes alone."""
        first = self.labels < classes
        kept = (x[first].unflatten(0, (len(x), -1)) for x in (self.drawings, self.labels))
        return _Lessons(self.classes, self.rows, *kept)


def _lessons(runs: Sequence[Run], a_class: int, device: torch.device) -> _Lessons:
    """The runs' lessons as tensors, of classes with `a_class` drawings."""
    classes = np.unique(np.concatenate([run.trajectory.classes for run in runs]))
    rows = np.stack([np.searchsorted(classes, run.trajectory.classes) for run in runs])
    orders = [learning_order(run.trajectory, run.regime) for run in runs]
    labels = np.stack([labels for labels, _ in orders])
    chosen = np.take_along_axis(rows, labels, 1) * a_class
    chosen += np.stack([drawings for _, drawings in orders])
    return _Lessons(classes, *(torch.from_numpy(x).to(device) for x in (rows, chosen, labels)))


def _train_linears(
    cut: Cut,
    known: KnownFeatures,
    drawings: Drawings,
    runs: Sequence[Run],
    optimizer: str,
    on_step: Callable[[int], None],
    head: Head,
    classes: int | None = None,
) -> Iterator[Learned]:
    """All runs, on features computed once for every class that any of them meets.

    A feature that is zero for all drawings of these classes is left out: it adds nothing to an
    output, and what reads it has no gradient, so that neither optimiser moves it. Only the order in
    which sums are taken depends on which those are.
    """
    lessons = _lessons(runs, drawings.meta_test.shape[1], cut.plastic[0].weight.device)
    with torch.no_grad():
        features = cut.behind(known.of(drawings, lessons.classes))
    alive = features.flatten(0, 1).any(0)
    features = features[..., alive]
    taught = lessons if classes is None else lessons.of_first(classes)
    learned = learn_linears(
        features.flatten(0, 1),
        taught.drawings,
        taught.labels,
        (_start(cut.plastic, run.trajectory.seed, alive, head) for run in runs),
        [run.learning_rate for run in runs],
        optimizer,
        on_step,
        hold_unmet=head.hold_unmet,
    )
    for run, own, rows in zip(runs, learned, lessons.rows, strict=True):
        yield Learned(run, own, features[rows])


def _start(layers: Sequence[nn.Linear], seed: int, alive: Tensor, head: Head) -> Linears:
    """The layers before the first step, for the features that are `alive` [D]: copies of the
    meta-trained ones, the head drawn anew or all zeros.
    """
    own = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in layers]
    redraw_head(*own[-1], seed)
    if head.from_zero:
        own[-1][0].zero_()
    (weight, bias), *behind = own
    return [(weight[:, alive], bias), *behind]


def _train_networks(
    treatment: Treatment,
    model: nn.Module,
    drawings: Drawings,
    runs: Sequence[Run],
    optimizer: str,
    on_step: Callable[[int], None],
) -> list[Score]:
    """Runs in which layers before the linear ones learn too, side by side."""
    split = split_network(model, treatment.plastic)
    rates = [run.learning_rate for run in runs]
    learners = Learners(model, split, treatment.plastic, rates, OPTIMIZERS[optimizer])
    for r, run in enumerate(runs):
        redraw_head(*learners.layer(r, "head"), run.trajectory.seed)
    weight = model.head.weight
    lessons = _lessons(runs, drawings.meta_test.shape[1], weight.device)
    images = torch.from_numpy(drawings.meta_test[lessons.classes]).to(weight.device)
    parts = images.flatten(0, 1).unsqueeze(1).split(FEATURE_BATCH)
    inputs = frozen_inputs(split, (to_unit(part, weight.dtype) for part in parts))
    for chosen, labels in zip(lessons.drawings.T, lessons.labels.T.tolist(), strict=True):
        learners.step(tuple(x[chosen].unsqueeze(1) for x in inputs), labels)
        on_step(len(runs))

    def logits_of(which: int, chosen: Tensor) -> Tensor:
        parts = chosen.split(FEATURE_BATCH)
        return torch.cat([learners.logits(which, tuple(x[p] for x in inputs)) for p in parts])

    places = torch.arange(images[:, :, 0, 0].numel(), device=weight.device)
    places = places.unflatten(0, images.shape[:2])
    return [
        _score(run, partial(logits_of, r), places[rows])
        for r, (run, rows) in enumerate(zip(runs, lessons.rows, strict=True))
    ]


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
    own = torch.arange(len(inputs), device=inputs.device).unsqueeze(1)
    right = []
    for part in (run.trajectory.train, run.trajectory.test):
        chosen = inputs[own, torch.from_numpy(part).to(inputs.device)]
        guess = logits_of(chosen.flatten(0, 1)).argmax(1).unflatten(0, chosen.shape[:2])
        right.append((guess == own).double())
    training, testing = right
    means = training.mean().item(), testing.mean().item()
    return Score(run, *means, *(tuple(each.mean(1).tolist()) for each in (testing, training)))
