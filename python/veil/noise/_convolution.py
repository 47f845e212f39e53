"""Wide distributions as sums: Z = Z_0 + 2^k Z_1, with both parts from small tables.

Micciancio and Walter, eprint 2017/259; proofs in docs/design/noise.md, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

from veil.noise import _masses

__all__ = [
    "BASE_VARIANCE",
    "CONVOLUTION_DISTANCE",
    "DIRECT_SCALE",
    "DIRECT_VARIANCE",
    "ETA_SQUARED",
    "Level",
    "discrete_gaussian_levels",
    "discrete_laplace_levels",
    "rounded_gaussian_levels",
    "skellam_levels",
]

# Above eta^2 = ln(2 + 2/eps) / (2 pi^2) at eps = 2^-100: a Gaussian of this variance, or wider, has
# the same sum over every shift of the integers, within a factor 1 +- eps.
ETA_SQUARED = Fraction(354665, 100000)
CONVOLUTION_DISTANCE = Fraction(1, 1 << 99)  # above eps / (1 - eps)

DIRECT_VARIANCE = Fraction(660**2)  # its table has 8192 magnitudes
BASE_VARIANCE = Fraction(512**2)
ROUNDED_DIRECT_VARIANCE = Fraction(100)
ROUNDED_BASE_VARIANCE = Fraction(64)
DIRECT_SCALE = Fraction(108)
DIGIT_BITS = 12
SKELLAM_DIRECT_VARIANCE = Fraction(1 << 20)


class Level(NamedTuple):
    """One term of a sum: 2^shift times a draw from the table of ``masses(*parameters)``."""

    shift: int
    masses: Callable[..., list[int]]
    parameters: tuple[Fraction | int, ...]


def discrete_gaussian_levels(variance: Fraction) -> Iterator[Level]:
    """Yield the terms of a discrete Gaussian; each after the first costs one convolution."""
    shift = 0
    while variance > DIRECT_VARIANCE:
        step = _largest_step(BASE_VARIANCE, variance)
        yield Level(shift, _masses.discrete_gaussian, (BASE_VARIANCE,))
        variance = (variance - BASE_VARIANCE) / 4**step
        shift += step
    yield Level(shift, _masses.discrete_gaussian, (variance,))


def rounded_gaussian_levels(variance: Fraction) -> Iterator[Level]:
    """Yield the terms of a rounded Gaussian: only the finest one is rounded."""
    if variance <= ROUNDED_DIRECT_VARIANCE:
        yield Level(0, _masses.rounded_gaussian, (variance,))
        return
    step = _largest_step(ROUNDED_BASE_VARIANCE, variance)
    yield Level(0, _masses.rounded_gaussian, (ROUNDED_BASE_VARIANCE,))
    for level in discrete_gaussian_levels((variance - ROUNDED_BASE_VARIANCE) / 4**step):
        yield level._replace(shift=level.shift + step)


def discrete_laplace_levels(scale: Fraction) -> Iterator[Level]:
    """Yield the terms of a discrete Laplace variable; their sum is exactly that."""
    digits = (math.ceil(scale / DIRECT_SCALE) - 1).bit_length()
    groups = -(-digits // DIGIT_BITS)
    shift = 0
    for group in range(groups):
        bits = (digits - shift) // (groups - group)
        yield Level(shift, _masses.discrete_laplace_digit, (scale / (1 << shift), bits))
        shift += bits
    yield Level(shift, _masses.discrete_laplace, (scale / (1 << shift),))


def skellam_levels(variance: Fraction) -> Iterator[Level]:
    """Yield the terms of a Skellam variable; equal variances add, exactly."""
    terms = -(-variance // SKELLAM_DIRECT_VARIANCE)
    for _ in range(terms):
        yield Level(0, _masses.skellam, (variance / terms,))


def _largest_step(base: Fraction, variance: Fraction) -> int:
    """Return the largest k for which base + 4^k * rest = variance is a valid convolution.

    Given the sum, the multiple of 2^k is a Gaussian of variance base * (4^k rest) / variance on a
    shifted lattice of step 2^k: it must reach 4^k ETA_SQUARED.
    """
    step = 0
    while base * (variance - base) / variance >= 4 ** (step + 1) * ETA_SQUARED:
        step += 1
    if step == 0:
        raise AssertionError(f"no convolution of base variance {base} gives variance {variance}")
    return step
