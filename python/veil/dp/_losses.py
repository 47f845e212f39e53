"""Privacy loss distributions (PLD) of compositions, by dp-accounting, within bounded memory.

Pessimistic grids: of 1e-4; of 1e-3 where epsilon is above 20 or so, which is as exact there and ten
times cheaper; finer where the losses are smaller than that, which a grid of 1e-4 would overstate
many times. A grid takes 16 bytes per cell and direction while it is made.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from veil.dp._quiet import quiet
from veil.dp._renyi import FEW_ORDERS, renyi_epsilon
from veil.dp._translate import relation_of, translate
from veil.dp.events import Event

__all__ = [
    "fits",
    "forget",
    "interval_of",
    "least_delta",
    "loss_delta",
    "loss_epsilon",
    "losses_of",
]

# Never trusted below this, nor where rounding in the FFT, which grows with the number of runs,
# could hide a tenth of the mass that a PLD claims is not there (docs/design/accounting.md).
LEAST_DELTA = 1e-12
_ROUNDING = 2.0**-51
_LEAST_OVER_ROUNDING = 10.0
_FINE, _COARSE = 1e-4, 1e-3
# Beyond these a grid would not be made within a minute.
MOST_RATIO = 30.0
MOST_EPSILON = 300.0
MOST_RUNS = 2**18
_COARSE_FROM = 20.0
_COARSE_DELTA = 1e-6
_FINEST = 1e-12
_CELLS_PER_DEVIATION, _CELLS_PER_RUN = 2.0**12, 2.0**16
_MOST_CELLS_KEPT = 2**24


class _Kept:
    """Distributions made before, the latest of them, up to a number of cells in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._cells = 0

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was kept under a key, or make it."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key][0]
        made = make()
        cells = made._pmf_remove.size + made._pmf_add.size
        with self._lock:
            if key not in self._items:
                self._items[key] = made, cells
                self._cells += cells
            while self._cells > _MOST_CELLS_KEPT and self._items:
                self._cells -= self._items.popitem(last=False)[1][1]
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self._cells = 0


_KEPT = _Kept()


def forget() -> None:
    """Forget every distribution and figure."""
    _KEPT.clear()
    loss_epsilon.cache_clear()


def fits(merged: tuple[Event, ...], relation: str, delta: float) -> bool:
    """Say whether the composition's grid is small enough to be made; RDP tells, at few orders."""
    if sum(event.count for event in merged) > MOST_RUNS:
        return False
    if any(event.ratio > MOST_RATIO for event in merged):
        return False
    return _rough_epsilon(merged, relation, delta) <= MOST_EPSILON


def interval_of(merged: tuple[Event, ...], relation: str) -> float:
    """Return the step of a composition's grid."""
    if _rough_epsilon(merged, relation, _COARSE_DELTA) > _COARSE_FROM:
        return _COARSE
    deviation = math.sqrt(sum(event.count * _deviation(event) ** 2 for event in merged))
    most = max(_most_loss(event) for event in merged)
    wanted = max(deviation / _CELLS_PER_DEVIATION, most / _CELLS_PER_RUN)
    # In powers of two, so that few grids serve many compositions.
    step = _FINE
    while step / 2.0 >= wanted and step > _FINEST:
        step /= 2.0
    return step


def _deviation(event: Event) -> float:
    """Return about the standard deviation of one run's privacy loss, at most 1."""
    q, ratio = event.sampling_probability, min(event.ratio, 1.0)
    return q * math.sqrt(math.expm1(ratio * ratio)) if q < 1.0 else ratio


def _most_loss(event: Event) -> float:
    """Return about the largest loss on the grid of one run, ten deviations of the noise out."""
    if event.kind != "gaussian":
        return event.ratio
    unsampled = event.ratio * (10.0 + event.ratio / 2.0)
    q = event.sampling_probability
    return math.log1p(q * math.expm1(unsampled)) if unsampled < 700.0 else unsampled


def least_delta(merged: tuple[Event, ...]) -> float:
    """Return the least delta at which a composition's distribution is trusted."""
    return max(LEAST_DELTA, _LEAST_OVER_ROUNDING * _rounding(merged))


def _rounding(merged: tuple[Event, ...]) -> float:
    """Return a bound on what rounding takes from delta."""
    return _ROUNDING * (16.0 + sum(event.count for event in merged))


@lru_cache(maxsize=1024)
def _rough_epsilon(merged: tuple[Event, ...], relation: str, delta: float) -> float:
    # RDP knows no sampling under replace-one; of one sensitivity, add-or-remove-one is about alike.
    known = "add-or-remove-one" if relation == "replace-one" else relation
    plain = [replace(event, clip=None) for event in merged]
    return renyi_epsilon(plain, delta, known, FEW_ORDERS)


def losses_of(event: Event, relation: str, interval: float = _FINE) -> Any:
    """Return the distribution of one event, repeated as often as it says."""

    def make() -> Any:
        from dp_accounting.pld import PLDAccountant

        accountant = PLDAccountant(relation_of(relation), value_discretization_interval=interval)
        with quiet("pld"):
            accountant.compose(translate(event, "pld", relation), event.count)
        return accountant._pld

    return _KEPT.get((event, relation, interval), make)


def _composed(merged: tuple[Event, ...], relation: str, interval: float) -> Any:
    if len(merged) == 1:
        return losses_of(merged[0], relation, interval)

    def make() -> Any:
        composed = losses_of(merged[0], relation, interval)
        for event in merged[1:]:
            with quiet("pld"):
                composed = composed.compose(losses_of(event, relation, interval))
        return composed

    return _KEPT.get((merged, relation, interval), make)


@lru_cache(maxsize=1024)
def loss_epsilon(
    merged: tuple[Event, ...], delta: float, relation: str, interval: float | None = None
) -> float:
    """Return epsilon at delta of a composition that PLD supports."""
    step = interval_of(merged, relation) if interval is None else interval
    pld = _composed(merged, relation, step)
    with quiet("pld"):
        return float(pld.get_epsilon_for_delta(delta - _rounding(merged)))


def loss_delta(merged: tuple[Event, ...], epsilon: float, relation: str) -> float:
    """Return delta at epsilon of a composition that PLD supports, not below `least_delta`."""
    pld = _composed(merged, relation, interval_of(merged, relation))
    with quiet("pld"):
        found = float(pld.get_delta_for_epsilon(epsilon)) + _rounding(merged)
    return max(found, least_delta(merged))
