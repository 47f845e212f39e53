"""What the queries share: integer points, calibrated integer noise, and the record of an answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from veil._checks import real
from veil.dp._gaussian import gaussian_mu
from veil.dp._inputs import check_ledger, generator
from veil.dp._lattice import power_below
from veil.dp._samplers import discrete_laplace, rounded_gaussian
from veil.dp.events import Event, check_delta, check_positive
from veil.dp.release import Release, half_width_gaussian, half_width_laplace

if TYPE_CHECKING:
    from veil.dp.ledger import Ledger
    from veil.random import SecureGenerator

__all__ = [
    "Budget",
    "Grid",
    "Noise",
    "answer",
    "check_bounds",
    "check_spacing",
    "distance",
    "joint_noise",
    "noise_of_one",
    "prepared",
]

_MOST_POINTS = 2.0**30
_MOST_SCALE = 2.0**31
_MOST_EXPONENT = 900
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Budget:
    """Epsilon and delta of one query; delta = 0 asks for Laplace noise."""

    epsilon: float
    delta: float

    @classmethod
    def checked(cls, epsilon: float, delta: float) -> "Budget":
        """Return the budget, or raise ValueError naming the argument."""
        number = check_positive("epsilon", epsilon)
        if number < 2.0**-_MOST_EXPONENT:  # a share of it could be 0
            raise ValueError(f"epsilon: expected at least 2^-{_MOST_EXPONENT}, got {epsilon!r}")
        return cls(number, check_delta("delta", delta, zero_allowed=True))


def check_bounds(bounds: Any) -> tuple[float, float]:
    """Return (low, high) as floats, or raise ValueError unless low < high and both are finite."""
    try:
        low, high = (real("bounds", value) for value in bounds)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"bounds: expected a pair (low, high), got {bounds!r}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"bounds: expected finite low < high, got {bounds!r}")
    if not math.isfinite(high - low):
        raise ValueError(f"bounds: expected a finite width, got {bounds!r}")
    return low, high


def check_spacing(low: float, high: float, spacing: float) -> None:
    """Raise ValueError unless doubles tell points at this distance apart between the bounds."""
    largest = max(abs(low), abs(high))
    least = max(math.ulp(largest), 2.0**-_MOST_EXPONENT)
    if largest > 2.0**_MOST_EXPONENT or not least <= spacing <= 2.0**_MOST_EXPONENT:
        raise ValueError(
            f"bounds: expected points that doubles tell apart, got a distance of {spacing:g} "
            f"between {low!r} and {high!r}; rescale the values or choose wider steps"
        )


def distance(relation: str, *, one: float, two: float) -> float:
    """Return the sensitivity: `one` when a unit comes or goes, `two` when it is replaced."""
    return two if relation == "replace-one" else one


@dataclass(frozen=True, slots=True)
class Noise:
    """Integer noise for one coordinate: the distribution, and its scale in lattice units."""

    distribution: Any
    scale: float
    gaussian: bool

    @classmethod
    def laplace(cls, scale: float) -> "Noise":
        """Return discrete Laplace noise, or raise ValueError if its scale is out of range."""
        return cls(discrete_laplace(_in_range(scale)), scale, False)

    @property
    def name(self) -> str:
        """What the noise is called."""
        return "rounded Gaussian" if self.gaussian else "discrete Laplace"

    def half_width(self) -> float:
        """Half-width at 95 %, in lattice units."""
        return half_width_gaussian(self.scale) if self.gaussian else half_width_laplace(self.scale)

    def add(self, exact: npt.ArrayLike, rng: "SecureGenerator") -> npt.NDArray[np.int64]:
        """Return integers with a draw added to each: here every sum and count gets its noise."""
        points = np.asarray(exact, np.int64)
        noisy: npt.NDArray[np.int64] = points + self.distribution.sample(points.size, rng)
        return noisy


def joint_noise(
    budget: Budget, sensitivities: Sequence[float], shares: Sequence[float]
) -> tuple[list[Noise], Event]:
    """Return noise for coordinates released together, and their one event.

    With delta, Gaussian noise: mu^2 of coordinate i is its share of the whole. Without, discrete
    Laplace noise: its share of epsilon.
    """
    if budget.delta == 0.0:
        scales = [s / (budget.epsilon * w) for s, w in zip(sensitivities, shares, strict=True)]
        return [Noise.laplace(t) for t in scales], Event.pure(epsilon=budget.epsilon)
    mu = gaussian_mu(budget.epsilon, budget.delta * (1.0 - 1e-6))
    scales = [s / (mu * math.sqrt(w)) for s, w in zip(sensitivities, shares, strict=True)]
    gaussian = [Noise(rounded_gaussian(_in_range(t)), t, True) for t in scales]
    return gaussian, Event.gaussian(sigma=1.0 / mu, sensitivity=1.0)


def noise_of_one(budget: Budget) -> float:
    """Return the scale of the noise for sensitivity 1, to choose a grid by."""
    if budget.delta == 0.0:
        return 1.0 / budget.epsilon
    return 1.0 / gaussian_mu(budget.epsilon, budget.delta * (1.0 - 1e-6))


def _in_range(scale: float) -> float:
    if not 0.05 <= scale <= 2.0**32:
        raise ValueError(
            f"epsilon: expected noise of 0.05 to 2^32 lattice units, got {scale:g}; use another "
            "epsilon"
        )
    return scale


@dataclass(frozen=True, slots=True)
class Grid:
    """Lattice points for values in [low, high]: integers within +-top around the middle."""

    low: float
    high: float
    granularity: float
    top: int

    @classmethod
    def of(cls, low: float, high: float, noise_per_top: float, *, powers: int = 1) -> "Grid":
        """Return the finest grid that keeps the noise in range.

        Parameters
        ----------
        low, high : float
            Bounds of the values.
        noise_per_top : float
            Scale of the noise over the largest point.
        powers : int
            2 where squares of points are summed too.

        Raises
        ------
        ValueError
            If a step of the grid, or its square, is not a normal double.
        """
        half = (high - low) / 2.0
        largest = 2.0 ** (_MOST_EXPONENT // powers)
        if not 1.0 / largest < half / _MOST_POINTS < half < largest:
            raise ValueError(
                f"bounds: expected a width whose lattice is of normal doubles, got {high - low:g}; "
                "rescale the values"
            )
        finest = max(half / _MOST_POINTS, half * max(noise_per_top, 1.0) / _MOST_SCALE)
        g = 2.0 * power_below(finest)
        # A value at a bound rounds to at most one point beyond half / g.
        return cls(low, high, g, math.floor(half / g) + 1)

    @property
    def middle(self) -> float:
        """Where point 0 lies."""
        return self.low + (self.high - self.low) / 2.0

    def sums(self, values: npt.NDArray[Any], low: float, high: float, powers: int) -> list[int]:
        """Return the sums of points, and with `powers` = 2 of their scaled squares.

        Each value is clamped, rounded to a point and added in int64: exact, in any order. The
        points are at most 2^31, so 2^31 rows are safe.
        """
        totals = [0] * powers
        for begin in range(0, values.size, _BLOCK):
            block = values[begin : begin + _BLOCK].astype(np.float64)
            np.clip(block, low, high, out=block)
            block -= self.middle
            block /= self.granularity
            np.rint(block, out=block)
            np.clip(block, -self.top, self.top, out=block)
            totals[0] += int(block.astype(np.int64).sum())
            if powers == 2:
                block *= block
                block /= self.top
                np.rint(block, out=block)
                totals[1] += int(block.astype(np.int64).sum())
        return totals


def answer(
    *,
    value: Any,
    mechanism: str,
    granularity: float,
    sensitivity: float,
    sigma: float,
    event: Event,
    slack: float,
    ledger: "Ledger",
    rng: "SecureGenerator",
    error: Any,
    public: tuple[str, ...],
    labels: tuple[Any, ...] | None = None,
) -> Release:
    """Return the record of a query; its data is clamped and rounded before it is summed."""
    return Release(
        value=value,
        mechanism=mechanism,
        granularity=granularity,
        sensitivity=sensitivity,
        widened_sensitivity=sensitivity,
        sigma=sigma,
        event=event,
        slack=slack,
        exact_from="input",
        unit=ledger.unit,
        relation=ledger.relation,
        seeded=rng.seeded,
        error=error,
        public=public,
        labels=labels,
    )


def prepared(ledger: Any, rng: Any) -> "SecureGenerator":
    """Return the generator, after checking both."""
    check_ledger(ledger)
    return generator(rng)
