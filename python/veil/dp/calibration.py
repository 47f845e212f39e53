"""The least noise multiplier whose epsilon meets a target."""

import math
from collections.abc import Callable
from functools import lru_cache

from veil.dp._gaussian import gaussian_mu
from veil.dp._losses import interval_of, loss_epsilon
from veil.dp._renyi import FEW_ORDERS, renyi_epsilon
from veil.dp._search import least_meeting
from veil.dp._translate import ACCOUNTANTS
from veil.dp.accounting import epsilon, supported_accountants, why_not
from veil.dp.events import Event, check_count, check_delta, check_positive, check_relation
from veil.errors import UnsupportedEvent

__all__ = ["calibrate_noise_multiplier"]

# Where PLD is dear a grid eight times coarser than its own finds the neighbourhood first.
_ROUGH_FROM = 0.5
_ROUGH_STEP = 8.0
_LARGE = 2.0**60


def calibrate_noise_multiplier(
    *,
    target_epsilon: float,
    target_delta: float,
    sampling_probability: float,
    steps: int,
    accountant: str = "best",
    relation: str = "add-or-remove-one",
) -> float:
    """Return the least noise multiplier, within a thousandth, whose epsilon meets the target.

    The multiplier z is sigma over the sensitivity under `relation`. Epsilon of
    ``Event.gaussian(sigma=z, sensitivity=1, sampling_probability=..., count=steps)`` by the same
    accountant is at most `target_epsilon`, and that of 0.999 z is above it. With sampling under
    replace-one the event has ``clip=0.5``: the multiplier is for contributions clipped to half of
    the sensitivity, and for nothing else.

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
    accountant : {"best", "pld", "rdp", "gaussian"}
        Whose epsilon must meet the target; ``"best"`` is the least of those that support the event.
    relation : {"add-or-remove-one", "replace-one", "zero-out"}
        Which data sets are neighbours.

    Returns
    -------
    float
        The multiplier. Two exceptions to being the least: where PLD's grid for 0.999 z would be too
        large to be made, this is the least multiplier that PLD accounts for; where delta covers
        that a unit is sampled at all, so that PLD asks for no noise, it is what RDP asks for, or
        the closed form without sampling.

    Raises
    ------
    ValueError
        If an argument is out of range.
    UnsupportedEvent
        If the accountant does not support the event, or reaches no epsilon as small as the target;
        the message says which accountant, and why.

    Notes
    -----
    Without sampling ``"best"`` is the closed form, exact to the last digits of a double. Otherwise
    a bracketed search asks the accountant about five times: some seconds, at most two minutes, and
    under 1 GB, for epsilon from 1e-4 to 50, delta from 1e-12 to 1e-3 and up to 1e5 steps; nothing
    the second time.

    Examples
    --------
    >>> z = veil.dp.calibrate_noise_multiplier(
    ...     target_epsilon=1.0, target_delta=1e-6, sampling_probability=0.1, steps=512)
    >>> round(z, 2)
    9.66
    """
    if accountant not in ("best", *ACCOUNTANTS):
        raise ValueError(f"accountant: expected best, {', '.join(ACCOUNTANTS)}; got {accountant!r}")
    q = check_positive("sampling_probability", sampling_probability)
    if q > 1.0:
        raise ValueError(f"sampling_probability: expected a number in (0, 1], got {q!r}")
    return _calibrated(
        check_positive("target_epsilon", target_epsilon),
        check_delta("target_delta", target_delta),
        q,
        check_count("steps", steps),
        accountant,
        check_relation(relation),
    )


@lru_cache(maxsize=256)
def _calibrated(
    target: float, delta: float, q: float, steps: int, accountant: str, relation: str
) -> float:
    def event(z: float) -> Event:
        clip = 0.5 if relation == "replace-one" else None
        return Event.gaussian(
            sigma=z, sensitivity=1.0, sampling_probability=q, count=steps, clip=clip
        )

    def spent(z: float) -> float:
        return epsilon(event(z), delta=delta, relation=relation, accountant=accountant)

    unsampled = math.sqrt(steps) / gaussian_mu(target, delta)
    if q == 1.0 and accountant in ("best", "gaussian"):
        return _rounded_up(spent, target, unsampled)
    # Raises if the accountant does not support the event at any noise.
    if spent(_LARGE) > target:
        raise _out_of_reach(event(_LARGE), target, delta, accountant, relation)
    if q == 1.0:
        return _least(spent, target, unsampled)
    if accountant in ("best", "pld") and -math.expm1(steps * math.log1p(-q)) <= delta:
        try:
            return _calibrated(target, delta, q, steps, "rdp", relation)
        except UnsupportedEvent:
            return unsampled
    start = _guess(event, target, delta, q)
    pld = "pld" in supported_accountants(event(start), relation=relation, delta=delta)
    if accountant in ("best", "pld") and pld and target >= _ROUGH_FROM:

        def roughly(z: float) -> float:
            step = _ROUGH_STEP * interval_of((event(z),), relation)
            return loss_epsilon((event(z),), delta, relation, step)

        start = _least(roughly, target, start)
    return _least(spent, target, start)


def _least(spent: Callable[[float], float], target: float, start: float) -> float:
    found = least_meeting(spent, target, start, most=_LARGE)
    return _LARGE if found is None else found


def _out_of_reach(
    event: Event, target: float, delta: float, accountant: str, relation: str
) -> UnsupportedEvent:
    reasons = f"accountant {accountant!r}, whose epsilon stays above it for any noise"
    if accountant == "best":
        whys = ((name, why_not(name, (event,), relation, delta)) for name in ACCOUNTANTS)
        said = (f"{name} {why or 'stays above it for any noise'}" for name, why in whys)
        reasons = f"every accountant: {'; '.join(said)}"
    return UnsupportedEvent(
        f"target_epsilon: {target:g} at delta = {delta:g} and {event.count} steps is out of reach "
        f"for {reasons}; ask for a larger epsilon or delta, fewer steps, or accountant='best'"
    )


def _rounded_up(spent: Callable[[float], float], target: float, z: float) -> float:
    while spent(z) > target:
        z *= 1.0 + 2.0**-52
    return z


def _guess(event: Callable[[float], Event], target: float, delta: float, q: float) -> float:
    """Return where to begin: RDP at few orders; for a small epsilon the central limit."""
    if target < _ROUGH_FROM:
        # Each step is about Gaussian with mu^2 = q^2 (e^(1 / z^2) - 1); Dong, Roth and Su 2022.
        share = (gaussian_mu(target, delta) / q) ** 2 / event(1.0).count
        return 1.0 / math.sqrt(math.log1p(share))

    def roughly(z: float) -> float:
        plain = Event.gaussian(
            sigma=z, sensitivity=1.0, sampling_probability=q, count=event(1.0).count
        )
        return renyi_epsilon((plain,), delta, "add-or-remove-one", (*FEW_ORDERS, 48.0, 64.0, 128.0))

    found = least_meeting(roughly, target, 1.0, most=_LARGE, tolerance=0.01)
    return 1.0 if found is None else found
