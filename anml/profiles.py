"""How much to run: four named sizes from seconds to the paper's own numbers, validated."""

import math
import re
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args, get_origin

from anml.errors import AnmlError, did_you_mean
from anml.treatments import OF_ANML, TRAININGS

MAX_META_TEST_CLASSES = 659
"""Omniglot's evaluation classes; the paper says 660."""
META_TRAIN_CLASSES = 963
MAX_TRAJECTORIES = 1000
"""Of one model: its trajectories have so many seeds before those of the next begin."""

LEARNING_RATE_GRID = (
    *(1e-3, 6e-4, 4e-4, 3.5e-4, 3e-4, 2.5e-4, 2e-4),
    *(1.5e-4, 1e-4, 9e-5, 8e-5, 6e-5, 3e-5, 1e-5),
)
"""The released code's meta-test learning rates."""
PAPER_N = (10, 50, 75, 100, 150, 200, 300, 400, 500, 600)
"""Numbers of classes in the paper's figures."""


@dataclass(frozen=True)
class Profile:
    """Sizes and rates of one scale of the experiment; the defaults are the paper's.

    Counts, rates and names are checked on construction: AnmlError in one line otherwise.
    """

    name: str
    summary: str
    pln_channels: int = 256  # ANML's prediction network
    nm_channels: int = 112  # ANML's neuromodulatory network
    oml_channels: int = 256
    oml_hidden: int = 1024
    outputs: int = 1000
    meta_iterations: int = 20_000  # of ANML and OML
    pretrain_iterations: int = 20_000  # batches of inner_steps + remember drawings
    inner_steps: int = 20
    remember: int = 64
    anml_inner_rate: float = 0.1
    anml_outer_rate: float = 1e-3
    oml_inner_rate: float = 0.03  # published nowhere for this protocol: see the book's method page
    oml_outer_rate: float = 1e-3
    pretrain_rate: float = 1e-3
    rate_search_iterations: int = 1000  # what each pair of OML's rates is tried with; 0: no search
    # Meta-test, sequential and oracle. Where only linear layers learn:
    model_seeds: int = 10  # models of each meta-training
    trajectories: int = 10  # a model
    # Those of the models that one run takes, counted from 0, as where several machines share them
    # out; none named: all.
    models: tuple[int, ...] = ()
    n_classes: tuple[int, ...] = PAPER_N
    # Where convolutions learn too, which takes several times as long a step:
    network_models: int = 10  # the first of the models; never more than there are
    network_trajectories: int = 10
    network_n_classes: tuple[int, ...] = PAPER_N
    # For 20 epochs, which take 20 times as long:
    epochs_models: int = 10  # where only linear layers learn
    epochs_network_models: int = 10  # where convolutions learn too
    epochs_trajectories: int = 10
    epochs_n_classes: tuple[int, ...] = PAPER_N
    epochs_network_n_classes: tuple[int, ...] = PAPER_N
    probed: tuple[str, ...] = ("anml", "oml")  # meta-trainings whose models' activations are probed
    variant_models: int = 10  # of what the paper and its code disagree on
    # ANML, or another training, after so many meta-iterations or batches, beyond the profile's own
    # too:
    length_training: str = "anml"
    length_models: int = 1
    length_iterations: tuple[int, ...] = (1250, 2500, 5000, 10_000, 20_000)
    length_n_classes: tuple[int, ...] = (100, 600)
    # ANML's head learned in other ways and at other rates, after the most classes:
    head_models: int = 10
    head_trajectories: int = 10
    optimizers: tuple[str, ...] = ("adam",)
    # Meta-test learning rates are searched for each treatment at these N, in the sequential and the
    # oracle regime. Another N takes the rate of the nearest one (by ratio); 20 epochs take the
    # oracle's.
    search_trajectories: int = 10  # in all: one a model, if there are as many models
    search_n_classes: tuple[int, ...] = PAPER_N
    learning_rates: tuple[float, ...] = LEARNING_RATE_GRID
    network_search_trajectories: int = 10
    network_search_n_classes: tuple[int, ...] = PAPER_N
    network_learning_rates: tuple[float, ...] = LEARNING_RATE_GRID
    drawings_split: str = "shuffled"  # 'first': writers 1 to 15 train, as in the released code

    def __post_init__(self) -> None:
        """Refuse values outside their range with one line that says what is allowed."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if not values or not all(low <= v <= high for v in values):
                raise AnmlError(
                    f"profile {self.name!r}: {name} = {value} is out of range: "
                    f"allowed is {low:,.10g} to {high:,.10g}"
                )
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            for v in (value or ("",)) if isinstance(value, tuple) else (value,):
                if v not in allowed:
                    raise AnmlError(
                        f"profile {self.name!r}: {name} = {v!r} is unknown: "
                        f"choose one of {', '.join(allowed)}"
                    )

        if len(several := [name for name in self.probed if name in OF_ANML]) > 1:
            raise AnmlError(
                f"profile {self.name!r}: probed = {','.join(self.probed)} has "
                f"{' and '.join(several)}, which are one network: name one, and run another in a "
                "folder of its own"
            )

        if others := [number for number in self.models if not 0 <= number < self.model_seeds]:
            raise AnmlError(
                f"profile {self.name!r}: models = {self.models} has {others[0]}: allowed is 0 to "
                f"{self.model_seeds - 1}, as model_seeds = {self.model_seeds}"
            )

    def model_numbers(self, first: int | None = None) -> list[int]:
        """The models that are taken, by seed: of the `first` ones (default: of all) of the profile
        those in `models`, if that names any.
        """
        numbers = range(min(first or self.model_seeds, self.model_seeds))
        return [number for number in numbers if not self.models or number in self.models]

    def of_length(self, iterations: int) -> "Profile":
        """The profile with every training so many iterations long."""
        return replace(self, meta_iterations=iterations, pretrain_iterations=iterations)

    def values(self) -> dict[str, Any]:
        """All values as JSON-able data, for provenance."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def settings(self) -> dict[str, Any]:
        """The values that decide what is computed: all but the summary, which is prose."""
        return {k: v for k, v in self.values().items() if k != "summary"}


_ITERATIONS = ("meta_iterations", "pretrain_iterations", "length_iterations")
# With these grow the memory of a step, or the jobs that a run has to hold.
_SIZES = (
    *("pln_channels", "nm_channels", "oml_channels", "oml_hidden", "remember"),
    *("model_seeds", "search_trajectories", "network_models", "network_search_trajectories"),
    *("epochs_models", "epochs_network_models", "variant_models", "length_models", "head_models"),
)
_TRAJECTORIES = (
    *("trajectories", "network_trajectories", "epochs_trajectories", "head_trajectories"),
)
_RATES = (
    *("anml_inner_rate", "anml_outer_rate", "oml_inner_rate", "oml_outer_rate"),
    *("pretrain_rate", "learning_rates", "network_learning_rates"),
)
_NUMBERS = (
    *("n_classes", "network_n_classes", "epochs_n_classes", "epochs_network_n_classes"),
    *("search_n_classes", "network_search_n_classes", "length_n_classes"),
)
_RANGES = (
    *((name, 1, 10_000_000) for name in _ITERATIONS),
    *((name, 1, 10_000) for name in _SIZES),
    *((name, 1, MAX_TRAJECTORIES) for name in _TRAJECTORIES),
    *((name, 1e-9, 10.0) for name in _RATES),
    ("rate_search_iterations", 0, 10_000_000),
    ("inner_steps", 1, 20),
    ("outputs", META_TRAIN_CLASSES, 100_000),
    *((name, 2, MAX_META_TEST_CLASSES) for name in _NUMBERS),
)
_CHOICES = {
    "probed": (*OF_ANML, "oml"),
    "length_training": tuple(n for n, row in TRAININGS.items() if row.procedure != "none"),
    "optimizers": ("adam", "sgd"),
    "drawings_split": ("shuffled", "first"),
}

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "smoke",
            "a rehearsal of some minutes: every step for real, tiny networks, far too short",
            pln_channels=32,
            nm_channels=16,
            oml_channels=16,
            oml_hidden=256,
            meta_iterations=300,
            pretrain_iterations=300,
            anml_outer_rate=3e-3,  # makes the most of few iterations
            rate_search_iterations=20,
            model_seeds=1,
            trajectories=3,
            n_classes=(5, 10, 20),
            network_models=1,
            network_trajectories=1,
            network_n_classes=(5, 10, 20),
            epochs_models=1,
            epochs_network_models=1,
            epochs_trajectories=1,
            epochs_n_classes=(5,),
            epochs_network_n_classes=(5,),
            variant_models=1,
            length_iterations=(100, 300),
            length_n_classes=(5, 20),
            head_models=1,
            head_trajectories=1,
            search_trajectories=1,
            search_n_classes=(5, 20),
            learning_rates=(1e-2, 3e-3, 1e-3, 3e-4),
            network_search_trajectories=1,
            network_search_n_classes=(5, 20),
            network_learning_rates=(3e-3, 3e-4),
        ),
        Profile(
            "quick",
            "a first real result: narrow networks, one seed",
            pln_channels=64,
            nm_channels=28,
            oml_channels=32,
            oml_hidden=512,
            meta_iterations=4000,
            pretrain_iterations=4000,
            model_seeds=1,
            trajectories=3,
            n_classes=(10, 50, 100, 200, 400, 600),
            network_models=1,
            network_trajectories=1,
            network_n_classes=(10, 100, 600),
            epochs_models=1,
            epochs_network_models=1,
            epochs_trajectories=1,
            epochs_n_classes=(100,),
            epochs_network_n_classes=(100,),
            variant_models=1,
            length_iterations=(1000, 4000),
            head_models=1,
            head_trajectories=2,
            search_trajectories=1,
            search_n_classes=(10, 100, 600),
            learning_rates=(3e-3, 1e-3, 3e-4, 1e-4),
            network_search_trajectories=1,
            network_search_n_classes=(10, 100),
            network_learning_rates=(1e-3, 3e-4, 1e-4),
        ),
        Profile(
            "laptop",
            "hours on a CPU: the networks of quick, several seeds, every number of classes where "
            "linear layers alone learn, three where convolutions do",
            pln_channels=64,
            nm_channels=28,
            oml_channels=32,  # with 512 about as many weights as ANML here, as in the paper
            oml_hidden=512,
            rate_search_iterations=0,  # the networks of quick, which searches
            meta_iterations=4000,
            pretrain_iterations=4000,
            model_seeds=4,  # the fewest between which a rank test can find anything
            trajectories=5,
            network_models=4,
            network_trajectories=1,
            network_n_classes=(10, 100, 600),
            epochs_models=1,
            epochs_network_models=1,
            epochs_trajectories=1,
            epochs_n_classes=(100, 600),
            epochs_network_n_classes=(100,),
            variant_models=1,
            length_iterations=(1250, 2500, 5000, 10_000),
            head_models=3,
            head_trajectories=3,
            search_trajectories=1,
            search_n_classes=(10, 100, 600),
            learning_rates=(3e-3, 1e-3, 3e-4, 1e-4, 3e-5),
            network_search_trajectories=1,
            # Where convolutions learn, the best rate falls tenfold from 100 to 600 classes.
            network_search_n_classes=(10, 100, 600),
            network_learning_rates=(1e-3, 3e-4, 1e-4, 3e-5),
        ),
        Profile("paper", "the paper's own numbers: full width, 10 models x 10 trajectories"),
    )
}


def find_profile(name: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """The profile called `name` with single values replaced.

    `overrides`: field name to value, or to text as given on a command line ('10,50,100' for lists).
    AnmlError names what is allowed for an unknown name, an unknown field or a value out of range.
    """
    if name not in PROFILES:
        raise AnmlError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    kinds = {f.name: f.type for f in fields(Profile) if f.name not in ("name", "summary")}
    changes = {}
    for key, value in (overrides or {}).items():
        if key not in kinds:
            raise AnmlError(
                f"unknown profile value {key!r}{did_you_mean(key, kinds)}: "
                f"choose one of {', '.join(kinds)}"
            )
        changes[key] = _convert(key, value, kinds[key])
    return replace(PROFILES[name], **changes)


def _convert(key: str, value: Any, kind: type | types.GenericAlias) -> Any:
    """`value`, possibly text, as the field's type."""
    if get_origin(kind) is tuple:
        if isinstance(value, str) and re.match(r"\s*[\[({]", value):
            plain = re.sub(r"[\[\](){}'\"\s]", "", value)
            raise AnmlError(
                f"profile value {key} = {value!r} is in brackets: "
                f"write {plain or 'values with commas between'}"
            )
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            parts = [parts]
        return tuple(_convert(key, part, get_args(kind)[0]) for part in parts)
    try:
        if kind is int:
            converted = int(str(value).replace("_", ""))
        elif kind is float:
            converted = float(value)
        else:
            return str(value).strip()
    except (TypeError, ValueError, OverflowError):
        converted = math.nan
    if isinstance(value, bool) or not -math.inf < converted < math.inf:
        raise AnmlError(f"profile value {key} = {value!r} is not {_KIND_WORDS[kind]}")
    return converted


_KIND_WORDS = {int: "a whole number", float: "a finite number"}
