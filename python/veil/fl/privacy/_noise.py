"""The seam between a private round and its noise: a plan, and noise added to a total."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from veil.random import SecureGenerator


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """One mechanism's noise on a vector: what is drawn, and what an accountant may be told."""

    sensitivity: float
    sensitivity_widened: float
    sigma: float
    granularity: float | None
    slack: float
    caveat: str


class FloatGaussian:
    """Gaussian noise in float64: real arithmetic is assumed, low bits are not protected."""

    def plan(self, *, noise_multiplier: float, sensitivity: float, size: int) -> NoisePlan:
        """Choose the noise for a total of `size` values that one unit changes by `sensitivity`."""
        return NoisePlan(
            sensitivity=sensitivity,
            sensitivity_widened=sensitivity,
            sigma=noise_multiplier * sensitivity,
            granularity=None,
            slack=0.0,
            caveat="floating-point noise: guarantee is for real arithmetic",
        )

    def add(
        self, total: NDArray[np.float64], plan: NoisePlan, rng: SecureGenerator
    ) -> NDArray[np.float64]:
        """Return `total` with fresh noise."""
        drawn: NDArray[np.float64] = rng.normal(total.shape, dtype=np.float64, scale=plan.sigma)
        drawn += total
        return drawn
