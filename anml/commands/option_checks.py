"""What options may be: refused in one line before anything is loaded or computed."""

import argparse
from math import inf, isfinite

from anml.errors import AnmlError

LARGEST_SEED = 999_999_999
"""Of a model; NumPy and torch take larger ones, but not without end."""


def require(value: float | None, option: str, low: float, high: float = inf) -> None:
    """Refuse an option's value outside `low` to `high`; None stands for a default."""
    if value is not None and not (low <= value <= high and value < inf):
        allowed = f"{low:,.10g} to {high:,.10g}" if isfinite(high) else f"{low:,.10g} or more"
        raise AnmlError(f"{option} {value}: allowed is {allowed}")


def refuse_beside(args: argparse.Namespace, option: str, *unheeded: str) -> None:
    """Refuse the options `unheeded` beside `option`, which would do as if they were not there.

    Raises:
        AnmlError: `option` is given, and one of them.
    """

    def given(name: str) -> bool:
        return getattr(args, name.removeprefix("--")) not in (None, False, [])

    others = [name for name in unheeded if given(name)]
    if given(option) and others:
        raise AnmlError(
            f"{option} does not heed {' and '.join(others)}: leave out {option} or {others[0]}"
        )
