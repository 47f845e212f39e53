"""A site's own account of a private run: who is to be protected counts the rounds.

A server that keeps the only ledger may start as many runs as it likes, each with a fresh one; an
honest server does so when it is restarted without its checkpoint. So a site reserves all rounds of
a mechanism once for all, charges one before each sample, and stops when they are spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from veil.errors import DataError
from veil.fl.charging import check_protects
from veil.fl.layout import Entry, Layout

if TYPE_CHECKING:
    from veil.dp import Charge, Ledger, Reservation
    from veil.fl.privacy import CentralDP, DistributedDP

__all__ = ["SiteAccount"]


@dataclass(frozen=True, slots=True)
class SiteAccount:
    """A mechanism's rounds in the ledger of one site.

    Parameters
    ----------
    reservation : Reservation
        All rounds.
    one : Charge
        One round.
    """

    reservation: Reservation
    one: Charge

    @classmethod
    def open(
        cls, ledger: Ledger, privacy: CentralDP | DistributedDP, *, size: int, label: str
    ) -> SiteAccount:
        """Reserve all rounds of the mechanism, unless they are reserved under the label already.

        Parameters
        ----------
        ledger : Ledger
            Of the mechanism's unit and relation, with delta below one over the number of units.
        privacy : CentralDP or DistributedDP
            The mechanism.
        size : int
            Values of the model.
        label : str
            Names the run and what it is charged under. Another run of the same mechanism on the
            same patients needs another label, and budget for it.

        Returns
        -------
        SiteAccount
            To be charged session by session.

        Raises
        ------
        DataError
            If the ledger protects another unit, has another relation, or its delta is too large
            for so many units: it was opened for others.
        BudgetExceeded
            If the rounds do not fit; nothing was reserved.
        LedgerError
            If the file cannot be read, trusted, locked or written, or the label is that of another
            plan.
        """
        layout = Layout((Entry("model", (size,), "float64"),))
        check_protects(ledger, privacy.statement(layout, seeded=False))
        _check_delta(ledger, privacy)
        plan = privacy.charge(layout, label=label)
        return cls(ledger.reserve(plan, key=label), plan.of(1))

    @property
    def left(self) -> int:
        """Rounds that may still be answered."""
        return self.reservation.left(self.one)

    def charge(self, session: str) -> bool:
        """Charge one round; call it before the round samples or draws anything.

        Parameters
        ----------
        session : str
            Names the session, and is never of the server's making alone: the same session costs
            once, and the caller lets one answer to it leave at most.

        Returns
        -------
        bool
            False if this session was charged before: the request came again.

        Raises
        ------
        BudgetExceeded
            If all rounds are spent.
        LedgerError
            If the file cannot be read, trusted, locked or written.
        """
        return self.reservation.draw(self.one, key=session)


def _check_delta(ledger: Ledger, privacy: CentralDP | DistributedDP) -> None:
    units = getattr(privacy, "sites" if privacy.unit == "site" else "population")
    delta = ledger.settings.delta
    if not delta < 1 / units:
        raise DataError(
            f"ledger: expected a delta below 1/n with n = {units} {privacy.unit}s, got {delta:g}; "
            "it was opened for another population"
        )
