"""Certified lower bounds of the masses of |Z|, until what is left out is below 2^-100.

Each function takes exact rationals and returns integers b_0, b_1, … in units of 2^-256 with
b_m <= P(|Z| = m). That is all a certificate needs: the bounds' distance from the distribution is
1 - sum(b). Proofs: docs/design/noise.md, section 3.
"""

from __future__ import annotations

import math
from fractions import Fraction

from veil.noise._fixed import ONE, PRECISION, Interval, exp, ratio, sqrt_two_pi

__all__ = [
    "discrete_gaussian",
    "discrete_laplace",
    "discrete_laplace_digit",
    "rounded_gaussian",
    "skellam",
]

_CUT = ONE >> 101  # of unnormalised weights, whose sum is above 1


def discrete_gaussian(variance: Fraction) -> list[int]:
    """P(Z = z) proportional to exp(-z^2 / (2 variance)), on all integers."""
    ratio_low, ratio_high = exp(-1 / (2 * variance))  # of the weights of 1 and 0
    square = ratio_low * ratio_low >> PRECISION  # each ratio is this times the one before
    weights = []
    weight, step = ONE, ratio_low
    while weight > _CUT or not _negligible(weight, step):
        weights.append(weight)
        weight = weight * step >> PRECISION
        step = step * square >> PRECISION
    # A product of numbers up to 1 adds the errors of its factors and 2 units of its own.
    error = (ratio_high - ratio_low + 2) * (len(weights) + 1) ** 2
    return _folded(weights, error, weight + error, step + error)


def discrete_laplace(scale: Fraction) -> list[int]:
    """P(Z = z) proportional to exp(-|z| / scale), on all integers."""
    ratio_low, ratio_high = exp(-1 / scale)
    weights = []
    weight = ONE
    while weight > _CUT or not _negligible(weight, ratio_low):
        weights.append(weight)
        weight = weight * ratio_low >> PRECISION
    error = (ratio_high - ratio_low + 2) * (len(weights) + 1)
    return _folded(weights, error, weight + error, ratio_high)


def discrete_laplace_digit(scale: Fraction, bits: int) -> list[int]:
    """Subtract the lowest `bits` binary digits of one geometric variable from another's.

    The digits take 0 .. n-1, n = 2^bits, with weights q^i, q = exp(-1/scale); d has weight
    sum_i q^i q^(i+d), i < n - d, which is q^d - q^(2n-d) up to a constant.
    """
    ratio_low, ratio_high = exp(-1 / scale)
    powers = [ONE]
    for _ in range(2 << bits):
        powers.append(powers[-1] * ratio_low >> PRECISION)
    error = (ratio_high - ratio_low + 2) * len(powers)  # of a power, and of a difference
    weights = [
        max(0, near - far - error)
        for near, far in zip(powers[: 1 << bits], reversed(powers), strict=False)
    ]
    return _normalised(weights, 2 * error, tail=0)


def rounded_gaussian(variance: Fraction) -> list[int]:
    """P(Z = z) is the mass of the normal distribution between z - 1/2 and z + 1/2."""
    bounds: list[int] = []
    below = Interval(0, 0)  # P(0 < X < m - 1/2)
    while ONE - 2 * below.low > _CUT:
        above = _normal_mass(Fraction(2 * len(bounds) + 1, 2) ** 2 / variance)
        bounds.append(2 * max(0, above.low - below.high))
        below = above
    return bounds


def skellam(variance: Fraction) -> list[int]:
    """P(Z = z) = exp(-variance) I_|z|(variance), a difference of two Poisson variables."""
    lows, widths = _bessel_ratios(variance)
    beyond_low, beyond_width = lows.pop(), widths.pop()
    weights = [ONE]
    weight, error = ONE, 0
    for low, width in zip(lows, widths, strict=True):
        # (w + e)(r + d) <= w r + e + (w + e) d for r <= 1, and two units of rounding.
        error += ((weight + error) * width >> PRECISION) + 2
        weight = weight * low >> PRECISION
        weights.append(weight)
    last_ratio = beyond_low + beyond_width  # the r_k fall with k
    beyond = ((weight + error) * last_ratio >> PRECISION) + 1
    return _folded(weights, error, beyond, last_ratio)


def _negligible(weight: int, step: int) -> bool:
    """Whether weights from here on, falling at least by `step` each, sum to less than 2^-101."""
    return weight * ONE < _CUT * (ONE - step)


def _folded(weights: list[int], error: int, beyond: int, step: int) -> list[int]:
    """Bounds for |Z| from weights of z >= 0 that are at most `error` too low.

    The first weight beyond the list is at most `beyond`, and each later one `step` times that
    before it.
    """
    return _normalised(weights, error, 2 * (beyond * ONE // (ONE - step) + 1))


def _normalised(weights: list[int], error: int, tail: int) -> list[int]:
    """Fold weights of z >= 0 onto |z| and divide them by the most that all may sum to."""
    folded = [2 * weight for weight in weights]
    folded[0] = weights[0]
    most = sum(folded) + 2 * error * len(weights) + tail
    inverse = ONE * ONE // most
    return [weight * inverse >> PRECISION for weight in folded]


def _normal_mass(square: Fraction) -> Interval:
    """P(0 < X < x) of the standard normal, given x^2: phi(x) sum x^(2n+1) / (2n+1)!!."""
    density = exp(-square / 2)
    if square > 200:  # the mass beyond x is below exp(-x^2 / 2), and that below 2^-144
        return Interval(ONE // 2 - density.high, ONE // 2)
    x2 = ratio(square).low
    ceiling = math.ceil(square) + 1
    # The true term is at least `term` and at most `error` units more: times (x^2 + 1 unit), divided
    # by an odd number, rounded down twice.
    term = total = math.isqrt(x2 << PRECISION)
    error = total_error = 2 + (ONE // max(x2, 1) >> 1)
    odd = 1
    # Once x^2 / (2n+1) < 1/2, what follows a term is less than the term.
    while term > 1 or 2 * ceiling > odd:
        odd += 2
        error = ((term >> PRECISION) + 1 + error * ceiling) // odd + 3
        term = (term * x2 >> PRECISION) // odd
        total += term
        total_error += error
    high = total + total_error + term + error
    root = sqrt_two_pi()
    return Interval(total * density.low // root.high, -(-high * density.high // root.low))


def _bessel_ratios(variance: Fraction) -> tuple[list[int], list[int]]:
    """Enclose r_k = I_k / I_(k-1) for k from 1 until the masses beyond are negligible.

    Returns lower ends and widths. r_k = 1 / (2k / variance + r_(k+1)), DLMF 10.29.1: started from
    0 < r < 1 further out, the enclosure narrows at every step.
    """
    last = _skellam_cut(float(variance))
    narrowing = 2.0 * math.asinh(last / float(variance))  # a step divides the width by e^this
    unit_low, unit_high = ratio(2 / variance)
    square = ONE * ONE
    lows, widths = [], []
    low, high = 0, ONE
    k = last + math.ceil(50 / narrowing)
    while k > 0 and (k > last or high - low > ONE >> 160):
        low, high = square // (k * unit_high + high), square // (k * unit_low + low) + 1
        lows.append(low)
        widths.append(high - low)
        k -= 1
    # From here one value within `error` is enough: a reciprocal of numbers above 1 enlarges no
    # error, and each step adds k * (unit_high - unit_low) <= k units and one of rounding.
    error = high - low + (k + 1) ** 2
    step = low
    for j in range(k, 0, -1):
        step = square // (j * unit_low + step)
        lows.append(step - error)
        widths.append(2 * error)
    lows.reverse()
    widths.reverse()
    return lows[:last], widths[:last]


def _skellam_cut(variance: float) -> int:
    """Find the magnitude beyond which Chernoff's bound leaves less than 2^-101."""
    last = 1
    while True:
        rate = last * math.asinh(last / variance) - math.hypot(last, variance) + variance
        if rate > 72.0:  # 2 exp(-72) < 2^-102
            return last
        last += 1 + last // 64
