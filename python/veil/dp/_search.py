"""A bracketed search for the least noise that meets a target, with few evaluations."""

import math
from collections.abc import Callable

from veil.errors import UnsupportedEvent

__all__ = ["least_meeting"]

_CLOSE = 1e-5
_GROWTH = 1.2
# After these a bracket of the tolerance is enough: epsilon jumps at the target, or rounding shows.
_ENOUGH_TRIES, _MOST_TRIES = 6, 60


def least_meeting(
    spent: Callable[[float], float],
    target: float,
    start: float,
    *,
    most: float,
    tolerance: float = 1e-3,
) -> float | None:
    """Return z with spent(z) at most the target and spent((1 - tolerance) z) above it, or None.

    `spent` falls; where it raises UnsupportedEvent it counts as infinite. Goes on, for a few more
    tries, until spent(z) is within 1e-5 of the target. None if even `most` spends more.
    """

    def at(z: float) -> float:
        try:
            return spent(z)
        except UnsupportedEvent:
            return math.inf

    bracket = _bracket(at, target, start, most)
    if bracket is None:
        return None
    low, at_low, high, at_high = bracket
    probed = False
    for tries in range(_MOST_TRIES):
        near = low >= (1.0 - tolerance) * high
        close = at_high >= target * (1.0 - _CLOSE)
        if near and (close or tries >= _ENOUGH_TRIES):
            break
        if close and not probed:
            z, probed = high * (1.0 - tolerance), True
        elif close or tries % 4 == 3 or not math.isfinite(at_low) or at_high <= 0.0:
            # Also where epsilon hardly changes with z, so that being close says little about z.
            z, probed = math.sqrt(low * high), False
        else:
            z, probed = _between(low, at_low, high, at_high, target), False
        if not low < z < high:
            break
        at_z = at(z)
        if at_z <= target:
            high, at_high = z, at_z
        else:
            low, at_low = z, at_z
    return high


def _bracket(
    at: Callable[[float], float], target: float, start: float, most: float
) -> tuple[float, float, float, float] | None:
    """Return low, at(low) > target, high and at(high) <= target."""
    low = high = 0.0
    at_low = at_high = 0.0
    z, growth = min(start, most), _GROWTH
    while True:
        at_z = at(z)
        if at_z <= target:
            high, at_high = z, at_z
            step = 1.0 / _step(target, at_z, growth)
        else:
            if z >= most:
                return None
            low, at_low = z, at_z
            step = _step(at_z, target, growth)
        if low and high:
            return low, at_low, high, at_high
        z, growth = min(z * step, most), growth * growth


def _step(above: float, below: float, growth: float) -> float:
    """Return a factor of z that may cross the target: epsilon falls about as 1 / z, or faster."""
    if not (math.isfinite(above) and below * growth > above):
        return growth
    return float(min(growth, (above / below) ** 1.2 * 1.0005))


def _between(low: float, at_low: float, high: float, at_high: float, target: float) -> float:
    """Return the secant's guess, in logs, for the middle of the accepted interval of epsilon."""
    aim = target * (1.0 - _CLOSE / 2.0)
    a, b = math.log(at_low), math.log(at_high)
    share = (a - math.log(aim)) / (a - b)
    return float(low * math.pow(high / low, min(max(share, 1e-6), 1.0 - 1e-6)))
