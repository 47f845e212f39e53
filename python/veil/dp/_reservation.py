"""A plan that a ledger has set aside, and its draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veil.dp._book import Charge

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger

__all__ = ["Reservation", "check_key"]

_LONGEST_KEY = 200


class Reservation:
    """A plan that a ledger has set aside; made by `Ledger.reserve`.

    As a context manager it does nothing by itself on leaving: what was not drawn stays charged
    unless `give_back` is called.

    Parameters
    ----------
    ledger : Ledger
        Where the plan is reserved.
    number : int
        Which of its reservations.
    """

    def __init__(self, ledger: Ledger, number: int) -> None:
        self._ledger = ledger
        self._number = number

    def draw(self, item: Charge, *, key: str) -> bool:
        """Charge one release to this reservation, once for its key.

        For a release that may be interrupted and made again: whoever repeats it under its key is
        not charged twice. The caller sees to it that of all attempts under one key at most one
        leaves, so a key must not be the choice of whoever receives the release.

        Parameters
        ----------
        item : Charge
            Label, event, slack and additive delta of an item of the plan, with the runs to draw.
        key : str
            Names the release, in this ledger, for all time.

        Returns
        -------
        bool
            True if it was charged now, False if it was charged under this key before.

        Raises
        ------
        BudgetExceeded
            If so many runs of it are not left in this reservation; the rest of the ledger's budget
            is not used for it.
        LedgerError
            If the key was charged for something else, or the file cannot be read, trusted, locked
            or written.
        ValueError
            If the key is no string of 1 to 200 characters.
        """
        return self._ledger._draw(self._number, item, check_key(key))

    def left(self, item: Charge) -> int:
        """Return how many runs of an item of this reservation are not yet drawn.

        Parameters
        ----------
        item : Charge
            Label, event, slack and additive delta; its number of runs does not count.

        Returns
        -------
        int
            0 if the rest was given back.

        Raises
        ------
        LedgerError
            If the file cannot be read or trusted.
        """
        return self._ledger._left(self._number, item)

    def give_back(self) -> None:
        """Return the runs that were not drawn to the budget.

        Allowed only if the decision to stop used public data or private releases alone; stopping
        on a private metric that was not released forfeits the rest.

        Raises
        ------
        LedgerError
            In planned mode, or if the file cannot be read, trusted, locked or written.
        """
        self._ledger._give_back(self._number)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def check_key(key: str) -> str:
    """Return a key of 1 to 200 characters, or raise ValueError."""
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise ValueError(f"key: expected a string of 1 to {_LONGEST_KEY} characters, got {key!r}")
    return key
