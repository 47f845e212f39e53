"""Closed form of the Gaussian mechanism (Balle and Wang 2018, arXiv 1805.06530, Theorem 8).

delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu), mu = sensitivity/sigma.
Computed as log Phi(a) + log(-expm1(epsilon + log Phi(b) - log Phi(a))), which neither underflows at
small delta nor overflows at large epsilon.
"""

import math
from functools import lru_cache

__all__ = ["gaussian_epsilon", "gaussian_log_delta", "gaussian_mu"]

# Below this gap between the two logarithms a double has lost half of its digits; mpmath takes over.
_CANCELLATION = 1e-7
_DIGITS = 60


def gaussian_log_delta(epsilon: float, mu: float) -> float:
    """Return log delta of a Gaussian mechanism with mu = sensitivity / sigma."""
    from scipy.special import log_ndtr

    a = mu / 2.0 - epsilon / mu
    b = -mu / 2.0 - epsilon / mu
    log_a = float(log_ndtr(a))
    gap = epsilon + float(log_ndtr(b)) - log_a
    # Each of the three terms carries a relative error of some ulps.
    if -gap > _CANCELLATION * max(1.0, epsilon, -log_a):
        return log_a + math.log(-math.expm1(gap))
    return _exact_log_delta(epsilon, mu)


def _exact_log_delta(epsilon: float, mu: float) -> float:
    import mpmath

    with mpmath.workdps(_DIGITS + int(max(epsilon, 0.0))):
        e, m = mpmath.mpf(epsilon), mpmath.mpf(mu)
        delta = mpmath.ncdf(m / 2 - e / m) - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m)
        return float(mpmath.log(delta)) if delta > 0 else -math.inf


@lru_cache(maxsize=1024)
def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the largest mu found whose delta at `epsilon` is at most `delta`.

    The value is checked with 60 digits, so sigma = sensitivity / mu never spends more than asked.
    """
    log_delta = math.log(delta)
    low = high = 1.0
    while gaussian_log_delta(epsilon, low) > log_delta:
        high, low = low, low / 2.0
    while gaussian_log_delta(epsilon, high) <= log_delta:
        low, high = high, high * 2.0
    while high - low > 1e-15 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if gaussian_log_delta(epsilon, middle) <= log_delta:
            low = middle
        else:
            high = middle
    while _exact_log_delta(epsilon, low) > log_delta:
        low *= 1.0 - 1e-14
    return low


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the least epsilon found whose delta is at most `delta`; rounded up."""
    log_delta = math.log(delta)
    if _exact_log_delta(0.0, mu) <= log_delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_log_delta(high, mu) > log_delta:
        low, high = high, high * 2.0
    while high - low > 1e-13 * high:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if gaussian_log_delta(middle, mu) <= log_delta:
            high = middle
        else:
            low = middle
    return high
