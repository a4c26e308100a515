"""Every row of the paper's comparison, as data: what is meta-trained how, what is plastic when.

A treatment is a meta-training (whose models it takes) and the layers that learn at meta-test.
Adding one is adding a row (paper, sections 3 and 4, Fig. S8).
"""

from dataclasses import dataclass

from anml.errors import AnmlError


@dataclass(frozen=True)
class MetaTraining:
    """How a model comes to be before meta-test; its rates and length stand in the profile."""

    name: str
    network: str  # 'anml' or 'oml': the class in models.py
    procedure: str  # 'meta' (Algorithm 1), 'supervised' (i.i.d. batches) or 'none'
    second_order: bool = (
        True  # False: as the released code, which drops the graph of the inner loop
    )


@dataclass(frozen=True)
class Treatment:
    """One row of the comparison."""

    name: str  # as in published.csv
    training: str  # a key of TRAININGS
    plastic: tuple[str, ...]  # prefixes of the parameters that learn at meta-test; '' is everything


TRAININGS = {
    training.name: training
    for training in (
        MetaTraining("anml", "anml", "meta"),
        MetaTraining("anml-first-order", "anml", "meta", second_order=False),
        MetaTraining("oml", "oml", "meta"),
        MetaTraining("oml-first-order", "oml", "meta", second_order=False),
        MetaTraining("pretrain", "oml", "supervised"),
        MetaTraining("scratch", "oml", "none"),
    )
}

TREATMENTS = {
    treatment.name: treatment
    for treatment in (
        Treatment("ANML", "anml", ("head.",)),
        Treatment("OML", "oml", ("hidden.", "head.")),
        Treatment("OML-OLFT", "oml", ("head.",)),
        Treatment("Pretrain & Transfer", "pretrain", ("hidden.", "head.")),
        Treatment("Scratch", "scratch", ("",)),
    )
}
"""The five treatments of Fig. 3, in the order of its legend."""


def find_training(name: str) -> MetaTraining:
    """The meta-training called `name`; AnmlError lists the known ones."""
    if name not in TRAININGS:
        raise AnmlError(f"unknown meta-training {name!r}: choose one of {', '.join(TRAININGS)}")
    return TRAININGS[name]


def find_treatment(name: str) -> Treatment:
    """The treatment called `name`; AnmlError lists the known ones."""
    if name not in TREATMENTS:
        raise AnmlError(f"unknown treatment {name!r}: choose one of {', '.join(TREATMENTS)}")
    return TREATMENTS[name]
