"""On which side of what each published number lies: what holds of it at another scale too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Direction:
    """On which side of what a published number lies: its row with `other` in place of its own."""

    side: str  # 'above' or 'below'
    other: Mapping[str, str]  # column to value

    def __str__(self) -> str:
        """Return the direction in words: `above OML-OLFT`."""
        return f"{self.side} {', '.join(self.other.values())}"


def _above(**other: str) -> Direction:
    return Direction("above", other)


def _below(**other: str) -> Direction:
    return Direction("below", other)


DIRECTIONS: dict[str, Direction] = {
    "anml_600": _above(treatment="OML-OLFT"),
    "oml_600": _below(treatment="OML-OLFT"),
    "olft_600": _above(treatment="OML"),
    "anml_oracle_600": _above(regime="sequential"),
    "anml_drop_600": _below(treatment="OML-OLFT"),
    "olft_drop_600": _below(treatment="OML"),
    "oml_drop_600": _above(treatment="OML-OLFT"),
    "pretrain_drop_600": _above(treatment="OML"),
    "scratch_drop_600": _above(treatment="OML"),
    "scratch_train_50up": _below(treatment="OML"),
    "pretrain_train_400up": _below(treatment="OML"),
    "above_chance_anml": _above(treatment="OML"),
    "above_chance_oml": _below(treatment="ANML"),
    "scratch_20ep": _above(treatment="Pretrain & Transfer"),
    "scratch_20ep_training": _above(regime="oracle"),
    "pretrain_20ep": _below(treatment="ANML"),
    "pretrain_20ep_training": _above(regime="oracle"),
    "anml_20ep": _above(treatment="Pretrain & Transfer"),
    "active_oml": _below(treatment="ANML", metric="units active before the gate"),
    "knn_nm": _above(metric="kNN accuracy of the latent before the gate"),
    "knn_nm_random": _below(metric="kNN accuracy of NM activations"),
    "knn_before": _below(metric="kNN accuracy of the latent after the gate"),
    "knn_after": _above(metric="kNN accuracy of the latent before the gate"),
    "anml_ft_pln": _below(treatment="ANML"),
    "anml_ft_pln_nm": _below(treatment="ANML-FT:PLN"),
    "oml_ft_rln": _below(treatment="OML"),
    "oml_unlimited": _below(treatment="OML"),
}
"""Of the paper's numbers. The dead units, and the active ones around the gate, have none: a gate
leaves fewer active than there were, whatever it learned. There only the value itself can agree."""
