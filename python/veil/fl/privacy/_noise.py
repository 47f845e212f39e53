"""The seam between a private round and its noise: a plan, and noise added to a total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from veil.dp._lattice import Lattice, gaussian_lattice_for, gaussian_slack
from veil.dp._samplers import discrete_gaussian

if TYPE_CHECKING:
    import numpy as np

    from veil.noise import DiscreteGaussian
    from veil.random import SecureGenerator


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """One mechanism's noise on a vector: what is drawn, and what an accountant may be told.

    `slack` is of one draw of the whole vector.
    """

    lattice: Lattice
    noise: DiscreteGaussian
    sensitivity: float
    slack: float

    @property
    def granularity(self) -> float:
        """Step of the lattice."""
        return self.lattice.granularity

    @property
    def sensitivity_widened(self) -> float:
        """The sensitivity after rounding to the lattice."""
        return self.lattice.sensitivity * self.granularity

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise on each value."""
        return self.lattice.sigma * self.granularity


class LatticeGaussian:
    """Discrete Gaussian noise on a lattice, exact from the rounded total on."""

    def plan(self, *, noise_multiplier: float, sensitivity: float, size: int) -> NoisePlan:
        """Choose the noise for a total of `size` values that one unit changes by `sensitivity`.

        `noise_multiplier` is that of the event: the noise itself is wider, for the lattice.
        """
        lattice = gaussian_lattice_for(sensitivity, noise_multiplier, size)
        noise = discrete_gaussian(lattice.sigma)
        return NoisePlan(lattice, noise, sensitivity, gaussian_slack(noise, size))

    def add(
        self, total: NDArray[np.float64], plan: NoisePlan, rng: SecureGenerator
    ) -> NDArray[np.float64]:
        """Return `total`, rounded to the lattice, with fresh noise."""
        noisy: NDArray[np.float64] = plan.noise.add_to_lattice(
            total, rng, granularity=plan.granularity
        )
        return noisy
