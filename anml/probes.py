"""What a meta-trained network makes of unseen classes: activity, neighbours, maps (section 4.2).

Every model of a run, whatever its seed, is probed with the same drawings of the same classes, so
that models and layers differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anml.data import Drawings, as_input
from anml.errors import AnmlError
from anml.meta_testing.nearest import knn_accuracy
from anml.meta_testing.trajectories import draw_trajectory

# Figures 5 and 6 read tables: they need not wait for torch.
if TYPE_CHECKING:
    from torch import Tensor

    from anml.models import ANML, OML

Layer = Callable[["Tensor"], "Tensor"]
"""From images float [B, 1, 28, 28] in [0, 1] to activations [B, U]."""

ACTIVE = 0.01
"""A unit is active when its activation is above this (paper, section 4.2)."""
NEIGHBOURS = tuple(range(1, 21))
"""Numbers of neighbours, K, of the curve in Fig. 6."""
SHOWN_DRAWINGS = 3
"""Random drawings whose activations Fig. 5 shows."""
MAP_CLASSES = 10
"""Classes in the maps of Fig. 6, each with its 15 meta-test training drawings."""
PERPLEXITY = 30.0
"""Of t-SNE: scikit-learn's default, since the paper gives none."""
PROBE_SEED = 0
"""Of the choice of drawings and of t-SNE; the same for every model."""


@dataclass(frozen=True)
class ProbeSet:
    """Drawings of all unseen classes, in random order of classes, divided as at meta-test.

    `known` uint8 [C, 15, 28, 28]: the meta-test training drawings; `asked` uint8 [C, 5, 28, 28]:
    the meta-test test set. C = 659.
    """

    known: np.ndarray
    asked: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """The three random drawings of Fig. 5, of three classes: uint8 [3, 28, 28]."""
        return self.asked[:SHOWN_DRAWINGS, 0]


def probe_set(drawings: Drawings, split: str = "shuffled") -> ProbeSet:
    """Every evaluation class, its 20 drawings divided as `Profile.drawings_split` says.

    Raises:
        AnmlError: fewer than 10 evaluation classes; `split` is unknown.
    """
    images = drawings.meta_test
    if len(images) < MAP_CLASSES:
        raise AnmlError(
            f"{len(images)} evaluation classes are too few to probe a network with: "
            f"give drawings with {MAP_CLASSES} or more"
        )
    drawn = draw_trajectory(PROBE_SEED, len(images), len(images), split=split)
    classes = drawn.classes[:, None]
    return ProbeSet(images[classes, drawn.train], images[classes, drawn.test])


def layers_of_anml(anml: ANML, untrained: ANML) -> dict[str, Layer]:
    """ANML's layers that are probed, under the names that the table `knn` gives them.

    `untrained` is the network from which meta-training of `anml` started: the control.
    """
    return {
        "latent": anml.latent,
        "nm": anml.nm,
        "gated": anml.gated,
        "nm random": untrained.nm,
    }


def layers_of_oml(oml: OML) -> dict[str, Layer]:
    """OML's layer that is probed, named as in the table `knn`."""
    return {"oml": oml.representation}


def activations(layer: Layer, images: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Activations float32 [..., U] of uint8 images [..., 28, 28], in batches."""
    import torch

    from anml.meta_test import FEATURE_BATCH

    flat = as_input(images.reshape(-1, *images.shape[-2:]))
    with torch.no_grad():
        parts = [layer(part.to(device)).float().cpu() for part in flat.split(FEATURE_BATCH)]
    return torch.cat(parts).numpy().reshape(*images.shape[:-2], -1)


def share_active(values: np.ndarray) -> np.ndarray:
    """Share of units above `ACTIVE`, in [0, 1]: float64 [...] from activations [..., U]."""
    return (values > ACTIVE).mean(axis=-1)


def dead_units(values: np.ndarray) -> float:
    """Share of units, in [0, 1], that no drawing makes active: activations [..., U]."""
    active = (values > ACTIVE).reshape(-1, values.shape[-1])
    return 1.0 - float(active.any(axis=0).mean())


def unit_length(values: np.ndarray) -> np.ndarray:
    """Activations scaled to Euclidean length one, float64 [..., U]: proportions without size.

    Of such rows the nearest by Euclidean distance is the nearest by cosine. Zeros stay zeros.
    """
    length = np.linalg.norm(values.astype(np.float64), axis=-1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)


def active_units(values: np.ndarray) -> np.ndarray:
    """Which units are active: float32 [..., U], 1 where the activation is above `ACTIVE`, else 0.

    Of such rows the nearest by Euclidean distance is that with fewest units that differ.
    """
    return (values > ACTIVE).astype(np.float32)


OTHER_DISTANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": unit_length,
    "active units": active_units,
}
"""What is done with activations before Euclidean distances are taken, by the distance's name: the
paper's own distance takes them as they are."""


def neighbours(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """kNN accuracy on unseen classes for every K of `NEIGHBOURS`: float64 [20], fractions.

    The classifier knows the activations `known` [C, n, U] of each class's meta-test training
    drawings and names the class of each held-out one, `asked` [C, m, U], out of all C; Euclidean.
    """
    labels = np.arange(len(known))
    return knn_accuracy(
        known.reshape(-1, known.shape[-1]),
        labels.repeat(known.shape[1]),
        asked.reshape(-1, asked.shape[-1]),
        labels.repeat(asked.shape[1]),
        NEIGHBOURS,
    )


def tsne_map(values: np.ndarray) -> np.ndarray:
    """t-SNE of activations [C, n, U] in the plane: float64 [C, n, 2], by fixed seed.

    The exact method: there are few drawings, and the faster one sums in an order of its own.
    """
    # Its import takes a second, and only Figure 6's tables need it.
    from sklearn.manifold import TSNE

    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    tsne = TSNE(
        perplexity=PERPLEXITY, init="pca", method="exact", random_state=PROBE_SEED, n_jobs=1
    )
    return tsne.fit_transform(rows).astype(np.float64).reshape(*values.shape[:2], 2)
