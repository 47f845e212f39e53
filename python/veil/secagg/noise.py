"""The noise that each client has put into its vector before it masks it: part of what all agree on.

The protocol adds no noise and can check none, for it sees masked words alone. That a session has
noise is part of the configuration's hash, so that nobody can be talked into another amount of it,
and `Client.mask` takes lattice points then and no floats: a vector without its noise does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from veil._checks import real, whole

if TYPE_CHECKING:
    from veil.noise import DiscreteGaussian, Skellam

__all__ = ["NoiseShare"]

Distribution = Literal["discrete-gaussian", "skellam"]

LEAST_SIGMA = 2.67
"""Below it sums of discrete Gaussians are not discrete Gaussians to 2**-99 (docs/design)."""
_RANGES = {  # what the samplers of `veil.noise` reach, and what a share must have
    "discrete-gaussian": (LEAST_SIGMA, 2.0**32),
    "skellam": (0.5, 2.0**12),
}
_TAIL = 12.0  # standard deviations that a sum's noise exceeds with probability below 2^-100
_NEWTON_STEPS = 8
_WRAPS = 101 * math.log(2.0)  # minus the logarithm of that probability, for one of two sides


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseShare:
    """One client's share of the noise on the sum, in lattice units.

    Parameters
    ----------
    distribution : {"discrete-gaussian", "skellam"}
        Family of the noise; sums of shares stay in it.
    sigma : float
        Standard deviation of one client's share: 2.67 to 2**32 for the discrete Gaussian, 0.5 to
        2**12 for Skellam, which is what their samplers reach.

    Raises
    ------
    ValueError
        If a value is out of range.
    TypeError
        If `sigma` is not a number.
    """

    distribution: Distribution
    sigma: float

    def __post_init__(self) -> None:
        if self.distribution not in ("discrete-gaussian", "skellam"):
            raise ValueError(
                'distribution: expected "discrete-gaussian" or "skellam", got '
                f"{self.distribution!r}"
            )
        object.__setattr__(self, "sigma", real("sigma", self.sigma))
        least, most = _RANGES[self.distribution]
        if not least <= self.sigma < math.inf:  # NaN is neither
            raise ValueError(
                f"sigma: expected at least {least} lattice units of {self.distribution} noise per "
                f"client, got {self.sigma}; use a finer lattice or more noise"
            )
        if self.sigma > most:
            raise ValueError(
                f"sigma: expected at most {most:.0f} lattice units of {self.distribution} noise "
                f"per client, got {self.sigma}; use a coarser lattice"
            )

    def sampler(self) -> DiscreteGaussian | Skellam:
        """Return what draws the share.

        Returns
        -------
        DiscreteGaussian or Skellam
            From `veil.noise`.
        """
        from veil import noise

        if self.distribution == "skellam":
            return noise.Skellam(self.sigma**2)
        return noise.DiscreteGaussian(self.sigma)

    def headroom(self, clients: int) -> int:
        """Bound the noise in a sum, except with probability below 2**-100 per value.

        Parameters
        ----------
        clients : int
            Most clients in the sum.

        Returns
        -------
        int
            12 standard deviations of the sum, in lattice units; for a narrow Skellam sum, whose
            tails are heavier, as much as Chernoff's bound asks for.
        """
        clients = whole("clients", clients, least=1)
        variance = clients * self.sigma**2
        most = math.ceil(_TAIL * math.sqrt(clients) * self.sigma)
        if self.distribution != "skellam" or _rate(most, variance) > _WRAPS:
            return most
        return _least_beyond(most, variance)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseShare:
        """Inverse of `to_dict`; checks every value.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.
        """
        if set(values) != set(cls.__slots__):
            wrong = sorted(set(values) ^ set(cls.__slots__))
            raise ValueError(f"expected the fields {cls.__slots__}; missing or unknown: {wrong}")
        return cls(**values)


def _rate(most: float, variance: float) -> float:
    """Chernoff's exponent: a Skellam variable is above `most` with probability below exp(-rate)."""
    u = most / variance
    return most * math.asinh(u) - variance * u * u / (1.0 + math.hypot(1.0, u))


def _least_beyond(first: int, variance: float) -> int:
    """Least whole number above `first` whose rate is enough, by Newton's method and one look."""
    x = float(first)
    for _ in range(_NEWTON_STEPS):  # the rate is convex, its slope is asinh(x / variance)
        x += (_WRAPS - _rate(x, variance)) / math.asinh(x / variance)
    below = max(math.ceil(x) - 1, first)  # x is right to far less than 1, but may be whole
    return below if _rate(below, variance) > _WRAPS else below + 1
