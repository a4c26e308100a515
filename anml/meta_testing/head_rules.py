"""Other ways to treat the head at meta-test than the paper's, and the rates each is tried with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """How a meta-test treats the head beside learning it; by default as the paper does.

    `from_zero`: it starts from zeros, instead of being drawn anew. `hold_unmet`: with Adam, the
    rows of classes that have not come yet stay as they started, and so do those of outputs that no
    class of the run has.
    """

    from_zero: bool = False
    hold_unmet: bool = False


PAPERS_HEAD = Head()


@dataclass(frozen=True)
class HeadRule:
    """One way to learn the head, and the rates that it is tried with."""

    name: str
    optimizer: str
    head: Head
    rates: tuple[float, ...]


_ADAM = (1e-4, 3e-4, 1e-3, 3e-3)
_SGD = (1e-3, 3e-3, 1e-2, 3e-2)
HEAD_RULES = {
    rule.name: rule
    for rule in (
        HeadRule("Adam", "adam", PAPERS_HEAD, _ADAM),
        HeadRule("Adam, rows to come held", "adam", Head(hold_unmet=True), _ADAM),
        HeadRule("Adam, head from zero", "adam", Head(from_zero=True), _ADAM),
        HeadRule("SGD", "sgd", PAPERS_HEAD, _SGD),
    )
}
"""The first is how everything else here is meta-tested."""
