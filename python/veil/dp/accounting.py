"""Epsilon of events: Veil makes the events, dp-accounting the numbers.

Three accountants: ``"gaussian"``, the closed form, for unsampled Gaussian events alone; ``"pld"``,
privacy loss distributions on a pessimistic grid; ``"rdp"``, Renyi divergences.
``"best"`` is the least of those that support every event.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt

from veil.dp._gaussian import gaussian_epsilon, gaussian_log_delta, gaussian_mu
from veil.dp._losses import fits, loss_delta, loss_epsilon
from veil.dp._losses import least_delta as least_trusted
from veil.dp._renyi import renyi_delta, renyi_epsilon
from veil.dp._slack import cost_at, cost_of_runs
from veil.dp._translate import ACCOUNTANTS, refusal, translate
from veil.dp.events import Event, check_delta, check_relation
from veil.errors import UnsupportedEvent

__all__ = [
    "compare_accountants",
    "epsilon",
    "epsilon_curve",
    "gdp_mu",
    "merge_events",
    "privacy_profile",
    "supported_accountants",
    "why_not",
]

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
    merged = [one.repeat(counts[one]) for one in sorted(counts, key=_rank)]
    if square > 0.0:
        merged.insert(0, Event.gaussian(sigma=1.0, sensitivity=math.sqrt(square)))
    return tuple(merged)


def _rank(event: Event) -> tuple[Any, ...]:
    return tuple(0.0 if field is None else field for field in astuple(event))


def supported_accountants(events: Events, *, relation: str, delta: float) -> tuple[str, ...]:
    """Return the accountants that support every event under a relation.

    Parameters
    ----------
    events : Event or iterable of Event
        The composition.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.
    delta : float
        In (0, 1). PLD is left out where its FFT is not trusted: below 1e-12, or more from 200 runs
        on; 4.5e-10 for 1e5 runs.

    Returns
    -------
    tuple of str
        Part of ``("gaussian", "pld", "rdp")``; empty if none supports them.
    """
    given = _listed(events)
    if any(refusal(event, relation) for event in given):
        return ()
    merged = merge_events(given)
    return tuple(name for name in ACCOUNTANTS if not why_not(name, merged, relation, delta))


def why_not(accountant: str, merged: tuple[Event, ...], relation: str, delta: float) -> str:
    """Return why an accountant does not support merged events; empty if it does."""
    if accountant == "gaussian":
        unsampled = all(e.kind == "gaussian" and e.sampling_probability == 1.0 for e in merged)
        return "" if unsampled else "knows unsampled Gaussian events alone"
    for event in merged:
        if translate(event, accountant, relation) is None:
            sampled = "sampled " if event.sampling_probability < 1.0 else ""
            return f"knows no {sampled}{event.kind} event under {relation}"
    if accountant == "rdp":
        return ""
    if not fits(merged, relation, delta):
        return "would need too large a grid: it ends near epsilon = 300, at 30 sigma or 2^18 runs"
    least = least_trusted(merged)
    return f"is not trusted below delta = {least:.3g} for so many runs" if delta < least else ""


def _listed(events: Events) -> tuple[Event, ...]:
    return (events,) if isinstance(events, Event) else tuple(events)


def _checked(events: Events, relation: str) -> tuple[Event, ...]:
    """Return the events, or raise if no accountant may be asked about one of them."""
    given = _listed(events)
    for event in given:
        reason = refusal(event, relation)
        if reason is not None:
            raise UnsupportedEvent(reason)
    return given


def _refused(merged: tuple[Event, ...], relation: str, delta: float) -> UnsupportedEvent:
    """Return the error that says what each accountant lacks, and what to do instead."""
    reasons = "; ".join(f"{name} {why_not(name, merged, relation, delta)}" for name in ACCOUNTANTS)
    return UnsupportedEvent(
        f"events: no accountant supports these events together under {relation} at delta = "
        f"{delta:g}: {reasons}. Charge the kinds to ledgers of their own, whose epsilon and delta "
        "add up; or use add-or-remove-one or zero-out, under which RDP knows every kind; or, for "
        "discrete-gaussian, noise of at least 8 lattice units, which is charged as gaussian"
    )


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
        If the accountant, or with ``"best"`` every accountant, does not support an event; if a
        sampled event under replace-one does not state the norm its contributions are clipped to.

    Notes
    -----
    PLD figures are cached per event. PLD takes about 0.5 s for an unseen subsampled event, several
    where epsilon is large; RDP 0.1 s, the closed form under 20 ms.

    Examples
    --------
    >>> event = veil.dp.Event.gaussian(sigma=2.0, sensitivity=1.0)
    >>> round(veil.dp.epsilon(event, delta=1e-5, relation="add-or-remove-one"), 5)
    1.99309
    """
    check_delta("delta", delta)
    given = _checked(events, check_relation(relation))
    if not (slack >= 0.0 and additive_delta >= 0.0):
        raise ValueError("slack, additive_delta: expected at least 0")
    left = delta - additive_delta
    if not left > 0.0:
        raise ValueError(
            f"additive_delta: expected less than delta = {delta:g}, got {additive_delta:g}"
        )
    compute = _epsilon_function(merge_events(given), accountant, relation, left)
    if slack == 0.0 or not given:
        return compute(left)
    return _with_slack(compute, given, relation, delta, slack, additive_delta)


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
        "pld": lambda d: loss_epsilon(merged, d, relation),
        "rdp": lambda d: renyi_epsilon(merged, d, relation),
    }
    names = supported_accountants(merged, relation=relation, delta=delta)
    if accountant != "best":
        if accountant not in names:
            raise UnsupportedEvent(
                f"accountant: {accountant!r} does not support these events under {relation} at "
                f"delta = {delta:g}: it {why_not(accountant, merged, relation, delta)}; those that "
                f"do: {', '.join(names) or 'none'}"
            )
        return functions[accountant]
    if not names:
        raise _refused(merged, relation, delta)
    if names[0] == "gaussian":
        return functions["gaussian"]
    return lambda d: min(functions[name](d) for name in names)


def _with_slack(
    compute: Callable[[float], float],
    events: tuple[Event, ...],
    relation: str,
    delta: float,
    slack: float,
    additive_delta: float,
) -> float:
    # Any epsilon whose own slack term fits in the delta set aside for it is an upper bound; the
    # second evaluation at that epsilon gives back what was not needed.
    first = compute(delta * 0.99 - additive_delta) if additive_delta < 0.99 * delta else math.inf
    used = cost_at(slack, first)
    if not used <= delta / 100.0:
        used = min(used, cost_of_runs(events, slack, relation))
    if not (used <= delta / 100.0 and used < delta - additive_delta):
        raise ValueError(
            f"slack: expected to cost at most delta / 100 = {delta / 100:g}, got {used:g}; the "
            "samplers are not exact enough for so small a delta, or so large an epsilon"
        )
    return compute(delta - additive_delta - used)


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
        The closed form if it applies, else PLD, else RDP. PLD values are not below the least delta
        at which it is trusted: 1e-12, or 4.5e-15 times the number of runs.

    Raises
    ------
    ValueError
        If an epsilon is out of range.
    UnsupportedEvent
        If no accountant supports the events.
    """
    merged = merge_events(_checked(events, check_relation(relation)))
    points = np.asarray(epsilons, dtype=np.float64)
    if not np.all(np.isfinite(points) & (points >= 0.0)):
        raise ValueError("epsilons: expected finite numbers of at least 0")
    if not merged:
        return np.zeros(points.shape)
    least = least_trusted(merged)
    names = supported_accountants(merged, relation=relation, delta=least)
    if not names:
        raise _refused(merged, relation, least)
    if names[0] == "gaussian":
        mu = merged[0].ratio
        return np.array([math.exp(gaussian_log_delta(float(e), mu)) for e in points])
    of = loss_delta if names[0] == "pld" else renyi_delta
    # One call per point: the vectorised form of the library needs a sorted argument.
    return np.array([of(merged, float(e), relation) for e in points])


def gdp_mu(events: Events, *, relation: str, least_delta: float = 1e-10) -> float:
    """Return mu of a Gaussian mechanism that is no more private than a composition.

    Exact for unsampled Gaussian events. Otherwise the least mu whose curve delta(epsilon) lies on
    or above the composition's at 64 epsilons wherever delta >= `least_delta`, or the least delta at
    which the accountant is trusted.

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
    check_delta("least_delta", least_delta)
    merged = merge_events(_checked(events, check_relation(relation)))
    if not why_not("gaussian", merged, relation, least_delta):
        return merged[0].ratio if merged else 0.0
    top = epsilon(merged, delta=max(least_delta, least_trusted(merged)), relation=relation)
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
