"""What the paper claims in words, as data: each claim with the test that decides it.

The numbers that the paper states are in `published.csv`; `anml.findings.ledger` judges both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from anml.findings.claim_tests import (
    LONGEST,
    Finding,
    Frames,
    Side,
    exceeds,
    forgets_less,
    gate_sparsifies,
    in_order,
    leads,
    memorises_more,
    order_matters_little,
    stays_below,
)
from anml.findings.measure import KNN_K, rows_with
from anml.results import Table

OTHERS = ("OML", "OML-OLFT", "Pretrain & Transfer", "Scratch")
"""What ANML is compared with in Figures 3 and 4."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper in our words, and how it is tested.

    `needs`: the N that must have been reached for the test to be the paper's own; None for claims
    about representations, which have no N. `everywhere`: the claim is about every N, so that a
    single one can refute it.
    """

    id: str
    place: str
    statement: str
    test: Callable[[Frames, int], Finding | None]
    needs: int | None = LONGEST
    everywhere: bool = False


def _under(regime: str, *treatments: str) -> tuple[Side, ...]:
    return tuple((treatment, regime) for treatment in treatments)


_ANML: Side = ("ANML", "sequential")
_HOPELESS = ("Scratch", "Pretrain & Transfer")

CLAIMS = (
    Claim(
        "anml_beats_oracles",
        "4.1 / Fig. 4",
        "ANML learning one class after another beats every other treatment's Oracle",
        partial(leads, first=_ANML, others=_under("oracle", *OTHERS)),
    ),
    Claim(
        "anml_best",
        "4.1 / Fig. 3",
        "ANML is the best of the five treatments at every N",
        partial(leads, first=_ANML, others=_under("sequential", *OTHERS), every=True),
        everywhere=True,
    ),
    Claim(
        "olft_overtakes",
        "4.1 / Fig. 3",
        "OML-OLFT is better than OML at every N from 300 on",
        partial(
            leads,
            first=("OML-OLFT", "sequential"),
            others=_under("sequential", "OML"),
            every=True,
            least=300,
        ),
        everywhere=True,
    ),
    Claim(
        "anml_forgets_least",
        "4.1 / Fig. 4",
        "ANML forgets least: its relative drop from Oracle to sequential learning is the smallest",
        partial(forgets_less, first="ANML", others=OTHERS),
    ),
    Claim(
        "hopeless_without_memory",
        "4.1 / Fig. 3",
        "Scratch and Pretrain & Transfer fail even to memorise: of the drawings that they have "
        "just been trained on, they know less than 10%",
        partial(stays_below, sides=_under("sequential", *_HOPELESS), limit=0.10),
        needs=400,
    ),
    Claim(
        "order_matters_little",
        "4.1 / Fig. S9",
        "For ANML the order of learning barely matters: no two fifths of the classes, in the order "
        "in which they were learned, differ by 10 points",
        partial(order_matters_little, treatment="ANML", limit=0.10),
    ),
    Claim(
        "epochs_do_not_catch_up",
        "4.1 / Fig. S7",
        "Not even 20 i.i.d. epochs bring Scratch or Pretrain & Transfer up to ANML's one "
        "sequential pass",
        partial(leads, first=_ANML, others=_under("oracle 20 epochs", *_HOPELESS)),
    ),
    Claim(
        "epochs_memorise",
        "4.1 / Fig. S7",
        "After 20 i.i.d. epochs Scratch and Pretrain & Transfer know the drawings that they were "
        "trained on more than the characters: from training to held-out drawings they lose more "
        "than ANML does",
        partial(
            memorises_more,
            sides=_under("oracle 20 epochs", *_HOPELESS),
            than=("ANML", "oracle 20 epochs"),
        ),
    ),
    Claim(
        "plasticity_hurts",
        "Fig. S8",
        "The more of ANML stays plastic, the worse: the head alone, then the whole PLN, then the "
        "NM's linear layer too",
        partial(in_order, sides=_under("sequential", "ANML", "ANML-FT:PLN", "ANML-FT:PLN+NM out")),
    ),
    Claim(
        "unlimited_anml",
        "Fig. S8",
        "With everything plastic, ANML is still better than OML with everything plastic, at every "
        "N",
        partial(
            leads,
            first=("ANML-Unlimited", "sequential"),
            others=_under("sequential", "OML-Unlimited"),
            every=True,
        ),
        everywhere=True,
    ),
    Claim(
        "gating_sparsifies",
        "4.2 / Fig. 5",
        "Gating makes the activity sparse: it leaves fewer than half of the active units active",
        gate_sparsifies,
        needs=None,
    ),
    Claim(
        "nm_knows_classes",
        "4.2",
        "The NM's activations classify unseen classes far better than those of a random NM: by "
        "20 points or more",
        partial(
            exceeds,
            table="knn",
            high={"k": KNN_K, "representation": "nm"},
            low={"k": KNN_K, "representation": "nm random"},
            by=0.20,
        ),
        needs=None,
    ),
    Claim(
        "gating_helps_neighbours",
        "4.2 / Fig. 6",
        "Gating makes classes easier to tell apart: kNN is more accurate after the gate",
        partial(
            exceeds,
            table="knn",
            high={"k": KNN_K, "representation": "gated"},
            low={"k": KNN_K, "representation": "latent"},
        ),
        needs=None,
    ),
)


def finding(
    claim: Claim, tables: Mapping[str, Table], *, optimizer: str = "adam", seed: int = 0
) -> Finding | None:
    """Return what `tables` (by name) show of a claim, or None where they do not hold what it needs.

    `optimizer` is that of meta-test, `seed` that of the bootstrap intervals.
    """
    frames = {name: rows_with(optimizer, name, table) for name, table in tables.items()}
    return claim.test(frames, seed)
