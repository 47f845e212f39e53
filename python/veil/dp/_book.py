"""The state of a ledger in memory: settings, charges, reservations, and what they add up to."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from veil._checks import real
from veil.dp import accounting
from veil.dp._filter import Filter, best_order, filter_budget
from veil.dp._translate import refusal
from veil.dp.events import Event, check_delta, check_positive, check_relation
from veil.errors import BudgetExceeded, LedgerError, UnsupportedEvent

__all__ = ["Book", "Charge", "Settings"]

MODES = ("adaptive", "planned")


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry of a plan or a ledger: an event under a label.

    Parameters
    ----------
    label : str
        What it is for; not empty.
    event : Event
        What is released.
    slack : float
        Total-variation distance of one run from what the event says.
    additive_delta : float
        Failure probability of one run by itself.
    """

    label: str
    event: Event
    slack: float = 0.0
    additive_delta: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.event, Event):
            raise TypeError(f"event: expected a veil.dp.Event, got {type(self.event).__name__}")
        if not isinstance(self.label, str) or not self.label:
            raise ValueError(f"label: expected a non-empty string, got {self.label!r}")
        check_delta("slack", self.slack, zero_allowed=True)
        check_delta("additive_delta", self.additive_delta, zero_allowed=True)

    @property
    def runs(self) -> int:
        """How many times the operation runs."""
        return self.event.count

    @property
    def operation(self) -> tuple[Any, ...]:
        """What must be equal for one charge to be a part of another."""
        return (self.label, self.event.one, self.slack, self.additive_delta)

    def of(self, runs: int) -> "Charge":
        """Return the same operation with another number of runs.

        Parameters
        ----------
        runs : int
            At least 1.

        Returns
        -------
        Charge
            The charge.
        """
        return Charge(self.label, self.event.one.repeat(runs), self.slack, self.additive_delta)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {**asdict(self), "event": self.event.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Charge":
        """Read what `to_dict` wrote; only the known fields."""
        if set(fields) != set(cls.__slots__):
            raise ValueError(f"charge: unexpected fields {sorted(map(str, fields))}")
        return cls(**{**fields, "event": Event.from_dict(fields["event"])})


@dataclass(frozen=True, slots=True)
class Settings:
    """What is fixed when a ledger opens."""

    epsilon: float
    delta: float
    unit: str
    relation: str
    mode: str
    additive_delta: float
    order: float
    population: str | None = None

    @classmethod
    def checked(
        cls,
        *,
        epsilon: float,
        delta: float,
        unit: str,
        relation: str,
        mode: str,
        additive_delta: float,
        order: float | None,
        population: str | None,
    ) -> "Settings":
        """Validate the arguments of a new ledger and choose the filter's order."""
        epsilon = check_positive("epsilon", epsilon)
        delta = check_delta("delta", delta)
        check_relation(relation)
        if mode not in MODES:
            raise ValueError(f"mode: expected 'adaptive' or 'planned', got {mode!r}")
        if not isinstance(unit, str) or not unit:
            raise ValueError(f"unit: expected a name such as 'patient', got {unit!r}")
        if population is not None and (not isinstance(population, str) or not population):
            raise ValueError(f"population: expected a name or None, got {population!r}")
        additive = check_delta("additive_delta", additive_delta, zero_allowed=True)
        if additive > 0.9 * delta:
            raise ValueError(
                f"additive_delta: expected at most 0.9 delta = {0.9 * delta:g}, got {additive:g}"
            )
        conversion = 0.99 * delta - additive
        order = best_order(epsilon, conversion) if order is None else real("order", order)
        if not order > 1.0 or not math.isfinite(order):
            raise ValueError(f"order: expected a finite number above 1, got {order!r}")
        if mode == "adaptive" and filter_budget(order, epsilon, conversion) <= 0.0:
            raise ValueError(
                f"epsilon, delta: no Renyi filter of order {order:g} reaches epsilon = {epsilon:g} "
                f"at delta = {delta:g}; use larger ones or mode='planned'"
            )
        return cls(epsilon, delta, unit, relation, mode, additive, order, population)

    @property
    def filter(self) -> Filter:
        """The Renyi filter of these settings."""
        return Filter(self.epsilon, self.delta, self.additive_delta, self.relation, self.order)


@dataclass(slots=True)
class _Reserved:
    """Items of one reservation; `left` counts the runs that are not yet drawn."""

    items: list[Charge]
    left: list[int]
    key: str | None = None
    open: bool = True

    def match(self, charge: Charge) -> int | None:
        """Return the index of an item that the charge is a part of."""
        for index, item in enumerate(self.items):
            if item.operation == charge.operation and self.left[index] >= charge.runs:
                return index
        return None

    def undrawn(self, wanted: Callable[[Charge], bool]) -> int:
        """Return the undrawn runs of the items that are wanted, while open."""
        pairs = zip(self.items, self.left, strict=True) if self.open else ()
        return sum(left for item, left in pairs if wanted(item))

    def commitments(self) -> Iterator[Charge]:
        """Yield what still counts: everything while open, what was drawn afterwards."""
        for item, left in zip(self.items, self.left, strict=True):
            runs = item.runs if self.open else item.runs - left
            if runs:
                yield item.of(runs)


@dataclass(slots=True)
class Book:
    """Charges and reservations under one set of settings."""

    settings: Settings
    direct: dict[tuple[Any, ...], Charge] = field(default_factory=dict)
    releases: int = 0
    reservations: list[_Reserved] = field(default_factory=list)
    divergence: float = 0.0
    slack: float = 0.0
    slack_cost: float = 0.0
    additive_delta: float = 0.0
    keys: dict[str, tuple[int, tuple[Any, ...]]] = field(default_factory=dict)

    # --- what would happen: no side effect, raises instead ---------------------------------------

    def admit_charge(self, charge: Charge) -> int | None:
        """Return the reservation that covers a charge, or None if the budget itself does."""
        # A plan that an earlier version took may hold what is known to be unsound by now.
        reason = refusal(charge.event, self.settings.relation)
        if reason is not None:
            raise UnsupportedEvent(reason)
        for number, reserved in enumerate(self.reservations):
            if reserved.open and reserved.match(charge) is not None:
                return number
        if self.settings.mode == "planned":
            raise BudgetExceeded(
                f"label {charge.label!r}: {charge.event} is not in the plan, or all of its runs "
                "are drawn; a planned ledger answers only what was reserved before the first answer"
            )
        self._admit_sum([charge])
        return None

    def admit_reservation(self, items: list[Charge]) -> None:
        """Raise unless a reservation fits."""
        if self.settings.mode == "adaptive":
            self._admit_sum(items)
            return
        if self.reservations:
            raise BudgetExceeded(
                "plan: this planned ledger has its plan already; adding to it after answers were "
                "seen needs mode='adaptive'"
            )
        spent = self._planned_epsilon(items)
        if spent > self.settings.epsilon:
            raise BudgetExceeded(
                f"plan: it spends epsilon = {spent:.6g} at delta = {self.settings.delta:g}, more "
                f"than the ledger's {self.settings.epsilon:g}; nothing was reserved"
            )

    def reserved_under(self, key: str | None, items: list[Charge]) -> int | None:
        """Return the reservation that was made under a key, or None."""
        for number, reserved in enumerate(self.reservations):
            if key is not None and reserved.key == key:
                if reserved.items != items:
                    raise LedgerError(
                        f"key {key!r}: another plan was reserved under it; use another key"
                    )
                return number
        return None

    def admit_draw(self, number: int, charge: Charge, key: str) -> bool:
        """Tell whether a run of a reservation is to be charged: not if its key was before."""
        if key in self.keys:
            if self.keys[key] != (number, charge.operation):
                raise LedgerError(f"key {key!r}: it was charged for something else")
            return False
        reserved = self.reservations[number]
        if not reserved.open or reserved.match(charge) is None:
            raise BudgetExceeded(
                f"label {charge.label!r}: all runs that were reserved for it are drawn, or were "
                "given back; nothing was released"
            )
        return True

    def admit_give_back(self) -> None:
        """Raise if this ledger gives nothing back."""
        if self.settings.mode == "planned":
            raise LedgerError("a planned ledger gives nothing back: its plan was fixed in advance")

    def _admit_sum(self, charges: list[Charge]) -> None:
        rule = self.settings.filter
        cost = math.fsum(rule.cost(c.event) * c.runs for c in charges)
        if self.divergence + cost > rule.budget:
            after = rule.epsilon_of(self.divergence + cost)
            raise BudgetExceeded(
                f"label {charges[0].label!r}: this would bring epsilon from "
                f"{rule.epsilon_of(self.divergence):.6g} to {after:.6g} at delta = "
                f"{self.settings.delta:g}, above the ledger's {self.settings.epsilon:g} (Renyi "
                f"filter of order {rule.order:g}); nothing was released"
            )
        slack = self.slack_cost + math.fsum(
            rule.slack_cost(c.event, c.slack) * c.runs for c in charges
        )
        if slack > rule.slack_budget:
            raise BudgetExceeded(
                f"label {charges[0].label!r}: slack, the distance of what the samplers draw from "
                f"what their events say, would cost {slack:.3g} of delta = "
                f"{self.settings.delta:g}, above the hundredth kept for it; ask for releases of a "
                "smaller epsilon each, or open a ledger of a larger delta; nothing was released"
            )
        additive = self.additive_delta + math.fsum(c.additive_delta * c.runs for c in charges)
        if additive > self.settings.additive_delta:
            raise BudgetExceeded(
                f"label {charges[0].label!r}: releases with a failure probability of their own "
                f"would sum to {additive:.3g}, above the {self.settings.additive_delta:.3g} set "
                "aside by additive_delta= when the ledger opened; nothing was released"
            )

    def _planned_epsilon(self, items: list[Charge]) -> float:
        settings = self.settings
        slack = math.fsum(c.slack * c.runs for c in items)
        additive = math.fsum(c.additive_delta * c.runs for c in items)
        if additive >= settings.delta:
            raise BudgetExceeded(
                f"plan: failure probabilities sum to {additive:.3g}, not below delta = "
                f"{settings.delta:g}; nothing was reserved"
            )
        return accounting.epsilon(
            [c.event for c in items],
            delta=settings.delta,
            relation=settings.relation,
            slack=slack,
            additive_delta=additive,
        )

    # --- what did happen -------------------------------------------------------------------------

    def add_charge(self, charge: Charge, reservation: int | None, key: str | None = None) -> None:
        """Enter an admitted charge."""
        if reservation is None:
            self._add_sum([charge], 1)
            before = self.direct.get(charge.operation)
            runs = charge.runs + (before.runs if before else 0)
            self.direct[charge.operation] = charge.of(runs)
        else:
            reserved = self.reservations[reservation]
            index = reserved.match(charge)
            if index is None or not reserved.open:
                raise ValueError(f"charge {charge.label!r} is not covered by its reservation")
            reserved.left[index] -= charge.runs
            if key is not None:
                self.keys[key] = (reservation, charge.operation)
        self.releases += 1

    def add_reservation(self, items: list[Charge], key: str | None = None) -> int:
        """Enter an admitted reservation and return its number."""
        self.reservations.append(_Reserved(items, [item.runs for item in items], key))
        self._add_sum(items, 1)
        return len(self.reservations) - 1

    def close_reservation(self, number: int) -> None:
        """Give back the runs of a reservation that were not drawn."""
        reserved = self.reservations[number]
        if not reserved.open:
            return
        reserved.open = False
        left = [item.of(n) for item, n in zip(reserved.items, reserved.left, strict=True) if n]
        self._add_sum(left, -1)

    def _add_sum(self, charges: list[Charge], sign: int) -> None:
        if self.settings.mode == "adaptive":
            rule = self.settings.filter
            self.divergence += sign * math.fsum(rule.cost(c.event) * c.runs for c in charges)
            self.slack_cost += sign * math.fsum(
                rule.slack_cost(c.event, c.slack) * c.runs for c in charges
            )
        self.slack += sign * math.fsum(c.slack * c.runs for c in charges)
        self.additive_delta += sign * math.fsum(c.additive_delta * c.runs for c in charges)

    def commitments(self) -> list[Charge]:
        """Return every charge that counts: drawn, or reserved and not given back."""
        covered = (c for reserved in self.reservations for c in reserved.commitments())
        return [*self.direct.values(), *covered]

    def undrawn(self, wanted: Callable[[Charge], bool]) -> int:
        """Return the undrawn runs of the items that are wanted, in open reservations."""
        return sum(reserved.undrawn(wanted) for reserved in self.reservations)

    def epsilon_if_fixed(self, commitments: list[Charge]) -> float:
        """Return epsilon as if these events had been fixed in advance."""
        return self._planned_epsilon(commitments) if commitments else 0.0
