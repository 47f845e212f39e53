"""Which lattice a float release lies on, and what rounding to it costs in sensitivity.

Two neighbours may round apart by up to g in each coordinate, so the L2 sensitivity of round(x/g)
grows by g sqrt(d) and the L1 sensitivity by g d. g is the largest power of two that keeps this
below a thousandth and the noise above 64 lattice units.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from veil.dp.events import Event

if TYPE_CHECKING:
    from veil.noise import DiscreteGaussian

__all__ = [
    "ETA_SQUARED",
    "EVENT_DISTANCE",
    "LEAST_SIGMA",
    "SLACK_SHARE",
    "Lattice",
    "choice_lattice",
    "gaussian_event",
    "gaussian_lattice",
    "gaussian_lattice_for",
    "gaussian_slack",
    "laplace_lattice",
]

# eta^2 of the smoothing argument (docs/design/noise.md): a discrete Gaussian of parameter s is a
# post-processed continuous one of variance s^2 - eta^2.
ETA_SQUARED = 3.5467
# Total-variation distance, per coordinate, of that post-processing to the discrete Gaussian.
EVENT_DISTANCE = 2.0**-99
LEAST_SIGMA = 64.0
# What a calibration leaves of delta to the slack of the sampler.
SLACK_SHARE = 1e-6
_WIDENING = 1000.0
_MOST_SIGMA = 2.0**32


@dataclass(frozen=True, slots=True)
class Lattice:
    """A lattice g Z^d: its granularity, and the noise and sensitivity in its units."""

    granularity: float
    sigma: float
    sensitivity: float


def power_below(x: float) -> float:
    """Return the largest power of two that is at most `x`."""
    mantissa, exponent = math.frexp(x)
    del mantissa
    return math.ldexp(1.0, exponent - 1)


def gaussian_lattice(l2_sensitivity: float, sigma: float, size: int) -> Lattice:
    """Return the lattice of a Gaussian release of `size` values.

    Raises
    ------
    ValueError
        If sigma is above 2^32 lattice units, or the granularity is not a normal double.
    """
    root = math.sqrt(max(size, 1))
    g = _granularity(min(l2_sensitivity / (_WIDENING * root), sigma / LEAST_SIGMA), sigma, size)
    return Lattice(g, sigma / g, l2_sensitivity / g + root)


def gaussian_lattice_for(l2_sensitivity: float, noise_multiplier: float, size: int) -> Lattice:
    """Return the lattice of a Gaussian release whose *event* has a noise multiplier.

    The noise is as much wider than `noise_multiplier` times `l2_sensitivity` as rounding to the
    lattice and the event's eta^2 ask for, so that `gaussian_event` of it charges no more.

    Raises
    ------
    ValueError
        If sigma is above 2^32 lattice units, or the granularity is not a normal double.
    """
    plain = gaussian_lattice(l2_sensitivity, noise_multiplier * l2_sensitivity, size)
    wide = math.hypot(noise_multiplier * plain.sensitivity, math.sqrt(ETA_SQUARED))
    # The excess covers the roundings here and of sqrt(sigma^2 - eta^2): a few parts in 2^53.
    return Lattice(plain.granularity, wide * (1.0 + 2.0**-46), plain.sensitivity)


def laplace_lattice(l1_sensitivity: float, epsilon: float, size: int) -> Lattice:
    """Return the lattice of a Laplace release of `size` values; its sensitivity is whole.

    Raises
    ------
    ValueError
        If the scale is above 2^32 lattice units, or the granularity is not a normal double.
    """
    size = max(size, 1)
    scale = l1_sensitivity / epsilon
    g = _granularity(min(l1_sensitivity / (_WIDENING * size), scale / LEAST_SIGMA), scale, size)
    sensitivity = float(math.ceil(l1_sensitivity / g + size))
    return Lattice(g, sensitivity / epsilon, sensitivity)


def choice_lattice(sensitivity: float) -> tuple[float, float]:
    """Return the lattice of scores and values to compare, and the sensitivity in its units.

    It depends on the sensitivity alone, so integers and floats lie on the same one. Rounding to it
    moves two neighbours apart by up to 1; an integer above 2^53 is rounded to a double before,
    which is half a unit for both.

    Raises
    ------
    ValueError
        If the granularity is not a normal double.
    """
    g = _checked(sensitivity / _WIDENING)
    return g, sensitivity / g + 1.5


def _granularity(bound: float, sigma: float, size: int) -> float:
    g = _checked(bound)
    if sigma / g > _MOST_SIGMA:
        raise ValueError(
            f"sigma: expected at most 2^32 lattice units of {g:g} for {size} values, got "
            f"{sigma / g:.4g}; release fewer values at once or less noise"
        )
    return g


def _checked(bound: float) -> float:
    if not 2.0**-900 < bound < 2.0**900:
        raise ValueError(
            f"sensitivity, sigma: expected magnitudes whose lattice is a normal double, got a "
            f"granularity of {bound:g}; rescale the data"
        )
    return power_below(bound)


def gaussian_event(lattice: Lattice) -> Event:
    """Return the event of discrete Gaussian noise of at least 8 lattice units."""
    return Event.gaussian(
        sigma=math.sqrt(lattice.sigma**2 - ETA_SQUARED), sensitivity=lattice.sensitivity
    )


def gaussian_slack(noise: "DiscreteGaussian", size: int) -> float:
    """Return the distance of `size` draws from what `gaussian_event` says."""
    return size * (noise.tv_bound + EVENT_DISTANCE)
