"""Rounding to lattice points whose cost in sensitivity is known.

Kairouz, Liu and Steinke 2021, The distributed discrete Gaussian mechanism, arXiv 2102.06387.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from veil import _core

if TYPE_CHECKING:
    from veil.random import SecureGenerator

__all__ = ["conditional_points", "norm_bound", "stochastic_points"]

_LOG_BETA = -0.5  # a vector is kept with probability of at least 1 - e^-0.5 = 0.39
_MOST_TRIES = 256  # all fail with probability below 2^-180


def stochastic_points(x: NDArray[np.float64], rng: SecureGenerator) -> NDArray[np.int64]:
    """Round each value up or down at random, with its own value as expectation.

    For one draw of the randomness this is a function of each value that two values less than t
    apart move by less than t + 1: rounding changes the L2 distance of two vectors of d values by
    less than √d.

    Parameters
    ----------
    x : ndarray of float64
        In lattice units, magnitudes below 2**52.
    rng : SecureGenerator
        Draws one number per value, whatever the values.

    Returns
    -------
    ndarray of int64
        The points.
    """
    draws = rng.uniform(x.shape, dtype=np.float64)
    with np.errstate(under="ignore"), _core.SubnormalsAsZero():
        below = np.floor(x)
        up = draws < x - below  # the difference is exact
    points: NDArray[np.int64] = below.astype(np.int64)
    points += up
    return points


def norm_bound(clip: float, length: int) -> float:
    """Bound the norm of a conditionally rounded vector: Kairouz et al. 2021, section 4.1.

    Parameters
    ----------
    clip : float
        c, L2 norm of the vector before rounding, in lattice units.
    length : int
        d, its number of values.

    Returns
    -------
    float
        min(c + √d, √(c² + d/4 + √(2·ln(1/β))·(c + √d/2))) with β = e^−0.5, rounded up.
    """
    root = math.sqrt(length)
    slope = math.sqrt(-2.0 * _LOG_BETA)
    conditional = math.sqrt(clip**2 + length / 4.0 + slope * (clip + root / 2.0))
    return min(clip + root, conditional) * (1.0 + 2.0**-50)


def conditional_points(
    x: NDArray[np.float64], bound: float, rng: SecureGenerator
) -> NDArray[np.int64]:
    """Round at random until the norm stays below a bound.

    Parameters
    ----------
    x : ndarray of float64
        One vector in lattice units.
    bound : float
        As from `norm_bound` for at least the norm of `x`.
    rng : SecureGenerator
        Draws the rounding.

    Returns
    -------
    ndarray of int64
        Points of an L2 norm of at most `bound`, always: when no draw kept it, `x` cut towards zero.

    Notes
    -----
    How often it draws depends on the vector; the time that takes is not hidden.
    """
    for _ in range(_MOST_TRIES):
        points = stochastic_points(x, rng)
        if int(np.dot(points, points)) <= bound * bound:
            return points
    return np.trunc(x).astype(np.int64)
