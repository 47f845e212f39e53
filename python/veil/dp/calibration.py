"""The least noise multiplier whose epsilon meets a target."""

import math
from collections.abc import Callable
from functools import lru_cache

from veil.dp._gaussian import gaussian_mu
from veil.dp._translate import ACCOUNTANTS, translate
from veil.dp.accounting import epsilon, rough_pld_epsilon, rough_rdp_epsilon, supported_accountants
from veil.dp.events import Event, check_count, check_delta, check_positive, check_relation

__all__ = ["calibrate_noise_multiplier"]

# Accepted are multipliers whose epsilon lies this close, relatively, below the target.
_TOLERANCE = 1e-5
# From this epsilon on a grid ten times coarser is right within a few parts in 1e5, and ten times
# cheaper; below, the fine one is cheap itself.
_ROUGH_FROM = 0.5
_MOST_STEP = 1.1
# Where hardly anyone is sampled, hardly a multiplier spends the target, and small ones need a loss
# grid that does not fit in memory.
_LEAST_SAMPLED = 0.2


def calibrate_noise_multiplier(
    *,
    target_epsilon: float,
    target_delta: float,
    sampling_probability: float,
    steps: int,
    accountant: str = "pld",
    relation: str = "add-or-remove-one",
) -> float:
    """Return a noise multiplier whose epsilon is at most the target.

    The multiplier z is sigma over the sensitivity under `relation`; ``epsilon`` of
    ``Event.gaussian(sigma=z, sensitivity=1, sampling_probability=..., count=steps)`` by the same
    accountant was computed and is at most `target_epsilon`.

    Parameters
    ----------
    target_epsilon : float
        Above 0.
    target_delta : float
        In (0, 1).
    sampling_probability : float
        Poisson sampling probability of each unit and step, in (0, 1].
    steps : int
        Number of steps, at least 1.
    accountant : {"pld", "rdp", "gaussian", "best"}
        Whose epsilon must meet the target.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.

    Returns
    -------
    float
        The multiplier; its epsilon is within 1e-5 relative of the target, unless so few units are
        sampled that a multiplier below 0.2 would still spend less.

    Raises
    ------
    ValueError
        If an argument is out of range or the accountant does not support the event.

    Notes
    -----
    The search starts from RDP's answer, from above, so that PLD is never asked for a small sigma,
    whose loss grid would not fit in memory; it goes on with a coarse grid and ends with the
    accountant's own. About a second, and nothing the second time; under 2 GB at epsilon = 0.01.

    Examples
    --------
    >>> z = veil.dp.calibrate_noise_multiplier(
    ...     target_epsilon=1.0, target_delta=1e-6, sampling_probability=0.1, steps=512)
    >>> round(z, 2)
    9.66
    """
    if accountant not in ("best", *ACCOUNTANTS):
        raise ValueError(f"accountant: expected best, {', '.join(ACCOUNTANTS)}; got {accountant!r}")
    return _calibrated(
        check_positive("target_epsilon", target_epsilon),
        check_delta("target_delta", target_delta),
        check_positive("sampling_probability", sampling_probability),
        check_count("steps", steps),
        accountant,
        check_relation(relation),
    )


@lru_cache(maxsize=256)
def _calibrated(
    target: float, delta: float, q: float, steps: int, accountant: str, relation: str
) -> float:
    def event(z: float) -> Event:
        return Event.gaussian(sigma=z, sensitivity=1.0, sampling_probability=q, count=steps)

    def spent(z: float) -> float:
        return epsilon(event(z), delta=delta, relation=relation, accountant=accountant)

    def roughly(z: float) -> float:
        return rough_pld_epsilon(event(z), delta=delta, relation=relation)

    least = 0.0 if q == 1.0 else _LEAST_SAMPLED
    start = _safe_multiplier(event, target, delta, relation)
    if q < 1.0 and -math.expm1(steps * math.log1p(-q)) <= delta:
        return max(start, least)  # delta covers that a unit is sampled at all: nothing is spent
    rough = target >= _ROUGH_FROM and "pld" in supported_accountants(
        event(start), relation=relation, delta=delta
    )
    if accountant in ("pld", "best") and rough:
        start = _least_multiplier(roughly, target, start, least)
    return _least_multiplier(spent, target, start, least)


def _safe_multiplier(
    event: Callable[[float], Event], target: float, delta: float, relation: str
) -> float:
    """Return a multiplier that is surely large enough, by RDP or without amplification."""
    if translate(event(1.0), "rdp", relation) is None:
        # Never less private than sampling: replace-one's closed form at q = 1.
        return math.sqrt(event(1.0).count) / gaussian_mu(target, delta)

    def spent(z: float) -> float:
        return rough_rdp_epsilon(event(z), delta=delta, relation=relation, target=target)

    high = 1.0
    while spent(high) > target:
        high *= 2.0
        if high > 2.0**60:
            raise ValueError(
                f"target_epsilon: {target:g} at delta = {delta:g} is out of reach for RDP's orders"
            )
    low = high / 2.0
    while spent(low) <= target:
        high, low = low, low / 2.0
    while high > 1.01 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle) <= target else (middle, high)
    return high


def _least_multiplier(
    spent: Callable[[float], float], target: float, start: float, least: float
) -> float:
    """Return z with target (1 - 1e-5) <= epsilon(z) <= target, by a bracketed secant in logs.

    Below `least` no bracket is looked for.
    """
    high, at_high = start, spent(start)
    while at_high > target:
        high *= _step(at_high / target)
        at_high = spent(high)
    low = at_low = 0.0
    for tries in range(1, 100):
        if at_high >= target * (1.0 - _TOLERANCE) or high <= low * (1.0 + 1e-9):
            break
        if not low and high < least:
            break
        if not low:
            z = high / (_step(target / at_high) if at_high else _MOST_STEP)
        else:
            z = _between(low, at_low, high, at_high, target) if tries % 4 else math.sqrt(low * high)
        at_z = spent(z)
        if at_z <= target:
            high, at_high = z, at_z
        else:
            low, at_low = z, at_z
    return high


def _step(missing: float) -> float:
    """Return a factor of z that crosses the target: epsilon falls about as 1 / z, not slower."""
    return float(min(_MOST_STEP, missing**1.5 * (1.0 + 1e-6)))


def _between(low: float, at_low: float, high: float, at_high: float, target: float) -> float:
    """Return the secant's guess, in logs, for the middle of the accepted interval of epsilon."""
    aim = target * (1.0 - _TOLERANCE / 2.0)
    a, b = math.log(at_low), math.log(max(at_high, 1e-300))
    share = (a - math.log(aim)) / (a - b)
    return low * math.pow(high / low, min(max(share, 1e-6), 1.0 - 1e-6))
