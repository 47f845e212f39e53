"""Bounds on random samples without replacement: exact results, at the cost of floating point.

Double precision decides almost every comparison of a probability with a power of two; one that is
too close for it is decided in integers.
"""

from __future__ import annotations

import math

__all__ = ["is_connected", "quantile"]

# A sum of nine log-gammas of numbers below 2^17 is off by less than 3e-9.
_UNSURE = 1e-8
_STRIDE = 16
_NEGLIGIBLE = 1e-12  # of a tail, left out of its sum
_FAR = -300.0  # a log-probability whose exponential is still a normal number


def quantile(n: int, marked: int, k: int, bits: int) -> int:
    """Find the least x with P[X > x] <= 2**-bits / n, X being the marked ones among k of n.

    Parameters
    ----------
    n : int
        Size of the population, below 2**17.
    marked : int
        How many of it are marked.
    k : int
        How many are drawn, none twice.
    bits : int
        Of the bound.

    Returns
    -------
    int
        At most ``min(k, marked)``. It never falls when `k` rises.
    """
    least, most = max(0, k - (n - marked)), min(k, marked)
    allowed = -bits * math.log(2.0) - math.log(n)
    x = _first_guess(n, marked, k, allowed)
    while True:
        mass = math.exp(_log_mass(n, marked, k, x))
        tail = _tail(n, marked, k, x, mass)
        if x == most or not _is_above(tail, allowed, n, marked, k, x, bits):
            break
        x = min(x + _STRIDE, most)
    while x > least:  # from here on positive terms alone are added, so nothing cancels
        tail += mass
        if _is_above(tail, allowed, n, marked, k, x - 1, bits):
            return x
        mass *= x * (n - marked - k + x) / ((marked - x + 1) * (k - x + 1))
        x -= 1
    return least


def is_connected(n: int, missing: int, k: int, bits: int) -> bool:
    """Whether n(n - k - 1)/2 · C(missing, k)/C(n, k) < 2**-bits, for 2 <= k <= n - 2."""
    if k > missing:
        return True
    log = (
        math.log(n * (n - k - 1) / 2)
        + _log_choose(missing, k)
        - _log_choose(n, k)
        + bits * math.log(2.0)
    )
    if abs(log) > _UNSURE:
        return log < 0.0
    return n * (n - k - 1) * math.comb(missing, k) << bits < 2 * math.comb(n, k)


def _first_guess(n: int, marked: int, k: int, allowed: float) -> int:
    """Guess the quantile as a normal variable's, no further out than floating point reaches."""
    least, most = max(0, k - (n - marked)), min(k, marked)
    mean, share = k * marked / n, marked / n
    spread = math.sqrt(-2.0 * allowed * k * share * (1.0 - share) * (n - k) / max(n - 1, 1))
    x, mode = math.ceil(mean + spread), min(max(math.ceil(mean), least), most)
    x = min(max(x, least), most)
    while x > mode and _log_mass(n, marked, k, x) < _FAR:
        x = (x + mode) // 2
    return x


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_mass(n: int, marked: int, k: int, x: int) -> float:
    return _log_choose(marked, x) + _log_choose(n - marked, k - x) - _log_choose(n, k)


def _tail(n: int, marked: int, k: int, x: int, mass: float) -> float:
    """P[X > x], from P[X = x] and the ratios of neighbours."""
    tail, most = 0.0, min(k, marked)
    while x < most:
        mass *= (marked - x) * (k - x) / ((x + 1) * (n - marked - k + x + 1))
        tail += mass
        x += 1
        if mass < _NEGLIGIBLE * tail:
            break
    return tail


def _is_above(tail: float, allowed: float, n: int, marked: int, k: int, x: int, bits: int) -> bool:
    """Whether P[X > x] is above the bound."""
    log = (math.log(tail) if tail > 0.0 else -math.inf) - allowed
    if abs(log) > _UNSURE:
        return log > 0.0
    return _is_above_exactly(n, marked, k, x, bits)


def _is_above_exactly(n: int, marked: int, k: int, x: int, bits: int) -> bool:
    allowed, most = math.comb(n, k) // (n << bits), min(k, marked)
    weight = math.comb(marked, x + 1) * math.comb(n - marked, k - x - 1)
    tail = 0
    for at in range(x + 1, most + 1):
        tail += weight
        if tail > allowed:
            return True
        if tail + weight * (most - at) <= allowed:  # the weights fall from here on
            return False
        weight = weight * (marked - at) * (k - at) // ((at + 1) * (n - marked - k + at + 1))
    return False
