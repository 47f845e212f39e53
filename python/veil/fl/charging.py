"""What a private run owes its ledger: the whole plan first, then each round before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from veil.errors import DataError

if TYPE_CHECKING:
    from veil.dp import Charge, Ledger
    from veil.fl.layout import Layout
    from veil.fl.protocols import Privacy
    from veil.fl.statement import PrivacyStatement

__all__ = ["Account", "check_protects", "require_ledger"]


@dataclass(frozen=True, slots=True)
class Account:
    """A run's entry in a ledger.

    Every round that is played is charged, also one that failed and is played again; so a ledger
    never shows fewer rounds than drew noise, whatever happened between.

    Parameters
    ----------
    ledger : Ledger
        Where the plan is reserved.
    one : Charge
        One round.
    """

    ledger: Ledger
    one: Charge

    @classmethod
    def open(
        cls,
        ledger: Ledger,
        privacy: Privacy,
        layout: Layout,
        *,
        label: str | None,
        needed: int | None = None,
    ) -> Account:
        """Reserve what the ledger does not hold already under the label.

        Parameters
        ----------
        ledger : Ledger
            Of the mechanism's unit and relation.
        privacy : Privacy
            The mechanism, and with it the plan.
        layout : Layout
            The model's layout.
        label : str or None
            Of the charges; None is the mechanism's name.
        needed : int, optional
            Rounds still to be played; by default all of the plan.

        Returns
        -------
        Account
            To be charged round by round.

        Raises
        ------
        DataError
            If the ledger protects another unit or has another relation.
        BudgetExceeded
            If the plan does not fit; nothing was drawn.
        """
        said = privacy.statement(layout, seeded=False)
        check_protects(ledger, said)
        plan = privacy.charge(layout, label=said.mechanism if label is None else label)
        missing = (plan.runs if needed is None else needed) - ledger.undrawn(plan)
        if missing > 0:
            ledger.reserve(plan.of(missing))
        return cls(ledger, plan.of(1))

    def charge_round(self) -> None:
        """Charge one round; call it before the round samples or draws anything.

        Raises
        ------
        BudgetExceeded
            If more rounds are played than were planned, and they do not fit.
        """
        self.ledger.charge(self.one.event, slack=self.one.slack, label=self.one.label)


def check_protects(ledger: Ledger, said: PrivacyStatement) -> None:
    """Refuse a ledger that accounts for something else than a mechanism claims.

    Parameters
    ----------
    ledger : Ledger
        The ledger.
    said : PrivacyStatement
        The mechanism's claim.

    Raises
    ------
    DataError
        If the ledger protects another unit or has another relation.
    """
    for name, own, theirs in (
        ("unit", said.unit, ledger.unit),
        ("relation", said.relation, ledger.relation),
    ):
        if own != theirs:
            raise DataError(
                f"ledger: expected the {name} {own!r} that the mechanism protects, got "
                f"{theirs!r}; open a ledger of that {name}"
            )


def require_ledger(privacy: Privacy | None, ledger: object) -> None:
    """Raise unless a private run, and no other, was given a ledger.

    Parameters
    ----------
    privacy : Privacy or None
        The mechanism.
    ledger : Ledger or None
        What the caller gave.

    Raises
    ------
    TypeError
        If a private run has no ledger.
    ValueError
        If a run without privacy has one: nothing of it would be charged.
    """
    if privacy is not None:
        from veil.dp._inputs import check_ledger

        check_ledger(ledger)
    elif ledger is not None:
        raise ValueError(
            "ledger: expected None for a run without privacy, of which nothing would be charged, "
            "got a Ledger; pass privacy= too"
        )
