"""How far a claim about several treatments was measured, where that is not equally far for all."""

from __future__ import annotations

from collections.abc import Mapping

from anml.findings.claim_tests import Finding
from anml.findings.qualitative import Claim
from anml.results import Table


def hardest_n(claim: Claim, found: Finding) -> int | None:
    """Return the N of a claim's hardest case where another case was measured less far; else None.

    None for claims about every N, too, which name the longest that they reach alone.
    """
    return None if claim.everywhere or found.at == found.n_classes else found.at


def behind(claim: Claim, found: Finding, tables: Mapping[str, Table], optimizer: str) -> str:
    """Return what of a claim was measured no further than `found` says: 'Scratch (oracle) was'."""
    given = getattr(claim.test, "keywords", {})
    sides = [given[name] for name in ("first", "than") if name in given]
    sides += [side for name in ("others", "sides") for side in given.get(name, ())]
    frame = tables["meta_test"].frame
    own = frame[frame["optimizer"] == optimizer]
    reached = own.groupby(["treatment", "regime"])["n_classes"].max()
    names = [
        side[0] if side[1] == "sequential" else f"{side[0]} ({side[1]})"
        for side in dict.fromkeys(sides)
        if reached.get(side) == found.n_classes
    ]
    return " and ".join(names or ["A part of what it takes"]) + (" were" if names[1:] else " was")
