"""Epsilon of events: Veil makes the events, dp-accounting the numbers.

Three accountants: ``"gaussian"``, the closed form, for unsampled Gaussian events alone; ``"pld"``,
privacy loss distributions on a pessimistic grid of 1e-4; ``"rdp"``, Renyi divergences.
``"best"`` is the least of those that support every event.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from veil.dp._gaussian import gaussian_epsilon, gaussian_log_delta, gaussian_mu
from veil.dp._translate import (
    ACCOUNTANTS,
    PURE_KINDS,
    SKELLAM_MOST_ORDER,
    relation_of,
    translate,
)
from veil.dp.events import Event, check_delta, check_relation
from veil.errors import UnsupportedEvent

__all__ = [
    "compare_accountants",
    "epsilon",
    "epsilon_curve",
    "gdp_mu",
    "merge_events",
    "privacy_profile",
    "rough_pld_epsilon",
    "rough_rdp_epsilon",
    "supported_accountants",
]

# Below this the FFT's floating-point floor could hide mass that a PLD claims is not there.
PLD_LEAST_DELTA = 1e-12
# One loss grid of step 1e-4 takes 16 bytes per cell; beyond these it would not fit in 2 GB.
_PLD_MOST_RATIO = 30.0
_PLD_MOST_EPSILON = 300.0
_FEW_ORDERS = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
_ROUGH_ORDERS = (*_FEW_ORDERS, 48.0, 64.0, 96.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)
_ROUGH_INTERVAL = 1e-3

Events = Event | Iterable[Event]


def merge_events(events: Events) -> tuple[Event, ...]:
    """Return the same composition with equal operations counted together.

    Unsampled Gaussian events compose to one Gaussian event exactly, with mu^2 the sum of theirs.

    Parameters
    ----------
    events : Event or iterable of Event
        In any order.

    Returns
    -------
    tuple of Event
        Sorted, so that equal compositions give equal tuples.
    """
    square = 0.0
    counts: dict[Event, int] = {}
    for event in (events,) if isinstance(events, Event) else events:
        if event.kind == "gaussian" and event.sampling_probability == 1.0:
            square += event.count * event.ratio**2
            continue
        counts[event.one] = counts.get(event.one, 0) + event.count
    merged = [one.repeat(counts[one]) for one in sorted(counts, key=astuple)]
    if square > 0.0:
        merged.insert(0, Event.gaussian(sigma=1.0, sensitivity=math.sqrt(square)))
    return tuple(merged)


def supported_accountants(events: Events, *, relation: str, delta: float) -> tuple[str, ...]:
    """Return the accountants that support every event under a relation.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.
    delta : float
        In (0, 1). PLD is left out below 1e-12, where its FFT is not trusted.

    Returns
    -------
    tuple of str
        Part of ``("gaussian", "pld", "rdp")``; empty if none supports them.
    """
    merged = merge_events(events)
    return tuple(name for name in ACCOUNTANTS if _supports(name, merged, relation, delta))


def _supports(accountant: str, merged: tuple[Event, ...], relation: str, delta: float) -> bool:
    if accountant == "gaussian":
        return all(e.kind == "gaussian" and e.sampling_probability == 1.0 for e in merged)
    if any(translate(event, accountant, relation) is None for event in merged):
        return False
    if accountant == "rdp":
        return True
    if delta < PLD_LEAST_DELTA or any(event.ratio > _PLD_MOST_RATIO for event in merged):
        return False
    values = rdp_values(merged, _FEW_ORDERS, relation)
    return values is None or _converted(_FEW_ORDERS, values, delta) <= _PLD_MOST_EPSILON


def epsilon(
    events: Events,
    *,
    delta: float,
    relation: str,
    accountant: str = "best",
    slack: float = 0.0,
    additive_delta: float = 0.0,
) -> float:
    """Return epsilon of a composition at a given delta.

    The composition is (epsilon, delta)-DP when its events were fixed in advance. With slack, the
    answer solves delta_accountant(epsilon) + (1 + e^epsilon) slack + additive_delta <= delta.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition.
    delta : float
        In (0, 1).
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.
    accountant : {"best", "gaussian", "pld", "rdp"}
        ``"best"`` is the least over those that support every event.
    slack : float
        Total-variation distance between what was sampled and what the events say, summed.
    additive_delta : float
        Sum of the releases' own failure probabilities.

    Returns
    -------
    float
        Epsilon, rounded up within the accountant's tolerance; 0 for no events.

    Raises
    ------
    ValueError
        If an argument is out of range or the slack takes more than a hundredth of `delta`.
    UnsupportedEvent
        If the accountant, or with ``"best"`` every accountant, does not support an event.

    Notes
    -----
    PLD figures are cached per event. PLD takes about 0.5 s for an unseen subsampled event, RDP
    50 ms, the closed form under 5 ms.

    Examples
    --------
    >>> event = veil.dp.Event.gaussian(sigma=2.0, sensitivity=1.0)
    >>> round(veil.dp.epsilon(event, delta=1e-5, relation="add-or-remove-one"), 5)
    1.99309
    """
    check_delta("delta", delta)
    check_relation(relation)
    merged = merge_events(events)
    compute = _epsilon_function(merged, accountant, relation, delta)
    return _with_slack(compute, delta, slack, additive_delta)


def _epsilon_function(
    merged: tuple[Event, ...], accountant: str, relation: str, delta: float
) -> Callable[[float], float]:
    """Return epsilon as a function of delta, for one accountant or the best."""
    if not merged:
        return lambda _: 0.0
    if accountant not in ("best", *ACCOUNTANTS):
        raise ValueError(f"accountant: expected best, {', '.join(ACCOUNTANTS)}; got {accountant!r}")
    functions = {
        "gaussian": lambda d: gaussian_epsilon(merged[0].ratio, d),
        "pld": lambda d: _pld_epsilon(merged, d, relation),
        "rdp": lambda d: _rdp_epsilon(merged, d, relation),
    }
    names = supported_accountants(merged, relation=relation, delta=delta)
    if accountant != "best":
        if accountant not in names:
            raise UnsupportedEvent(
                f"accountant: {accountant!r} does not support these events under {relation} at "
                f"delta = {delta:g}; those that do: {', '.join(names) or 'none'}"
            )
        return functions[accountant]
    if not names:
        raise UnsupportedEvent(f"events: no accountant supports these events under {relation}")
    if names[0] == "gaussian":
        return functions["gaussian"]
    return lambda d: min(functions[name](d) for name in names)


def _with_slack(
    compute: Callable[[float], float], delta: float, slack: float, additive_delta: float
) -> float:
    if slack < 0.0 or additive_delta < 0.0:
        raise ValueError("slack, additive_delta: expected at least 0")
    if additive_delta >= delta:
        raise ValueError(
            f"additive_delta: expected less than delta = {delta:g}, got {additive_delta:g}"
        )
    if slack == 0.0:
        return compute(delta - additive_delta)
    # Any epsilon whose own slack term fits in the delta set aside for it is an upper bound; the
    # second evaluation at that epsilon gives back what was not needed.
    first = compute(delta * 0.99 - additive_delta) if additive_delta < 0.99 * delta else math.inf
    used = (1.0 + math.exp(min(first, 700.0))) * slack
    if not used <= delta / 100.0:
        raise ValueError(
            f"slack: expected (1 + e^epsilon) slack of at most delta / 100 = {delta / 100:g}, got "
            f"{used:g}; ask for a larger delta"
        )
    return compute(delta - additive_delta - used)


@lru_cache(maxsize=64)
def _pld(event: Event, relation: str, interval: float = 1e-4) -> Any:
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(relation_of(relation), value_discretization_interval=interval)
    accountant.compose(translate(event, "pld", relation), event.count)
    return accountant._pld


@lru_cache(maxsize=16)
def _composed_pld(merged: tuple[Event, ...], relation: str) -> Any:
    composed = _pld(merged[0], relation)
    for event in merged[1:]:
        composed = composed.compose(_pld(event, relation))
    return composed


@lru_cache(maxsize=256)
def _pld_epsilon(merged: tuple[Event, ...], delta: float, relation: str) -> float:
    return float(_composed_pld(merged, relation).get_epsilon_for_delta(delta))


def rough_pld_epsilon(event: Event, *, delta: float, relation: str) -> float:
    """Return PLD's epsilon on a coarse grid: an upper bound, for a search to begin with."""
    return float(_pld(event, relation, _ROUGH_INTERVAL).get_epsilon_for_delta(delta))


def rough_rdp_epsilon(event: Event, *, delta: float, relation: str, target: float) -> float:
    """Return RDP's epsilon at few orders: an upper bound, for a search near `target`."""
    # Beyond this order the conversion costs less than a quarter of the target: dear, and no use.
    most = max(8.0, -4.0 * math.log(delta) / target)
    orders = [order for order in _ROUGH_ORDERS if order <= most]
    values = rdp_values((event,), orders, relation)
    return math.inf if values is None else _converted(orders, values, delta)


def rdp_values(merged: Iterable[Event], orders: Sequence[float], relation: str) -> Any:
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
        with _without_warnings_of_excluded_orders():
            accountant.compose(translated, event.count)
        total += np.where(_known(event, np.asarray(orders)), accountant.rdp, np.inf)
    return total


def _known(event: Event, orders: Any) -> Any:
    """Say at which orders an event's divergence is known; Skellam's bound holds at whole ones."""
    if event.kind != "skellam":
        return np.ones(orders.shape, np.bool_)
    return (orders == np.floor(orders)) & (orders >= 2) & (orders <= SKELLAM_MOST_ORDER)


@contextmanager
def _without_warnings_of_excluded_orders() -> Iterator[None]:
    """Drop the log line for each order whose series did not converge: it counts as infinite."""

    def keep(record: logging.LogRecord) -> bool:
        return "Excluding this order" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


@lru_cache(maxsize=1)
def rdp_orders() -> tuple[float, ...]:
    """Return dp-accounting's default orders and larger ones, for small epsilon."""
    from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS

    return (*DEFAULT_RDP_ORDERS, 2048, 4096)


@lru_cache(maxsize=256)
def _rdp_of_event(event: Event, relation: str) -> Any:
    return rdp_values((event,), rdp_orders(), relation)


def _rdp_epsilon(merged: tuple[Event, ...], delta: float, relation: str) -> float:
    values = sum(_rdp_of_event(event, relation) for event in merged)
    return _converted(rdp_orders(), values, delta)


def _converted(orders: Sequence[float], values: Any, delta: float) -> float:
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    return float(compute_epsilon(orders, values, delta)[0])


def epsilon_curve(
    event: Event,
    *,
    counts: Sequence[int],
    delta: float,
    relation: str,
    accountant: str = "best",
) -> npt.NDArray[np.float64]:
    """Return epsilon after each of several numbers of repetitions.

    Parameters
    ----------
    event : Event
        One operation; its own `count` multiplies those given.
    counts : sequence of int
        Numbers of repetitions, each at least 1; for training, steps done.
    delta : float
        In (0, 1).
    relation, accountant : str
        As for `epsilon`.

    Returns
    -------
    ndarray of float64, shape (len(counts),)
        Epsilon at each count.

    Raises
    ------
    ValueError
        As for `epsilon`.

    Examples
    --------
    >>> step = veil.dp.Event.gaussian(sigma=1.0, sensitivity=1.0)
    >>> veil.dp.epsilon_curve(
    ...     step, counts=[1, 3], delta=1e-5, relation="zero-out"
    ... ).round(2)
    array([4.38, 8.39])
    """
    return np.array(
        [
            epsilon(event.repeat(n), delta=delta, relation=relation, accountant=accountant)
            for n in counts
        ],
        dtype=np.float64,
    )


def privacy_profile(
    events: Events, *, epsilons: npt.ArrayLike, relation: str
) -> npt.NDArray[np.float64]:
    """Return delta of a composition at each of several epsilons.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition.
    epsilons : sequence of float
        Each at least 0.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.

    Returns
    -------
    ndarray of float64, shape (len(epsilons),)
        The closed form if it applies, else PLD, else RDP. PLD values are not below 1e-12.

    Raises
    ------
    ValueError
        If no accountant supports the events.
    """
    merged = merge_events(events)
    points = np.asarray(epsilons, dtype=np.float64)
    names = supported_accountants(merged, relation=check_relation(relation), delta=PLD_LEAST_DELTA)
    if not merged:
        return np.zeros(points.shape)
    if not names:
        raise UnsupportedEvent(f"events: no accountant supports these events under {relation}")
    if names[0] == "gaussian":
        mu = merged[0].ratio
        return np.array([math.exp(gaussian_log_delta(float(e), mu)) for e in points])
    if names[0] == "pld":
        # One call per point: the vectorised form of the library needs a sorted argument.
        pld = _composed_pld(merged, relation)
        deltas = [float(pld.get_delta_for_epsilon(float(e))) for e in points]
        return np.array([max(d, PLD_LEAST_DELTA) for d in deltas])
    from dp_accounting.rdp.rdp_privacy_accountant import compute_delta

    values = sum(_rdp_of_event(event, relation) for event in merged)
    return np.array([compute_delta(rdp_orders(), values, float(e))[0] for e in points])


def gdp_mu(events: Events, *, relation: str, least_delta: float = 1e-10) -> float:
    """Return mu of a Gaussian mechanism that is no more private than a composition.

    Exact for unsampled Gaussian events. Otherwise the least mu whose curve delta(epsilon) lies on
    or above the composition's at 64 epsilons wherever delta >= `least_delta`.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition, at least one event.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.
    least_delta : float
        The curves are compared down to this delta.

    Returns
    -------
    float
        mu.

    References
    ----------
    Dong, Roth and Su 2022, Gaussian differential privacy, arXiv 1905.02383.
    """
    merged = merge_events(events)
    if _supports("gaussian", merged, relation, least_delta):
        return merged[0].ratio if merged else 0.0
    top = epsilon(merged, delta=least_delta, relation=relation)
    points = np.linspace(0.0, top, 64)
    deltas = privacy_profile(merged, epsilons=points, relation=relation)
    return max(_least_mu(float(e), float(d)) for e, d in zip(points, deltas, strict=True))


def _least_mu(point: float, delta: float) -> float:
    return gaussian_mu(point, min(delta, 1.0 - 1e-12)) if delta > 0.0 else 0.0


def compare_accountants(events: Events, *, delta: float, relation: str) -> dict[str, float | None]:
    """Return epsilon of a composition by each accountant.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition.
    delta : float
        In (0, 1).
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.

    Returns
    -------
    dict
        Keys ``"gaussian"``, ``"pld"`` and ``"rdp"``; None where the accountant does not support
        an event.

    Examples
    --------
    >>> event = veil.dp.Event.gaussian(sigma=2.0, sensitivity=1.0)
    >>> figures = veil.dp.compare_accountants(event, delta=1e-5, relation="replace-one")
    >>> round(figures["pld"], 5), round(figures["rdp"], 5)
    (1.99309, 2.16572)
    """
    merged = merge_events(events)
    names = supported_accountants(
        merged, relation=check_relation(relation), delta=check_delta("delta", delta)
    )
    return {
        name: epsilon(merged, delta=delta, relation=relation, accountant=name)
        if name in names
        else None
        for name in ACCOUNTANTS
    }
