"""Every row of the paper's comparison, as data: what is meta-trained how, what is plastic when.

A treatment is a meta-training (whose models it takes) and the layers that learn at meta-test.
Adding one is adding a row (paper, sections 3 and 4, Fig. S8).
"""

from dataclasses import dataclass

from anml.errors import AnmlError

HEAD = ("head.",)
OML_LINEAR = ("hidden.", "head.")
ANML_PLN = ("pln.", "head.")
EVERYTHING = ("",)


@dataclass(frozen=True)
class MetaTraining:
    """How a model comes to be before meta-test; its rates and length stand in the profile."""

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


@dataclass(frozen=True)
class Treatment:
    """One row of the comparison."""

    name: str  # as in published.csv
    training: str  # a key of TRAININGS
    plastic: tuple[str, ...]  # prefixes of the parameters that learn at meta-test; '' is everything

    @property
    def learns_convolutions(self) -> bool:
        """Whether more learns at meta-test than the linear layers behind everything else."""
        return not set(self.plastic) <= set(OML_LINEAR)


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
        MetaTraining("anml-as-released", "anml", "meta", second_order=False, redraw="meta"),
        MetaTraining("oml-as-released", "oml", "meta", second_order=False, redraw="meta"),
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
        raise AnmlError(f"unknown meta-training {name!r}: choose one of {', '.join(TRAININGS)}")
    return TRAININGS[name]


def find_treatment(name: str) -> Treatment:
    """The treatment or variant called `name`; AnmlError lists the known ones."""
    known = TREATMENTS | VARIANTS
    if name not in known:
        raise AnmlError(f"unknown treatment {name!r}: choose one of {', '.join(known)}")
    return known[name]


def treatment_of(training: str) -> str:
    """The first treatment or variant whose models come from a meta-training."""
    rows = (TREATMENTS | VARIANTS).values()
    return next(row.name for row in rows if row.training == training)
