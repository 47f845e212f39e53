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

if TYPE_CHECKING:
    from veil.noise import DiscreteGaussian, Skellam

__all__ = ["NoiseShare"]

Distribution = Literal["discrete-gaussian", "skellam"]

LEAST_SIGMA = 2.67
"""Below it sums of discrete Gaussians are not discrete Gaussians to 2**-99 (docs/design)."""
_TAIL = 12.0  # standard deviations that a sum's noise exceeds with probability below 2^-100


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseShare:
    """One client's share of the noise on the sum, in lattice units.

    Parameters
    ----------
    distribution : {"discrete-gaussian", "skellam"}
        Family of the noise; sums of shares stay in it.
    sigma : float
        Standard deviation of one client's share: at least 2.67 for the discrete Gaussian.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    distribution: Distribution
    sigma: float

    def __post_init__(self) -> None:
        if self.distribution not in ("discrete-gaussian", "skellam"):
            raise ValueError(
                'distribution: expected "discrete-gaussian" or "skellam", got '
                f"{self.distribution!r}"
            )
        least = LEAST_SIGMA if self.distribution == "discrete-gaussian" else 0.5
        if not (math.isfinite(self.sigma) and self.sigma >= least):
            raise ValueError(
                f"sigma: expected at least {least} lattice units of {self.distribution} noise per "
                f"client, got {self.sigma}; use a finer lattice or more noise"
            )

    def sampler(self) -> DiscreteGaussian | Skellam:
        """Return what draws the share.

        Returns
        -------
        DiscreteGaussian or Skellam
            From `veil.noise`.

        Raises
        ------
        ValueError
            If the sampler does not reach so wide a share.
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
        most = math.ceil(_TAIL * math.sqrt(clients) * self.sigma)
        while self.distribution == "skellam" and not _is_beyond(most, clients * self.sigma**2):
            most += 1
        return most

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


def _is_beyond(most: int, variance: float) -> bool:
    """Whether a Skellam variable is larger with probability below 2^-100, by Chernoff's bound."""
    rate = most * math.asinh(most / variance) - math.hypot(most, variance) + variance
    return rate > 101 * math.log(2.0)
