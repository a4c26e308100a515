"""The ledger: each number and each claim of the paper beside what was measured, with a verdict.

The rule of the verdicts is `judge`, the only place where one is given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from anml.findings.claim_notes import WHY
from anml.findings.claim_reach import behind, hardest_n
from anml.findings.claims import published_with_noted
from anml.findings.curves import FULL_WIDTH
from anml.findings.directions import DIRECTIONS, Direction
from anml.findings.measure import Measured, as_many_drawings, measured
from anml.findings.qualitative import CLAIMS, Claim, finding
from anml.profiles import PROFILES
from anml.results import Provenance, Table
from anml.stats import model_words, replicates
from anml.treatments import find_training, find_treatment

MODELS = 4
"""With fewer a side, no Mann-Whitney U test between models can reach 0.05."""
META_ITERATIONS = PROFILES["paper"].meta_iterations
TABLES = ("meta_test", "class_accuracy", "activity", "knn")
"""The result tables that the ledger reads; any of them may be missing."""

REPRODUCED = "reproduced"
DIRECTION = "direction only"
NOT = "not reproduced"
NOT_COMPARABLE = "not comparable at this scale"
NOT_RUN = "not run at this scale"
VERDICTS = {
    REPRODUCED: (
        "A number: measured on Omniglot at the paper's scale (networks of its width, meta-trained "
        "for its iterations, its N, four models at least: fewer support no test between models), "
        "and the published value lies inside the measured interval or within the tolerance (5 "
        "percentage points, or half of the published value where that is less, but 1 point at "
        "least); a published bound is kept. A claim: it holds on Omniglot at that scale and at the "
        "N that it was made for, and so does the whole interval of its margin."
    ),
    DIRECTION: (
        "The number differs, or was measured at another scale, but lies on the published side of "
        "what it is compared with; where it is compared with nothing, it is the published one all "
        "the same. The claim holds, but at a smaller scale, or not over the whole interval of its "
        "margin."
    ),
    NOT: (
        "Measured at an N that the paper speaks of, and not even the direction is as published; or "
        "at the paper's scale, and not as published. Where a claim's interval spans 0, more "
        "replicates may still turn it."
    ),
    NOT_COMPARABLE: (
        "Measured, but only at another N and against the published direction, or at another scale "
        "and with nothing to compare it with, which refutes nothing; or not on Omniglot, the only "
        "drawings that the paper speaks of."
    ),
    NOT_RUN: "Nothing measured yet, or nothing that did better than guessing.",
}
"""What each verdict means, in the words that the page shows."""


@dataclass(frozen=True)
class Entry:
    """One row of the ledger, as text for people; fields are empty where there is nothing to say.

    `kind`: 'number' (the paper's), 'claim' or 'replication'. `direction`: what a number is compared
    with (`anml.findings.directions`), and whether that was not measured. `n_classes`: the N
    measured at, 'up to' which for claims about every N, or '100 to 600' for a claim about several
    treatments that were not measured equally far. `verdict`: a key of `VERDICTS`.
    """

    id: str
    kind: str
    source: str
    place: str
    statement: str
    published: str
    verdict: str
    direction: str = ""
    measured: str = ""
    interval: str = ""
    replicates: str = ""
    n_classes: str = ""
    why: str = ""


def ledger(
    tables: Mapping[str, Table],
    *,
    optimizer: str = "adam",
    seed: int = 0,
    only: Collection[str] | None = None,
) -> list[Entry]:
    """Return every row of the ledger: the paper's numbers, its claims, then the replications.

    Args:
        tables: result tables of one profile and data source, by name (`TABLES`).
        optimizer: at meta-test.
        seed: of the bootstrap intervals.
        only: the ids of the rows that are wanted; default: all.
    """
    options = {"optimizer": optimizer, "seed": seed}
    rows = [row for _, row in published_with_noted().iterrows()]
    numbers = [_number(row, tables, options) for row in rows if only is None or row["id"] in only]
    claims = [_claim(one, tables, options) for one in CLAIMS if only is None or one.id in only]
    return sorted(
        [*numbers, *claims], key=lambda e: ("number", "claim", "replication").index(e.kind)
    )


def judge(
    *, omniglot: bool, as_stated: bool, agrees: bool, direction: bool | None, same_n: bool
) -> str:
    """Return the verdict of one row that was measured.

    Args:
        omniglot: on Omniglot.
        as_stated: at the paper's N and scale.
        agrees: the value is the published one (`VERDICTS`); the claim holds over its interval.
        direction: it lies on the published side; None where there is nothing to compare it with.
        same_n: at an N that the paper speaks of.
    """
    if not omniglot:
        return NOT_COMPARABLE
    if as_stated and agrees:
        return REPRODUCED
    if direction:
        return DIRECTION
    refuted = direction is False and same_n
    return NOT if refuted or as_stated else NOT_COMPARABLE


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """Return how many entries have each verdict, in the order of `VERDICTS`."""
    found = Counter(entry.verdict for entry in entries)
    return {verdict: found[verdict] for verdict in VERDICTS}


def tolerance(percent: float) -> float:
    """Return how far from a published value, both in per cent, one still counts as the same."""
    return min(5.0, max(1.0, percent / 2))


def _number(row: pd.Series, tables: Mapping[str, Table], options: dict) -> Entry:
    """Judge one row of `published.csv`."""
    paper = row["source"] == "paper"
    direction = DIRECTIONS.get(row["id"])
    condition = ", ".join(
        text for text in (row["treatment"], row["regime"]) if text != "representation"
    )
    number = row["n_classes"]
    if number:
        condition += f", N ≥ {number[2:]}" if number.startswith(">=") else f", N = {number}"
    known = {
        "id": row["id"],
        "kind": "number" if paper else "replication",
        "source": row["source"],
        "place": row["place"],
        "statement": f"{condition}: {row['metric']}",
        "published": f"{row['value'].replace('<', '< ')}%",
        "direction": str(direction) if direction else "",
    }
    found = measured(row, tables, **options)
    if found is None:
        return Entry(**known, verdict=NOT_RUN)
    provenance = _provenance(tables)
    same_n = number in ("", str(found.n_classes)) or number.startswith(">=")
    agrees = _agrees(row["value"], found)
    as_stated = same_n and _full_scale(provenance) and as_many_drawings(row, found)
    lies_there = _holds(direction, row, found, tables, options) if direction else None
    if direction and lies_there is None:
        known["direction"] += " (not measured)"
    if lies_there is None and agrees and (paper or as_stated):
        # Compared with nothing, only the value itself can agree; a replication's at its own scale.
        lies_there = True
    verdict = judge(
        omniglot=provenance.data_source == "omniglot",
        as_stated=as_stated,
        agrees=agrees and found.models >= MODELS,
        direction=lies_there,
        same_n=same_n,
    )
    return Entry(
        **known,
        verdict=verdict,
        measured=f"{100 * found.value:.1f}%",
        interval=_interval(found.low, found.high),
        replicates=_replicates(found.n_classes, found.models, found.trajectories),
        n_classes=_text(found.n_classes),
        why=_why(
            row["id"],
            verdict,
            provenance,
            number,
            found.n_classes,
            few=found.models < MODELS,
            trained=_is_trained(row["treatment"]) and "random-weight" not in row["metric"],
        ),
    )


def _claim(claim: Claim, tables: Mapping[str, Table], options: dict) -> Entry:
    """Judge one claim in words."""
    known = {
        "id": claim.id,
        "kind": "claim",
        "source": "paper",
        "place": claim.place,
        "statement": claim.statement,
        "published": "",
    }
    found = finding(claim, tables, **options)
    if found is None:
        return Entry(**known, verdict=NOT_RUN)
    provenance = _provenance(tables)
    holds = found.margin.mean > 0
    same_n = claim.needs is None or found.n_classes >= claim.needs
    verdict = judge(
        omniglot=provenance.data_source == "omniglot",
        as_stated=same_n and _full_scale(provenance),
        agrees=holds and found.margin.low > 0 and found.models >= MODELS,
        direction=holds,
        same_n=same_n or claim.everywhere,
    )
    needs = "" if claim.needs is None else str(claim.needs)
    further = hardest_n(claim, found)
    return Entry(
        **known,
        verdict=verdict,
        measured=(
            f"margin {100 * found.margin.mean:+.1f} points ("
            f"{'hardest of the cases measured: ' * bool(further)}{found.text})"
        ),
        interval=_interval(found.margin.low, found.margin.high, sign="+"),
        replicates=_replicates(found.n_classes, found.margin.models, found.margin.trajectories),
        n_classes=("up to " if claim.everywhere else "")
        + _text(found.n_classes)
        + (f" to {further}" if further else ""),
        why=_why(
            claim.id,
            verdict,
            provenance,
            needs,
            found.n_classes,
            few=found.models < MODELS,
            **({"what": behind(claim, found, tables, options["optimizer"])} if further else {}),
        ),
    )


def _agrees(value: str, found: Measured) -> bool:
    """Return whether a measured value is the published one, or keeps the published bound."""
    percent = float(value.removeprefix("<"))
    if value.startswith("<"):
        return 100 * found.value < percent
    inside = 100 * found.low <= percent <= 100 * found.high
    return inside or abs(100 * found.value - percent) <= tolerance(percent)


def _holds(
    direction: Direction, row: pd.Series, found: Measured, tables: Mapping[str, Table], options
) -> bool | None:
    """Return whether the direction is the published one, at the N measured at; None if unknown."""
    there = {"n_classes": _text(found.n_classes)}
    other = measured({**row, **direction.other, **there}, tables, **options)
    if other is None or other.n_classes != found.n_classes:
        return None
    return found.value > other.value if direction.side == "above" else found.value < other.value


def _provenance(tables: Mapping[str, Table]) -> Provenance:
    """Where the results come from: the tables are one profile's, on one data source."""
    return next(iter(tables.values())).provenance


def _full_width(provenance: Provenance) -> bool:
    """Return whether the networks are as wide as the paper's."""
    return all(provenance.profile_values.get(name) == width for name, width in FULL_WIDTH.items())


def _full_scale(provenance: Provenance) -> bool:
    """Return whether the networks are as wide as the paper's and were meta-trained as long."""
    iterations = provenance.profile_values.get("meta_iterations", 0)
    return _full_width(provenance) and iterations >= META_ITERATIONS


def _why(
    known: str,
    verdict: str,
    provenance: Provenance,
    wanted: str,
    n_classes: int | None,
    *,
    few: bool,
    trained: bool = True,
    what: str = "All that it takes was",
) -> str:
    """Return what is known of why a row is not reproduced: the scale first, then the notes.

    `few`: over too few models; `trained`: its networks are trained before the meta-test; `what`
    was measured up to `n_classes` and not further.
    """
    if verdict == REPRODUCED:
        return ""
    iterations = provenance.profile_values.get("meta_iterations", META_ITERATIONS)
    reasons = {
        "Not measured on Omniglot.": provenance.data_source != "omniglot",
        f"{what} measured up to N = {n_classes}, not {wanted}.": (
            wanted.isdigit() and n_classes is not None and n_classes < int(wanted)
        ),
        f"Over fewer than {MODELS} models.": few,
        "Networks narrower than the paper's.": not _full_width(provenance),
        f"Trained for {iterations:,} iterations, not {META_ITERATIONS:,}.": (
            trained and iterations < META_ITERATIONS
        ),
        WHY.get(known, ""): known in WHY,
    }
    return " ".join(reason for reason, applies in reasons.items() if applies)


def _is_trained(treatment: str) -> bool:
    """Whether a treatment's networks are trained before the meta-test."""
    return find_training(find_treatment(treatment).training).procedure != "none"


def _interval(low: float, high: float, sign: str = "") -> str:
    """Return an interval in per cent or points; empty where there is none."""
    if math.isnan(low):
        return ""
    return f"[{100 * low:{sign}.1f},\N{NO-BREAK SPACE}{100 * high:{sign}.1f}]"


def _replicates(n_classes: int | None, models: int, trajectories: int) -> str:
    """Return the replicates in words; what has no N is measured of models alone."""
    return model_words(models) if n_classes is None else replicates(models, trajectories)


def _text(n_classes: int | None) -> str:
    return "" if n_classes is None else str(n_classes)
