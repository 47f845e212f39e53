"""What a ledger reports: the binding figure, and the same per label."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from veil.dp._book import Book, Charge

__all__ = ["Spent", "spent_of"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a ledger has committed so far.

    Parameters
    ----------
    epsilon : float
        The figure that binds: by the Renyi filter in adaptive mode, by the least supporting
        accountant of the whole plan in planned mode.
    delta : float
        The delta it holds at; the ledger's own.
    accountant : str
        Where `epsilon` comes from.
    releases : int
        Number of charges.
    slack, additive_delta : float
        Sums over all runs, drawn or reserved.
    unit, relation, mode : str
        The ledger's.
    by_label : tuple of (str, float, int)
        Label, epsilon of its runs alone, number of runs.
    """

    epsilon: float
    delta: float
    accountant: str
    releases: int
    slack: float
    additive_delta: float
    unit: str
    relation: str
    mode: str
    by_label: tuple[tuple[str, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {**asdict(self), "by_label": [list(row) for row in self.by_label]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Spent":
        """Read what `to_dict` wrote."""
        rows = tuple((str(a), float(b), int(c)) for a, b, c in values["by_label"])
        return cls(**{**values, "by_label": rows})


def spent_of(book: Book) -> Spent:
    """Return what a book has committed."""
    commitments = book.commitments()
    epsilon, accountant = _binding(book)
    labels = dict.fromkeys(c.label for c in commitments)
    return Spent(
        epsilon=epsilon(commitments),
        delta=book.settings.delta,
        accountant=accountant,
        releases=book.releases,
        slack=book.slack,
        additive_delta=book.additive_delta,
        unit=book.settings.unit,
        relation=book.settings.relation,
        mode=book.settings.mode,
        by_label=tuple(_row(label, commitments, epsilon) for label in labels),
    )


def _binding(book: Book) -> tuple[Callable[[list[Charge]], float], str]:
    """Return the function that turns charges into the figure that binds, and its name."""
    if book.settings.mode == "planned":
        return book.epsilon_if_fixed, "best of closed form, PLD and RDP, plan fixed in advance"
    rule = book.settings.filter

    def filtered(charges: list[Charge]) -> float:
        return rule.epsilon_of(math.fsum(rule.cost(c.event) * c.runs for c in charges))

    return filtered, f"Renyi filter of order {rule.order:g}"


def _row(
    label: str, commitments: list[Charge], epsilon: Callable[[list[Charge]], float]
) -> tuple[str, float, int]:
    own = [c for c in commitments if c.label == label]
    return label, epsilon(own), sum(c.runs for c in own)
