"""Every row of the paper's comparison, as data: what is meta-trained how, what is plastic when.

A treatment is a meta-training (whose models it takes) and the layers that learn at meta-test.
Adding one is adding a row (paper, sections 3 and 4, Fig. S8). A row is refused as it is made where
nothing here could compute it, so that no mistake in it waits for the end of a meta-training.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from anml.errors import AnmlError, did_you_mean

HEAD = ("head.",)
OML_LINEAR = ("hidden.", "head.")
ANML_PLN = ("pln.", "head.")
EVERYTHING = ("",)

Values = dict[str, tuple[str | bool | int, ...]]

OPTIONS: Values = {
    "second_order": (True, False),
    "norm": ("image", "batch"),
    "redraw": ("copy", "meta"),
    "pixels": ("ink", "as released", "white paper"),
    "channels": (1, 3),
}
"""What a `MetaTraining` can be told, by its fields: all values, the default first."""
PROCEDURES: dict[str, Values] = {
    "meta": {},
    "supervised": {name: OPTIONS[name][:1] for name in ("second_order", "redraw")},
    "none": {name: values[:1] for name, values in OPTIONS.items()},
}
"""How a model can come to be, with the options that mean nothing there: these stay as they are."""


@dataclass(frozen=True)
class Together:
    """Layers that can learn together at meta-test: all of `always`, and any of `besides`.

    These are prefixes of parameters as `models` names them; `EVERYTHING` is all of them.
    """

    always: tuple[str, ...]
    besides: tuple[str, ...] = ()

    def allows(self, plastic: Iterable[str]) -> bool:
        """Whether `plastic`, in any order, is such a choice of layers."""
        return set(self.always) <= set(plastic) <= {*self.always, *self.besides}

    def __str__(self) -> str:
        """For an error message: `('head.',) with any of 'pln.', 'nm.gate.'`."""
        besides = f" with any of {_listing(self.besides)}" if self.besides else ""
        return f"{self.always}{besides}" + " (everything)" * (self.always == EVERYTHING)


@dataclass(frozen=True)
class Network:
    """What there is code for of a network that `anml.meta_training.training_job` builds."""

    procedures: tuple[str, ...]  # keys of PROCEDURES
    options: Values  # of OPTIONS, where it does not have all values
    plastic: tuple[Together, ...]
    first: tuple[str, ...]  # the kernels that take the drawing itself
    inner: tuple[str, ...] = ()  # the options, beside the order, that its meta-gradient is told


_IMAGE_ALONE = {"norm": ("image",)}  # OML has no norm
_INK_ALONE = {"pixels": ("ink",)}  # only OML's first convolution can be made to take ink again
_OML_FIRST = ("rln.0.weight",)
_RLN = tuple(f"rln.{i}." for i in range(6))
_PARTS = (*EVERYTHING, *_RLN, "pln.", *OML_LINEAR, "nm.gate.", "nm.tower.")
NETWORKS = {
    "anml": Network(
        ("meta", "none"),
        _INK_ALONE,
        (
            Together(HEAD, ("pln.", "nm.gate.")),
            # Behind a tower that learns, the gate learns too.
            Together(("nm.tower.", "nm.gate.", *HEAD), ("pln.",)),
            Together(EVERYTHING),
        ),
        ("pln.blocks.0.conv.weight", "nm.tower.blocks.0.conv.weight"),
        ("norm", "channels"),
    ),
    "oml": Network(
        ("meta", "supervised", "none"),
        _IMAGE_ALONE,
        # Behind a convolution that learns, both linear layers learn too.
        (Together(HEAD), Together(OML_LINEAR, _RLN), Together(EVERYTHING)),
        _OML_FIRST,
    ),
    # Its convolutions cannot learn at meta-test: the loop for them takes two linear layers.
    "oml-linear": Network(("meta", "none"), _IMAGE_ALONE, (Together(HEAD),), _OML_FIRST),
}
"""The networks, by the names that a `MetaTraining` and whatever builds one know them by."""


@dataclass(frozen=True)
class MetaTraining:
    """How a model comes to be before meta-test; its rates and length stand in the profile.

    AnmlError: something that its network or its procedure does not have.
    """

    name: str
    network: str  # 'anml', 'oml', or 'oml-linear': OML with one linear layer behind its RLN
    procedure: str  # 'meta' (Algorithm 1), 'supervised' (i.i.d. batches) or 'none'
    # False: as the released code, which drops the graph of the inner loop.
    second_order: bool = True
    # What ANML's norm runs over where many drawings are passed at once, in the meta-loss: each
    # 'image', as in the released code, or the 'batch'. In an inner step the two agree.
    norm: str = "image"
    # Where a class's row of the head is drawn anew before it is learned: in the inner loop's 'copy'
    # alone, as the paper says, or in the 'meta'-parameters, as in the released code: there the row
    # that was learned before is gone for good.
    redraw: str = "copy"
    # The numbers that it is shown for a drawing: a key of `anml.drawings.pixels.PIXELS`.
    pixels: str = "ink"
    # Copies of the drawing that the first convolutions take, each with a kernel of its own: their
    # sum is one kernel, whose steps are as many times as large.
    channels: int = 1

    def __post_init__(self) -> None:
        """Refuse what would be taken for something else, or fail when its work is done."""
        row = f"meta-training {self.name!r}"
        _refuse_other(f"{row}: network", self.network, NETWORKS)
        network = NETWORKS[self.network]
        row += f" of network {self.network!r}"
        _refuse_other(f"{row}: procedure", self.procedure, network.procedures)
        row += f" and procedure {self.procedure!r}"
        for option, values in (OPTIONS | network.options | PROCEDURES[self.procedure]).items():
            _refuse_other(f"{row}: {option}", getattr(self, option), values)


@dataclass(frozen=True)
class Treatment:
    """One row of the comparison.

    AnmlError: no such meta-training, or layers that cannot learn together in its network.
    """

    name: str  # as in published.csv
    training: str  # a key of TRAININGS
    # Prefixes of the parameters that learn at meta-test, in any order; '' is everything. NETWORKS
    # says which can learn together.
    plastic: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse layers that nothing can teach together, and put the others in order."""
        _refuse_other(f"treatment {self.name!r}: training", self.training, TRAININGS)
        training = TRAININGS[self.training]
        network = training.network
        ways = NETWORKS[network].plastic
        if not any(way.allows(self.plastic) for way in ways):
            raise AnmlError(
                f"treatment {self.name!r}: plastic is {self.plastic!r}: choose layers that can "
                f"learn together in network {network!r}: {'; or '.join(map(str, ways))}"
            )
        # One order for one choice: `frozen_features.cut_network` knows a choice by equality, and a
        # finished job its row by what is printed of it.
        ordered = tuple(sorted(set(self.plastic), key=_PARTS.index))
        object.__setattr__(self, "plastic", ordered)
        first = any(name.startswith(ordered) for name in NETWORKS[network].first)
        if first and training.channels > 1:
            raise AnmlError(
                f"treatment {self.name!r}: plastic is {ordered!r}, which has the first convolution "
                f"learn, and meta-training {training.name!r} has {training.channels} channels: at "
                "meta-test that convolution can learn with one channel alone: leave it out"
            )

    @property
    def learns_convolutions(self) -> bool:
        """Whether more learns at meta-test than the linear layers behind everything else."""
        return not set(self.plastic) <= set(OML_LINEAR)


def _refuse_other(what: str, value: object, allowed: Iterable[object]) -> None:
    """AnmlError lists what is allowed, unless `value` is among it."""
    if value not in allowed:
        raise AnmlError(f"{what} is {value!r}: choose one of {_listing(allowed)}")


def _listing(values: Iterable[object]) -> str:
    """Values for an error message; that of `anml.store.tables` would import pandas."""
    return ", ".join(map(repr, values))


TRAININGS = {
    training.name: training
    for training in (
        MetaTraining("anml", "anml", "meta"),
        MetaTraining("oml", "oml", "meta"),
        MetaTraining("pretrain", "oml", "supervised"),
        MetaTraining("scratch", "oml", "none"),
        MetaTraining("anml-first-order", "anml", "meta", second_order=False),
        MetaTraining("oml-first-order", "oml", "meta", second_order=False),
        MetaTraining("oml-linear", "oml-linear", "meta"),
        MetaTraining("anml-batch-norm", "anml", "meta", norm="batch"),
        MetaTraining("anml-redraw-kept", "anml", "meta", redraw="meta"),
        MetaTraining("anml-three-channels", "anml", "meta", channels=3),
        MetaTraining(
            *("anml-as-released", "anml", "meta"), second_order=False, redraw="meta", channels=3
        ),
        MetaTraining(
            *("oml-as-released", "oml", "meta"), second_order=False, redraw="meta", channels=3
        ),
        MetaTraining("oml-released-pixels", "oml", "meta", pixels="as released"),
        MetaTraining("oml-white-paper", "oml", "meta", pixels="white paper"),
    )
}

OF_ANML = tuple(name for name, row in TRAININGS.items() if row.network == "anml")
"""The meta-trainings of ANML's network."""

TREATMENTS = {
    treatment.name: treatment
    for treatment in (
        Treatment("ANML", "anml", HEAD),
        Treatment("OML", "oml", OML_LINEAR),
        Treatment("OML-OLFT", "oml", HEAD),
        Treatment("Pretrain & Transfer", "pretrain", OML_LINEAR),
        Treatment("Scratch", "scratch", EVERYTHING),
        Treatment("ANML-FT:PLN", "anml", ANML_PLN),
        Treatment("ANML-FT:PLN+NM out", "anml", (*ANML_PLN, "nm.gate.")),
        Treatment("ANML-Unlimited", "anml", EVERYTHING),
        Treatment("OML-FT:PLN+RLN final", "oml", ("rln.5.", *OML_LINEAR)),
        Treatment("OML-Unlimited", "oml", EVERYTHING),
    )
}
"""The ten treatments of the paper: the five of Fig. 3, then those of Fig. S8, as in its legends."""

VARIANTS = {
    treatment.name: treatment
    for treatment in (
        Treatment("ANML (first order)", "anml-first-order", HEAD),
        Treatment("OML (first order)", "oml-first-order", OML_LINEAR),
        Treatment("OML (linear PLN)", "oml-linear", HEAD),
        Treatment("ANML (batch norm)", "anml-batch-norm", HEAD),
        Treatment("ANML (redraw kept)", "anml-redraw-kept", HEAD),
        Treatment("ANML (three channels)", "anml-three-channels", HEAD),
        Treatment("ANML (as released)", "anml-as-released", HEAD),
        Treatment("OML (as released)", "oml-as-released", OML_LINEAR),
        Treatment("OML (released pixels)", "oml-released-pixels", OML_LINEAR),
        Treatment("OML-OLFT (released pixels)", "oml-released-pixels", HEAD),
        Treatment("OML (white paper)", "oml-white-paper", OML_LINEAR),
        Treatment("OML-OLFT (white paper)", "oml-white-paper", HEAD),
    )
}
"""What the paper and its code, or a later finding, disagree on."""
IN_ORDER = (*TREATMENTS, *VARIANTS)
"""The names of all, in the order of every legend and table."""


def find_training(name: str) -> MetaTraining:
    """The meta-training called `name`; AnmlError lists the known ones."""
    if name not in TRAININGS:
        raise AnmlError(
            f"unknown meta-training {name!r}{did_you_mean(name, TRAININGS)}: "
            f"choose one of {', '.join(TRAININGS)}"
        )
    return TRAININGS[name]


def find_treatment(name: str) -> Treatment:
    """The treatment or variant called `name`; AnmlError lists the known ones."""
    known = TREATMENTS | VARIANTS
    if name not in known:
        raise AnmlError(
            f"unknown treatment {name!r}{did_you_mean(name, known)}: "
            f"choose one of {', '.join(known)}"
        )
    return known[name]


def treatment_of(training: str) -> str:
    """The first treatment or variant whose models come from a meta-training.

    AnmlError: there is no such meta-training, or no treatment takes its models.
    """
    rows = (TREATMENTS | VARIANTS).values()
    found = next((row.name for row in rows if row.training == training), None)
    if found is None:
        raise AnmlError(
            f"no treatment takes the models of meta-training {find_training(training).name!r}: "
            "add one that does to TREATMENTS or VARIANTS in anml/treatments.py"
        )
    return found
