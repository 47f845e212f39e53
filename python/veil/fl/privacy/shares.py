"""The lattice of a distributed mechanism, the noise of one site, and the ring that holds the sum.

m honest shares add up to the noise that the event names: σᵢ² = ((z·Δ)² + η²)/m for the discrete
Gaussian, where η² is what its smoothing costs (docs/design/noise.md), and (z·Δ)²/m for Skellam.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from veil.dp._lattice import ETA_SQUARED, power_below
from veil.fixed_point import FixedPoint
from veil.fl.privacy.rounding import norm_bound
from veil.secagg import NoiseShare

__all__ = ["Shares", "patients_of_a_round", "record_shares", "site_shares"]

_UP = 1.0 + 2.0**-46  # covers the roundings of these few operations
_RECORD_WIDENING = 1000.0  # √d of rounding is at most a thousandth of the clip
_SITE_WIDENING = 1.01
_EVENT_DISTANCE = 2.0**-98  # per value and share: smoothing, and adding two discrete Gaussians


@dataclass(frozen=True, slots=True)
class Shares:
    """What every site rounds to, draws and masks with; all of it is agreed on.

    Parameters
    ----------
    granularity : float
        g, a power of two.
    sensitivity, l1_sensitivity : float
        Of the rounded sum, L2 and L1, in lattice units.
    share : NoiseShare
        The noise of one site.
    codec : FixedPoint
        From lattice points to the ring.
    slack : float
        Total-variation distance of one round's noise from what its event says.
    """

    granularity: float
    sensitivity: float
    l1_sensitivity: float
    share: NoiseShare
    codec: FixedPoint
    slack: float

    @property
    def most(self) -> int:
        """Largest magnitude of a site's point before its noise."""
        return (1 << (self.codec.bits - 1)) - 1


def patients_of_a_round(population: int, q: float) -> int:
    """Bound the patients that a round draws, except with probability below e^-24.

    Bernstein's inequality. A site's sum is cut at so many clipping norms per value, which costs
    no privacy and, beyond this number of patients at one site alone, accuracy.

    Parameters
    ----------
    population : int
        N.
    q : float
        Sampling probability.

    Returns
    -------
    int
        The bound, at most `population`.
    """
    return min(population, math.ceil(q * population + 7.0 * math.sqrt(q * population) + 16.0))


def record_shares(
    *,
    clip: float,
    noise_multiplier: float,
    size: int,
    sites: int,
    honest: int,
    patients: int,
) -> Shares:
    """Choose lattice and noise when one patient adds up to `clip` to a site's sum.

    Parameters
    ----------
    clip : float
        C.
    noise_multiplier : float
        z.
    size : int
        d, values of the sum.
    sites : int
        Most sites in a sum.
    honest : int
        m, fewest honest ones.
    patients : int
        Clipping norms that a site's value may reach.

    Returns
    -------
    Shares
        With √d at most a thousandth of C in lattice units, so that rounding widens by that.

    Raises
    ------
    ValueError
        If a share is too small or too wide for its sampler, or the ring too narrow.
    """
    root = math.sqrt(size)
    g = power_below(clip / (_RECORD_WIDENING * root))
    sensitivity = (clip / g + root) * _UP
    return _shares(
        g, sensitivity, math.ceil(patients * clip / g), noise_multiplier, size, sites, honest
    )


def site_shares(
    *,
    clip: float,
    noise_multiplier: float,
    length: int,
    sites: int,
    honest: int,
    distribution: Literal["discrete-gaussian", "skellam"],
) -> Shares:
    """Choose lattice and noise when one site's whole vector has norm `clip`.

    Parameters
    ----------
    clip : float
        C.
    noise_multiplier : float
        z.
    length : int
        d, values of the vector as it is rounded.
    sites, honest : int
        Most sites in a sum, fewest honest ones.
    distribution : {"discrete-gaussian", "skellam"}
        Family of the noise.

    Returns
    -------
    Shares
        With the coarsest lattice whose conditional rounding widens the norm by at most 1 %.

    Raises
    ------
    ValueError
        If a share is too small or too wide for its sampler, or the ring too narrow.
    """
    g = next(
        g
        for g in _halved(power_below(clip))
        if norm_bound(clip / g, length) * g <= _SITE_WIDENING * clip
    )
    sensitivity = norm_bound(clip / g, length)
    most = math.ceil(sensitivity)
    return _shares(g, sensitivity, most, noise_multiplier, length, sites, honest, distribution)


def _halved(g: float) -> Iterator[float]:
    while g > 0.0:
        yield g
        g /= 2.0
    raise ValueError("clip: expected a magnitude whose lattice is a normal double")


def _shares(
    g: float,
    sensitivity: float,
    most: int,
    noise_multiplier: float,
    length: int,
    sites: int,
    honest: int,
    distribution: Any = "discrete-gaussian",
) -> Shares:
    smoothing = math.sqrt(ETA_SQUARED) if distribution == "discrete-gaussian" else 0.0
    total = math.hypot(noise_multiplier * sensitivity, smoothing) * _UP
    share = NoiseShare(distribution=distribution, sigma=total / math.sqrt(honest))
    # The sampler first: it refuses what it does not reach before anything is derived from it.
    slack = length * sites * (share.sampler().tv_bound + _EVENT_DISTANCE)
    bits = max(2, most.bit_length() + 1)
    codec = FixedPoint(
        clip=((1 << (bits - 1)) - 1) * g,
        bits=bits,
        max_summands=sites,
        rounding="nearest",
        noise=share.headroom(sites),
    )
    # For integers |k| <= k^2: the L1 norm is at most the L2 norm squared, and √d times it.
    l1 = min(math.sqrt(length), sensitivity) * sensitivity * _UP
    return Shares(g, sensitivity, l1, share, codec, slack)
