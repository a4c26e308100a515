"""What stands frozen in front of the linear layers that a treatment learns, computed once.

The convolutions take most of a meta-test's arithmetic at the paper's width, and give a drawing the
same features in every search, order and number of classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anml.drawings.packed import Drawings
from anml.meta_training.episodes import to_unit
from anml.models import ANML
from anml.treatments import Treatment


@dataclass(frozen=True)
class Cut:
    """A network in front of the linear layers that learn.

    `convolutions`: images [B, 1, 28, 28] to features [B, D]; `frozen`: linear layers behind them
    that do not learn, ReLU behind each; `plastic`: those that do.
    """

    convolutions: Callable[[Tensor], Tensor]
    frozen: tuple[nn.Linear, ...]
    plastic: tuple[nn.Linear, ...]

    def behind(self, features: Tensor) -> Tensor:
        """What the plastic layers get, from features [..., D] of the convolutions."""
        for layer in self.frozen:
            features = F.relu(layer(features))
        return features


def cut_network(treatment: Treatment, model: nn.Module) -> Cut | None:
    """The cut in front of what `treatment` learns; None where a layer before the linear ones is
    plastic.
    """
    if treatment.plastic == ("head.",):
        frozen = () if isinstance(model, ANML) else (model.hidden,)
        return Cut(convolutions(model), frozen, (model.head,))
    if treatment.plastic == ("hidden.", "head."):
        return Cut(convolutions(model), (), (model.hidden, model.head))
    return None


def convolutions(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """All that stands in front of a network's linear layers; of ANML's, with its gate."""
    return model.gated if isinstance(model, ANML) else model.representation


class KnownFeatures:
    """What the convolutions of `model` give for the unseen drawings, by class, as it is asked for.

    A class is one batch, so that its features do not depend on which others are asked for. Those of
    all 659 classes are 121 MB at the paper's width.
    """

    def __init__(self, model: nn.Module) -> None:
        """Nothing is computed yet; `model` must not change."""
        self._model = model
        self._drawings: Drawings | None = None
        self._of_class: dict[int, Tensor] = {}

    def is_of(self, model: nn.Module) -> bool:
        """Whether `model` is a network of the same kind with the same weights, on one device."""
        own, other = self._model.state_dict(), model.state_dict()
        if own.keys() != other.keys():
            return False
        pairs = [(own[name], other[name]) for name in own]
        return all(
            (a.device, a.dtype) == (b.device, b.dtype) and torch.equal(a, b) for a, b in pairs
        )

    @property
    def bytes(self) -> int:
        """What is held in memory."""
        return sum(features.nbytes for features in self._of_class.values())

    def of(self, drawings: Drawings, classes: np.ndarray) -> Tensor:
        """Features [C, 20, D] of all drawings of meta-test classes [C], without gradients."""
        if drawings is not self._drawings:
            self._drawings = drawings
            self._of_class.clear()
        for number in map(int, classes):
            if number not in self._of_class:
                self._of_class[number] = self._computed(drawings.meta_test[number])
        return torch.stack([self._of_class[int(number)] for number in classes])

    def _computed(self, images: np.ndarray) -> Tensor:
        weight = self._model.head.weight
        batch = torch.from_numpy(images).to(weight.device).unsqueeze(1)
        with torch.no_grad():
            return convolutions(self._model)(to_unit(batch, weight.dtype))
