"""The privacy ledger: charges come before noise, and a refused charge releases nothing."""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from veil.dp._book import Book, Charge, Settings
from veil.dp._journal import FORMAT, Journal
from veil.dp._replay import applied
from veil.dp._reservation import Reservation, check_key
from veil.dp._spent import Spent, spent_of
from veil.dp.events import Event, check_count
from veil.errors import LedgerError

__all__ = ["Ledger", "Reservation"]

Plan = Event | Charge | Iterable[Charge]


class Ledger:
    """A privacy budget, and every release that was charged to it.

    The releases charged here, taken together, are (epsilon, delta)-DP for the unit and relation
    given: in adaptive mode also when each query was chosen after seeing earlier answers.

    Parameters
    ----------
    epsilon : float
        Total budget, above 0.
    delta : float
        Total probability of failure, in (0, 1); below one over the number of units.
    unit : str
        Whose contribution is protected, for example ``"patient"``; stated in every release.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.
    mode : {"adaptive", "planned"}
        ``"adaptive"``: any query at any time, admitted by a Renyi filter of one order that is fixed
        now. ``"planned"``: `reserve` takes the whole list first, accounted by PLD; nothing else is
        answered.
    path : path-like, optional
        Makes the ledger durable: an append-only file, synced before each release, safe with
        several processes. An existing file must hold the same settings.
    additive_delta : float
        Part of `delta` set aside in adaptive mode for releases that have a failure probability of
        their own, such as histograms with unknown bins.
    order : float, optional
        Order of the Renyi filter; by default the one that admits most Gaussian noise.
    lock_timeout : float
        Seconds to wait for another process that holds the file.
    population : str, optional
        Name of those whose releases are charged here, such as a hospital's; a release about others
        is refused where that is known.

    Raises
    ------
    ValueError
        If an argument is out of range.
    LedgerError
        If the file cannot be created, read, trusted or locked, or holds other settings.

    Notes
    -----
    A charge in memory takes well below 1 ms; with `path` it waits for the disk. Thread-safe.
    An in-memory ledger refuses to be used in another process, copied or pickled: two copies would
    each grant the whole budget.

    References
    ----------
    Feldman and Zrnic 2021, arXiv 2008.11193. Canonne, Kamath and Steinke 2020, arXiv 2004.00010.

    Examples
    --------
    >>> ledger = veil.dp.Ledger(epsilon=1.0, delta=1e-6, unit="patient",
    ...                         relation="add-or-remove-one", mode="adaptive")
    >>> ledger.charge(veil.dp.Event.pure(epsilon=0.1), label="count")
    >>> ledger.spent().releases
    1
    """

    def __init__(
        self,
        *,
        epsilon: float,
        delta: float,
        unit: str,
        relation: str,
        mode: str,
        path: str | os.PathLike[str] | None = None,
        additive_delta: float = 0.0,
        order: float | None = None,
        lock_timeout: float = 10.0,
        population: str | None = None,
    ) -> None:
        settings = Settings.checked(
            epsilon=epsilon,
            delta=delta,
            unit=unit,
            relation=relation,
            mode=mode,
            additive_delta=additive_delta,
            order=order,
            population=population,
        )
        self._start(None if path is None else Path(path), lock_timeout)
        if self._journal is None:
            self._book: Book | None = Book(settings)
            return
        self._journal.create({"type": "open", "format": FORMAT, **_now(), **asdict(settings)})
        with self._updated() as book:
            if book.settings != settings:
                raise LedgerError(
                    f"{path}: holds a ledger of other settings: {book.settings}; expected "
                    f"{settings}"
                )

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, lock_timeout: float = 10.0) -> "Ledger":
        """Open an existing ledger file with the settings it holds.

        Parameters
        ----------
        path : path-like
            The file.
        lock_timeout : float
            Seconds to wait for another process that holds the file.

        Returns
        -------
        Ledger
            The ledger, with everything that was charged.

        Raises
        ------
        LedgerError
            If the file is missing, edited, of a newer version or locked.
        """
        self = cls.__new__(cls)
        self._start(Path(path), lock_timeout)
        with self._updated():
            return self

    def _start(self, path: Path | None, lock_timeout: float) -> None:
        self._guard = threading.RLock()
        self._process = os.getpid()
        self._journal = None if path is None else Journal(path, lock_timeout)
        self._book = None
        self._unreadable: str | None = None

    # --- properties ------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """Budget, unit, relation, mode and the filter's order."""
        assert self._book is not None
        return self._book.settings

    @property
    def unit(self) -> str:
        """Whose contribution is protected."""
        return self.settings.unit

    @property
    def relation(self) -> str:
        """Which data sets are neighbours."""
        return self.settings.relation

    @property
    def path(self) -> Path | None:
        """The ledger's file, or None."""
        return None if self._journal is None else self._journal.path

    @property
    def head(self) -> str | None:
        """Hash of the last record in hexadecimal; keep it elsewhere. None in memory."""
        if self._journal is None:
            return None
        with self._updated():
            return self._journal.head.hex()

    # --- charging --------------------------------------------------------------------------------

    def charge(
        self,
        event: Event,
        *,
        count: int = 1,
        slack: float = 0.0,
        label: str,
        additive_delta: float = 0.0,
    ) -> None:
        """Charge an event, or raise and leave everything as it was.

        When this returns, the charge is counted (and on disk, if the ledger has a path); draw the
        noise after it. A charge that a reservation covers, by label and event, uses that.

        Parameters
        ----------
        event : Event
            What is about to be released.
        count : int
            How many times; multiplies the event's own count.
        slack : float
            Total-variation distance of one run from what the event says.
        label : str
            What it is for; `spent` sums by it.
        additive_delta : float
            Failure probability of one run by itself.

        Raises
        ------
        BudgetExceeded
            If it does not fit in what is left, or in planned mode is not in the plan.
        UnsupportedEvent
            If no accountant of this ledger supports the event.
        LedgerError
            If the file cannot be read, trusted, locked or written.
        TypeError, ValueError
            If an argument is wrong.
        """
        check_count("count", count)
        if not isinstance(event, Event):
            raise TypeError(f"event: expected a veil.dp.Event, got {type(event).__name__}")
        charge = Charge(label, event.repeat(count), float(slack), float(additive_delta))
        with self._updated() as book:
            reservation = book.admit_charge(charge)
            self._write({"type": "charge", "reservation": reservation, "charge": charge.to_dict()})
            book.add_charge(charge, reservation)

    def reserve(
        self, plan: Plan, *, label: str | None = None, key: str | None = None
    ) -> Reservation:
        """Charge a whole plan at once, to be drawn later.

        In adaptive mode the plan counts as spent from now on. In planned mode this is the plan:
        one call, before the first release.

        Parameters
        ----------
        plan : Event, Charge or iterable of Charge
            A single event needs `label`. `Charge` is ``veil.dp.Charge(label, event, slack,
            additive_delta)``; mechanisms and queries make them.
        label : str, optional
            Label of a single event.
        key : str, optional
            Names the reservation: the same plan under the same key is reserved once, whoever asks
            again and in whatever process.

        Returns
        -------
        Reservation
            Its `give_back` returns what was not drawn (adaptive mode).

        Raises
        ------
        BudgetExceeded
            If the plan does not fit, or a planned ledger has a plan already.
        UnsupportedEvent
            If no accountant of this ledger supports every event.
        LedgerError
            If the file cannot be read, trusted, locked or written, or another plan has the key.
        TypeError, ValueError
            If the plan is empty or an item is wrong.
        """
        items = _items(plan, label)
        keyed = {} if key is None else {"key": check_key(key)}
        with self._updated() as book:
            found = book.reserved_under(key, items)
            if found is not None:
                return Reservation(self, found)
            book.admit_reservation(items)
            self._write({"type": "reserve", "items": [i.to_dict() for i in items], **keyed})
            return Reservation(self, book.add_reservation(items, key))

    def _draw(self, number: int, charge: Charge, key: str) -> bool:
        with self._updated() as book:
            if not book.admit_draw(number, charge, key):
                return False
            body = {"type": "charge", "reservation": number, "charge": charge.to_dict()}
            self._write({**body, "key": key})
            book.add_charge(charge, number, key)
            return True

    def _left(self, number: int, item: Charge) -> int:
        with self._updated() as book:
            return book.reservations[number].undrawn(lambda own: own.operation == item.operation)

    def _give_back(self, number: int) -> None:
        with self._updated() as book:
            book.admit_give_back()
            self._write({"type": "give-back", "reservation": number})
            book.close_reservation(number)

    # --- reporting -------------------------------------------------------------------------------

    def spent(self) -> Spent:
        """Return what is committed: drawn, or reserved and not given back.

        Returns
        -------
        Spent
            The binding epsilon, and epsilon per label.

        Raises
        ------
        UnsupportedEvent
            If the plan, taken by an earlier version, holds an event that is known to be unsound.
        LedgerError
            If the file cannot be read or trusted.
        """
        with self._updated() as book:
            return spent_of(book)

    def epsilon_if_fixed(self) -> float:
        """Return epsilon as if these queries had been fixed in advance.

        Returns
        -------
        float
            By the least accountant that supports every event. For an adaptive ledger this is not
            what binds: the queries may have depended on the answers.

        Raises
        ------
        UnsupportedEvent
            If no one accountant supports every event.
        LedgerError
            If the file cannot be read or trusted.
        """
        with self._updated() as book:
            return book.epsilon_if_fixed(book.commitments())

    def remaining(self, event: Event) -> int:
        """Return how many more times an event could be charged now.

        Parameters
        ----------
        event : Event
            The event, with its own count.

        Returns
        -------
        int
            In adaptive mode by the filter, without slack; in planned mode the undrawn runs of this
            event under any label.

        Raises
        ------
        UnsupportedEvent
            If RDP does not support the event under the relation (adaptive mode).
        LedgerError
            If the file cannot be read or trusted.
        """
        with self._updated() as book:
            if book.settings.mode == "planned":
                wanted = Charge("any", event).operation[1]
                return book.undrawn(lambda item: item.operation[1] == wanted) // event.count
            rule = book.settings.filter
            cost = rule.cost(event) * event.count
            times = max(0, math.floor((rule.budget - book.divergence) / cost))
            while times and book.divergence + times * cost > rule.budget:
                times -= 1
            return times

    def undrawn(self, item: Charge) -> int:
        """Return how many runs of an item are reserved and not yet drawn.

        Parameters
        ----------
        item : Charge
            Label, event, slack and additive delta; its number of runs does not count.

        Returns
        -------
        int
            Over all open reservations: so many charges of it cost nothing more.

        Raises
        ------
        LedgerError
            If the file cannot be read or trusted.
        """
        with self._updated() as book:
            return book.undrawn(lambda reserved: reserved.operation == item.operation)

    def __repr__(self) -> str:
        s = self.settings
        where = "" if self.path is None else f", path={str(self.path)!r}"
        return (
            f"Ledger(epsilon={s.epsilon:g}, delta={s.delta:g}, unit={s.unit!r}, "
            f"relation={s.relation!r}, mode={s.mode!r}{where})"
        )

    def __reduce__(self) -> tuple[Callable[..., "Ledger"], tuple[Path]]:
        if self._journal is None:
            raise TypeError(
                "an in-memory Ledger cannot be copied or pickled: each copy would grant the whole "
                "budget; give it a path="
            )
        return Ledger.open, (self._journal.path,)

    # --- state -----------------------------------------------------------------------------------

    @contextmanager
    def _updated(self) -> Iterator[Book]:
        """Hold the ledger exclusively, brought up to date with its file."""
        with self._guard, nullcontext() if self._journal is None else self._journal.locked():
            yield self._catch_up()

    def _write(self, body: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.append({**_now(), **body})

    def _catch_up(self) -> Book:
        """Apply what other processes wrote; the file is locked."""
        if self._journal is None:
            if os.getpid() != self._process:
                raise LedgerError(
                    "an in-memory Ledger does not cross processes: each would grant the whole "
                    "budget; give it a path="
                )
        else:
            self._read_on(self._journal)
        assert self._book is not None
        return self._book

    def _read_on(self, journal: Journal) -> None:
        if self._unreadable is not None:
            raise LedgerError(self._unreadable)
        bodies = journal.news()
        try:
            for body in bodies:
                self._book = applied(self._book, body, journal.path)
        except LedgerError as error:
            # The journal is past these records: without this the next charge would not count them.
            self._unreadable = str(error)
            raise


def _now() -> dict[str, str]:
    return {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}


def _items(plan: Plan, label: str | None) -> list[Charge]:
    if isinstance(plan, Event):
        if label is None:
            raise ValueError("label: expected a name for the event, got None")
        return [Charge(label, plan)]
    items = [plan] if isinstance(plan, Charge) else list(plan)
    for item in items:
        if not isinstance(item, Charge):
            raise TypeError(
                f"plan: expected veil.dp.Charge items, got {type(item).__name__}; a single Event "
                "needs label="
            )
    if not items:
        raise ValueError("plan: expected at least one item, got none")
    return items
