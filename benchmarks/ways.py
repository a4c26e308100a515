"""Ways to compute one meta-gradient, ours and others', behind one face: data, not code paths.

Each takes a network, an episode of one replica and the inner rate, and returns the gradient of the
meta-loss by the parameters' names, shaped as they are. The tests hold them all to the same numbers,
so what is timed is the same work. A library that is not installed leaves its row empty.
"""

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from released import OrdinaryANML, released_gradient
from torch import Tensor, nn

from anml.adapt import ANML_FAST, Episode, anml_meta_gradient, plain_meta_gradient
from anml.drawings.torchvision_import import import_torchvision_datasets
from anml.gradients.adapt_oml import OML_FAST, oml_meta_gradient
from anml.gradients.supervised import supervised_gradient
from anml.models import ANML, add_replica_axis

Gradients = dict[str, Tensor]


def fast_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the parameters that the network's inner loop moves."""
    return ANML_FAST if isinstance(model, ANML | OrdinaryANML) else OML_FAST


def fast_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that the network's inner loop moves."""
    return {name: getattr(model, name) for name in (p.rstrip(".") for p in fast_prefixes(model))}


def unroll(
    forward: Callable[[Tensor], Tensor],
    step: Callable[[Tensor], object],
    episode: Episode,
    model: nn.Module,
) -> Gradients:
    """What a user of a library writes: steps on one drawing each, meta-loss, its gradient.

    `forward`: logits by the weights as they are now; `step(loss)` moves them.
    """
    start = dict(model.named_parameters())
    images, classes = episode.images, episode.classes[0]
    for k in range(episode.inner_steps):
        step(F.cross_entropy(forward(images[k : k + 1]), classes[k : k + 1]))
    loss = F.cross_entropy(forward(images), classes)
    gradients = torch.autograd.grad(loss, list(start.values()), materialize_grads=True)
    return dict(zip(start, gradients, strict=True))


def ours(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """What meta-training runs."""
    gradient = anml_meta_gradient if isinstance(model, ANML) else oml_meta_gradient
    result = gradient(add_replica_axis(model.named_parameters()), episode, rate)
    return {name: tensor[0] for name, tensor in result.gradients.items()}


def supervised(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """One batch of Pretrain & Transfer, on the episode's drawings; `rate` has no part in it."""
    result = supervised_gradient(
        add_replica_axis(model.named_parameters()), episode.images, episode.classes
    )
    return {name: tensor[0] for name, tensor in result.gradients.items()}


def autograd(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """The plain reference: unrolled SGD in ordinary autograd."""
    result = plain_meta_gradient(model, fast_prefixes(model), episode, rate)
    return {name: tensor[0] for name, tensor in result.gradients.items()}


def with_higher(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """Through `higher`: a differentiable SGD on a functional copy of the network."""
    import higher

    fast = [p for n, p in model.named_parameters() if n.startswith(fast_prefixes(model))]
    optimizer = torch.optim.SGD(fast, lr=rate)
    with higher.innerloop_ctx(model, optimizer, copy_initial_weights=False) as (moving, sgd):
        return unroll(moving, sgd.step, episode, model)


def with_torchopt(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """Through torchopt: its MetaSGD writes the moved weights into the network's modules."""
    import torchopt

    start = torchopt.extract_state_dict(model)
    sgd = torchopt.MetaSGD(nn.ModuleList(fast_parts(model).values()), lr=rate)
    gradients = unroll(model, sgd.step, episode, model)
    torchopt.recover_state_dict(model, start)
    return gradients


def with_learn2learn(model: nn.Module, episode: Episode, rate: float) -> Gradients:
    """Through learn2learn: MAML of the parts that move, put back into the network."""
    import_torchvision_datasets()  # learn2learn imports torchvision, which may need help
    from learn2learn.algorithms import MAML

    parts = fast_parts(model)
    learner = MAML(nn.ModuleDict(parts), lr=rate, allow_unused=True).clone()
    moving = copy.copy(model)
    moving._modules = dict(model._modules) | {name: learner.module[name] for name in parts}
    return unroll(moving, learner.adapt, episode, model)


@dataclass(frozen=True)
class Way:
    """One way: what computes, which library it needs, whether the gradient is exact, and how."""

    gradient: Callable[[nn.Module, Episode, float], Gradients]
    library: str = ""  # empty: torch and this package
    second_order: bool = True
    by_points: bool = False  # what `anml.figures.arithmetic.multiply_adds` means by it

    @property
    def installed(self) -> bool:
        """Whether its library can be found."""
        return not self.library or importlib.util.find_spec(self.library) is not None


WAYS = {
    "adjoint": Way(ours, by_points=True),
    "supervised": Way(supervised, by_points=True),
    "autograd": Way(autograd),
    "higher": Way(with_higher, "higher"),
    "learn2learn": Way(with_learn2learn, "learn2learn"),
    "torchopt": Way(with_torchopt, "torchopt"),
    "autograd, ordinary layers": Way(lambda model, *rest: autograd(OrdinaryANML(model), *rest)),
    "higher, ordinary layers": Way(
        lambda model, *rest: with_higher(OrdinaryANML(model), *rest), "higher"
    ),
    "released algorithm": Way(released_gradient, second_order=False),
}
"""By their names in results/reference/cost.csv; 'adjoint' is what meta-training runs."""
