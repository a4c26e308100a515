"""One meta-training as data: what is trained at which size, and what its files say of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anml.data import Drawings
from anml.models import ANML, OML, OMLLinear, reset
from anml.profiles import Profile
from anml.store.checkpoint import model_name, working_name
from anml.treatments import MetaTraining


@dataclass(frozen=True)
class Network:
    """What meta-training and the profile have to know of a network."""

    build: Callable[..., nn.Module]  # takes the profile's `values` in their order
    values: tuple[str, ...]
    inner_rate: str  # names of the profile's rates
    outer_rate: str


_OML_RATES = ("oml_inner_rate", "oml_outer_rate")
# By the names in `anml.treatments.NETWORKS`, where no other gets into a row: tests compare them.
NETWORKS = {
    "anml": Network(
        ANML, ("pln_channels", "nm_channels", "outputs"), "anml_inner_rate", "anml_outer_rate"
    ),
    "oml": Network(OML, ("oml_channels", "oml_hidden", "outputs"), *_OML_RATES),
    "oml-linear": Network(OMLLinear, ("oml_channels", "outputs"), *_OML_RATES),
}
BATCH_VALUES = ("inner_steps", "remember")
"""Values of the profile that say how many drawings an iteration sees, in either way of training."""


@dataclass(frozen=True)
class Job:
    """One meta-training to run: what, at which size, on which drawings, with which seeds."""

    training: MetaTraining
    profile: Profile
    drawings: Drawings
    seeds: tuple[int, ...]
    folder: Path
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    tf32: bool = False  # on CUDA: products and convolutions in TF32 in place of float32

    @property
    def supervised(self) -> bool:
        """Whether it learns from i.i.d. batches, without an inner loop."""
        return self.training.procedure == "supervised"

    @property
    def iterations(self) -> int:
        """How many outer steps the profile asks for."""
        return self.profile.pretrain_iterations if self.supervised else self.profile.meta_iterations

    @property
    def rate_names(self) -> tuple[str, ...]:
        """The profile's rates that it uses: of the inner loop, if there is one, and of Adam."""
        network = NETWORKS[self.training.network]
        return ("pretrain_rate",) if self.supervised else (network.inner_rate, network.outer_rate)

    def model_path(self, seed: int) -> Path:
        """Where the finished model of `seed` lies."""
        return self.folder / model_name(self.training.name, seed)

    @property
    def resume_path(self) -> Path:
        """Where the working checkpoint lies."""
        return self.folder / working_name(self.training.name, self.seeds)

    def settings(self) -> dict[str, Any]:
        """The profile's values that decide this training's weights, all but how long it goes on."""
        names = NETWORKS[self.training.network].values + self.rate_names + BATCH_VALUES
        values = {name: getattr(self.profile, name) for name in names}
        return values if self.supervised else values | {"redraw": self.training.redraw}

    def header(self) -> dict[str, Any]:
        """What a checkpoint says of itself; a resume demands the same."""
        return {
            "training": self.training.name,
            "settings": self.settings(),
            "data_source": self.drawings.source,
            "data_fingerprint": self.drawings.fingerprint,
            "dtype": str(self.dtype).removeprefix("torch."),
        }


def build_model(network: str, profile: Profile) -> nn.Module:
    """A fresh network (a key of `NETWORKS`) at the profile's width."""
    kind = NETWORKS[network]
    return kind.build(*(getattr(profile, name) for name in kind.values))


def initial_model(network: str, profile: Profile, seed: int) -> nn.Module:
    """The network as meta-training of `seed` starts it."""
    model = build_model(network, profile)
    return reset(model, torch.Generator().manual_seed(seed))


def rates(training: MetaTraining, profile: Profile) -> tuple[float, float]:
    """Inner SGD rate and outer Adam rate of a meta-training."""
    if training.procedure == "supervised":
        return 0.0, profile.pretrain_rate
    network = NETWORKS[training.network]
    return getattr(profile, network.inner_rate), getattr(profile, network.outer_rate)
