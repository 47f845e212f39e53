"""Closed form of the Gaussian mechanism (Balle and Wang 2018, arXiv 1805.06530, Theorem 8).

With mu = sensitivity / sigma, near = epsilon / mu - mu / 2, far = near + mu, and Mills' ratio
M(x) = (1 - Phi(x)) / phi(x),

    delta(epsilon) = phi(near) (M(near) - M(far)),    far^2 = near^2 + 2 epsilon:

no e^epsilon is left that could overflow. Doubles find a root; Newton's step and the last word are
in mpmath, at as many digits as the cancellations take, so that results are rounded to the safe side
(docs/design/accounting.md).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["gaussian_epsilon", "gaussian_log_delta", "gaussian_mu"]

_DIGITS = 35
_LEAST_MU = 1e-300
_LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Phi(-39) is below the least double, and 1 - Phi(9) below the spacing of doubles near 1.
_NEAREST, _FARTHEST = -9.0, 39.0
# Above this the error of `near`, in doubles, shows in the logarithm.
_MOST_DOUBLE = 1e-12
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def gaussian_log_delta(epsilon: float, mu: float) -> float:
    """Return log delta of a Gaussian mechanism with mu = sensitivity / sigma."""
    near = epsilon / mu - mu / 2.0
    error = 2.0**-52 * max(1.0, abs(near)) * max(epsilon / mu, mu)
    if error <= _MOST_DOUBLE * max(1.0, near * near):
        return _log_delta(near, near + mu, mu)
    return float(_Exact(epsilon, mu).log_delta)


@lru_cache(maxsize=1024)
def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the largest double mu whose delta at `epsilon` is at most `delta`.

    Checked with at least 35 digits, so sigma = sensitivity / mu never spends more than asked.
    """
    log_delta = math.log(delta)

    def far_of(near: float) -> float:
        return math.hypot(near, math.sqrt(2.0) * math.sqrt(epsilon))

    def mu_of(near: float) -> float:
        far = far_of(near)
        return far - near if near <= 0.0 else 2.0 * (epsilon / (near + far))

    near = _root(lambda x: _log_delta(x, far_of(x), mu_of(x)) - log_delta, _NEAREST, _FARTHEST)
    start = mu_of(near)
    if start < _LEAST_MU:
        raise ValueError(
            f"epsilon, delta: expected a guarantee that noise in doubles can give, got epsilon = "
            f"{epsilon:g} at delta = {delta:g}; ask for larger ones"
        )
    mu = _polished(start, 1e-12 * start, lambda m: _step_of_mu(epsilon, m, delta))
    return _safe(mu, lambda m: _Exact(epsilon, m).missing(delta) >= 0, 0.0)


@lru_cache(maxsize=1024)
def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the least double epsilon whose delta is at most `delta`, checked as `gaussian_mu`."""
    if _Exact(0.0, mu).missing(delta) >= 0:
        return 0.0
    log_delta = math.log(delta)
    least = max(-mu / 2.0, _NEAREST)
    near = _root(lambda x: _log_delta(x, x + mu, mu) - log_delta, least, max(least, _FARTHEST))
    start = max(0.0, mu * (near + mu / 2.0))
    error = 1e-12 * max(start, mu * (abs(near) + mu))
    epsilon = _polished(start, error, lambda e: _step_of_epsilon(e, mu, delta))
    return _safe(epsilon, lambda e: _Exact(e, mu).missing(delta) >= 0, math.inf)


def _step_of_mu(epsilon: float, mu: float, delta: float) -> float:
    exact = _Exact(epsilon, mu)
    return float(exact.missing(delta) * exact.gap)


def _step_of_epsilon(epsilon: float, mu: float, delta: float) -> float:
    exact = _Exact(epsilon, mu)
    return float(-exact.missing(delta) * exact.gap / exact.mills_far)


def _polished(start: float, error: float, step: Callable[[float], float]) -> float:
    """Return the end of Newton's iteration from a start that is `error` off, or less."""
    x = start
    for _ in range(5):
        moved = max(0.0, x + min(max(step(x), -error), error))
        if abs(moved - x) <= 2.0**-52 * x:
            return moved
        x = moved
    return x


def _safe(x: float, holds: Callable[[float], bool], towards: float) -> float:
    """Return the first double from `x` on in a direction, found by halving, where `holds` is."""
    if holds(x):
        return x
    ulp, bad = math.ulp(x), 0
    good = 1
    sign = 1.0 if towards > x else -1.0
    while not holds(x + sign * good * ulp):
        bad, good = good, 2 * good
    while good - bad > 1:
        middle = (bad + good) // 2
        if holds(x + sign * middle * ulp):
            good = middle
        else:
            bad = middle
    return x + sign * good * ulp


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0, to the last bits of a double."""
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high):
            return high
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)


def _log_delta(near: float, far: float, mu: float) -> float:
    """Return log delta in doubles; `mu` = far - near is given as it may be known better."""
    from scipy.special import erfcx, ndtr

    root = math.sqrt(math.pi / 2.0)
    if near < -1.0:
        # epsilon >= 0 means far >= -near, so that delta is above 1/2 here.
        beyond = math.exp(-near * near / 2.0 - _LOG_ROOT_TWO_PI) if near > -39.0 else 0.0
        return math.log1p(-(float(ndtr(near)) + beyond * root * float(erfcx(far / math.sqrt(2.0)))))
    if mu > 0.5 * (1.0 + abs(near)):
        gap = root * float(erfcx(near / math.sqrt(2.0)) - erfcx(far / math.sqrt(2.0)))
    else:
        # M(near) - M(far) as the integral of -M', without cancellation.
        points = near + mu * (_NODES + 1.0) / 2.0
        gap = mu / 2.0 * float(_WEIGHTS @ _slope(points))
    return math.log(gap) - near * near / 2.0 - _LOG_ROOT_TWO_PI if gap > 0.0 else -math.inf


def _slope(x: Any) -> Any:
    """Return -M'(x) = 1 - x M(x): by its asymptotic series where the difference cancels."""
    from scipy.special import erfcx

    with np.errstate(all="ignore"):
        plain = 1.0 - x * math.sqrt(math.pi / 2.0) * erfcx(x / math.sqrt(2.0))
        y = 1.0 / np.square(x)
        series = y * (1.0 - y * (3.0 - y * (15.0 - y * (105.0 - y * (945.0 - y * 10395.0)))))
    return np.where(x > 40.0, series, plain)


class _Exact:
    """The closed form in mpmath: at least 35 digits of log delta are right."""

    def __init__(self, epsilon: float, mu: float) -> None:
        import mpmath

        size = max(epsilon / mu, mu)
        rough = abs(epsilon / mu - mu / 2.0)
        # Lost to near, to its square, and to the difference of the two ratios.
        lost = 2.0 * math.log10(1.0 + size) + max(0.0, math.log10(1.0 + rough) - math.log10(mu))
        self._digits = _DIGITS + 5 + math.ceil(lost)
        with mpmath.workdps(self._digits):
            e, m = mpmath.mpf(epsilon), mpmath.mpf(mu)
            near = e / m - m / 2
            self.mills_far = _mills(near + m, self._digits)
            self.gap = _mills(near, self._digits) - self.mills_far
            self.log_delta = (
                mpmath.log(self.gap) - near**2 / 2 - mpmath.log(2 * mpmath.pi) / 2
                if self.gap > 0
                else -mpmath.inf
            )

    def missing(self, delta: float) -> Any:
        """Return log(delta) minus the mechanism's; not below 0 if it spends at most `delta`."""
        import mpmath

        with mpmath.workdps(self._digits):
            return mpmath.log(mpmath.mpf(delta)) - self.log_delta - mpmath.mpf(10) ** (-_DIGITS + 5)


def _mills(x: Any, digits: int) -> Any:
    """Return Mills' ratio at an mpmath number."""
    import mpmath

    square = x * x
    if x <= 0 or square < 4.7 * (digits + 5):
        return mpmath.sqrt(mpmath.pi / 2) * mpmath.erfc(x / mpmath.sqrt(2)) * mpmath.exp(square / 2)
    # The asymptotic series alternates: its error is below the first term left out, and the least
    # term is about e^(-x^2 / 2), below 10^(-digits) here.
    total = term = 1 / x
    for k in range(1, 4 * digits):
        term *= -(2 * k - 1) / square
        total += term
        if abs(term) * mpmath.mpf(10) ** digits < abs(total):
            break
    return total
