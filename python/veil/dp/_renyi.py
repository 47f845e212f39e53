"""Renyi divergences of events, by dp-accounting, with a margin for its floating point."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from veil.dp._quiet import quiet
from veil.dp._translate import PURE_KINDS, SKELLAM_MOST_ORDER, relation_of, translate
from veil.dp.events import Event

__all__ = ["FEW_ORDERS", "renyi_delta", "renyi_epsilon", "renyi_values"]

FEW_ORDERS = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
# A sampled Gaussian's divergence is the logarithm of a sum near 1, which loses what is smaller than
# this: the library may say 0, and so epsilon = 0, of a mechanism that is not private at all. Its
# error is below 6e-15 at every order used (tests/unit/dp/test_divergences.py).
_MARGIN = 1e-13


def renyi_values(merged: Iterable[Event], orders: Sequence[float], relation: str) -> Any:
    """Return the composition's Renyi divergence at each order, or None if RDP has no event.

    It is infinite at orders for which an event's bound says nothing.
    """
    from dp_accounting.rdp import RdpAccountant

    total = np.zeros(len(orders))
    for event in merged:
        translated = translate(event, "rdp", relation)
        if translated is None:
            return None
        # What a pure event becomes knows one relation, and stands for any.
        own = "replace-one" if event.kind in PURE_KINDS else relation
        accountant = RdpAccountant(orders, relation_of(own))
        with quiet("rdp"):
            accountant.compose(translated, event.count)
            values = np.nan_to_num(accountant.rdp, nan=np.inf)
            if event.sampling_probability < 1.0:
                values = np.maximum(values, 0.0) + event.count * _MARGIN
            total += np.where(_known(event, np.asarray(orders)), values, np.inf)
    return total


def _known(event: Event, orders: Any) -> Any:
    """Say at which orders an event's divergence is known; Skellam's bound holds at whole ones."""
    if event.kind != "skellam":
        return np.ones(orders.shape, np.bool_)
    return (orders == np.floor(orders)) & (orders >= 2) & (orders <= SKELLAM_MOST_ORDER)


@lru_cache(maxsize=1)
def _orders() -> tuple[float, ...]:
    """Return dp-accounting's default orders and larger ones, for small epsilon."""
    from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS

    return (*DEFAULT_RDP_ORDERS, 2048, 4096)


@lru_cache(maxsize=256)
def _values_of(event: Event, relation: str) -> Any:
    return renyi_values((event,), _orders(), relation)


def renyi_epsilon(
    merged: Sequence[Event], delta: float, relation: str, orders: Sequence[float] | None = None
) -> float:
    """Return epsilon at delta, by default over all orders, of events that RDP supports."""
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    if orders is None:
        orders = _orders()
        values = sum(_values_of(event, relation) for event in merged)
    else:
        values = renyi_values(merged, orders, relation)
    with quiet("rdp"):
        return float(compute_epsilon(orders, values, delta)[0])


def renyi_delta(merged: Sequence[Event], epsilon: float, relation: str) -> float:
    """Return delta at epsilon of events that RDP supports."""
    from dp_accounting.rdp.rdp_privacy_accountant import compute_delta

    values = sum(_values_of(event, relation) for event in merged)
    with quiet("rdp"):
        return float(compute_delta(_orders(), values, epsilon)[0])
