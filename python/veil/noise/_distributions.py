"""The distributions of exact integer noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, SupportsFloat

import numpy as np

from veil import _arrays, _core
from veil.noise import _convolution
from veil.noise._convolution import CONVOLUTION_DISTANCE, Level
from veil.noise._table import build
from veil.random import SecureGenerator
from veil.random._outputs import Shape, target

__all__ = ["DiscreteGaussian", "DiscreteLaplace", "RoundedGaussian", "Skellam"]


class _Distribution:
    """What the distributions share: a sampler, its certificate and its variance."""

    __slots__ = ("_parameter", "_sampler", "_tv_bound", "_variance")
    _name: str

    def __init__(self, parameter: float, levels: Iterable[Level], convolutions: int) -> None:
        terms = [(level.shift, build(level.masses, *level.parameters)) for level in levels]
        self._parameter = parameter
        self._sampler = _core.TableSampler([(table.native, shift) for shift, table in terms])
        self._variance = float(sum(4**shift * table.variance for shift, table in terms))
        distance = sum(table.distance for _, table in terms) + convolutions * CONVOLUTION_DISTANCE
        self._tv_bound = _round_up(Fraction(distance))

    @property
    def tv_bound(self) -> float:
        """Upper bound of one draw's total-variation distance to the stated distribution.

        Computed from the finished tables, in exact arithmetic. `n` draws are within `n` times it.
        """
        return self._tv_bound

    @property
    def variance(self) -> float:
        """Variance of what is drawn, exact but for its rounding to a float."""
        return self._variance

    def sample(
        self,
        n: Shape,
        rng: SecureGenerator,
        *,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Draw independent values.

        Each is within `tv_bound` of the stated distribution in total variation, given uniform
        random bits; those of `rng` are as good as AES-256.

        Parameters
        ----------
        n : int or tuple of int
            Number of values, or the shape of the result.
        rng : SecureGenerator
            Where the random bits come from.
        out : ndarray or CPU tensor of int64, shape `n`, optional
            C-contiguous array that receives the values.
        threads : int, optional
            Most threads to use; they change the speed, never the values.

        Returns
        -------
        ndarray or tensor of int64
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `rng` is not a SecureGenerator, or `out` is not an array of int64.
        ValueError
            If `n` is negative, or `out` has another shape, is not contiguous or not writable.

        Notes
        -----
        10 random bytes and one table read per value and level (1 level for small parameters, at
        most 5 for wide Gaussians, 16 for Skellam). Branches and the amount of work do not depend
        on the values, except for a branch of probability 2**-64 per read; the addresses of the
        reads do (see SECURITY.md). Equal seeds give equal values on every instruction set and
        number of threads.
        """
        check_generator(rng)
        array, result = target("n", n, np.int64, out)
        self._sampler.sample(rng, array, threads)
        return result

    def add_to_lattice(
        self,
        x: Any,
        rng: SecureGenerator,
        *,
        granularity: float,
        out: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Round floats to a lattice and add one draw to each: granularity (round(x / g) + Z).

        The result lies on the lattice exactly (float32 is rounded to its own precision after the
        noise). The draws are those that `sample` would make.

        Parameters
        ----------
        x : ndarray or CPU tensor of float32 or float64
            Finite values, any shape, C-contiguous; x / g is rounded to nearest, ties to even, and
            clamped to 2**52 in magnitude.
        rng : SecureGenerator
            Where the random bits come from.
        granularity : float
            The g above, a power of two.
        out : ndarray or CPU tensor like `x`, optional
            Receives the result; may be `x`.
        threads : int, optional
            Most threads to use; they change the speed, never the values.

        Returns
        -------
        ndarray or tensor
            `out`, or a new array.

        Raises
        ------
        TypeError
            If `rng` is not a SecureGenerator, or `x` or `out` has another dtype.
        ValueError
            If `granularity` is not a power of two from 2**-960 (2**-125 for float32) to 2**960, or
            `out` has another shape, is not contiguous or not writable, or overlaps `x` in part.

        Notes
        -----
        Fused with the sampler, block by block: one pass over `x` and `out`.
        """
        check_generator(rng)
        source = _arrays.array(x, "x")
        room = _arrays.empty_like(x) if out is None else out
        array, result = target("x", source.shape, source.dtype, room)
        self._sampler.add_to_lattice(rng, source, array, float(granularity), threads)
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name}={self._parameter!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Distribution):
            return NotImplemented
        return type(self) is type(other) and self._parameter == other._parameter

    def __hash__(self) -> int:
        return hash((type(self), self._parameter))

    def __reduce__(self) -> tuple[type, tuple[float]]:
        return type(self), (self._parameter,)


class DiscreteGaussian(_Distribution):
    """Draw from the discrete Gaussian on the integers.

    P(Z = z) is proportional to exp(-z² / (2 σ²)); one draw is within `tv_bound` < 2**-80 of it in
    total variation.

    Parameters
    ----------
    sigma : float, lattice units
        The σ of the formula, from 0.5 to 2**32. The standard deviation is σ within 1e-8 from
        σ = 1 on, and less below; `variance` is exact.

    Raises
    ------
    ValueError
        If `sigma` is outside its range.

    Notes
    -----
    The first use of a σ builds its table (below 50 ms); later ones find it in a cache.

    References
    ----------
    C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian for differential privacy", arXiv
    2004.00010. D. Micciancio, M. Walter, "Gaussian sampling over the integers", eprint 2017/259.

    Examples
    --------
    >>> noise = veil.noise.DiscreteGaussian(100.0)
    >>> noise.sample(3, veil.random.SecureGenerator()).dtype
    dtype('int64')
    >>> noise.tv_bound < 2**-80
    True
    """

    __slots__ = ()
    _name = "sigma"

    def __init__(self, sigma: SupportsFloat) -> None:
        value = _in_range("sigma", sigma, 0.5, 2.0**32)
        levels = list(_convolution.discrete_gaussian_levels(Fraction(value) ** 2))
        super().__init__(value, levels, len(levels) - 1)

    @property
    def sigma(self) -> float:
        """The σ of the formula, in lattice units."""
        return self._parameter


class RoundedGaussian(_Distribution):
    """Draw a normal variable rounded to the nearest integer.

    Z = round(X) with X normal of mean 0 and standard deviation σ; one draw is within `tv_bound` <
    2**-80 of it in total variation. Added to integers, it is exactly a post-processed Gaussian
    mechanism.

    Parameters
    ----------
    sigma : float, lattice units
        Standard deviation before rounding, from 0.05 to 2**32.

    Raises
    ------
    ValueError
        If `sigma` is outside its range.

    Notes
    -----
    `variance` is that of the rounded variable, σ² + 1/12 within 1e-8 from σ = 1 on. The first use
    of a σ builds its tables; later ones find them in a cache.

    References
    ----------
    D. Micciancio, M. Walter, "Gaussian sampling over the integers", eprint 2017/259.

    Examples
    --------
    >>> round(veil.noise.RoundedGaussian(2.0).variance, 6)
    4.083333
    """

    __slots__ = ()
    _name = "sigma"

    def __init__(self, sigma: SupportsFloat) -> None:
        value = _in_range("sigma", sigma, 0.05, 2.0**32)
        levels = list(_convolution.rounded_gaussian_levels(Fraction(value) ** 2))
        super().__init__(value, levels, len(levels) - 1)

    @property
    def sigma(self) -> float:
        """Standard deviation before rounding, in lattice units."""
        return self._parameter


class DiscreteLaplace(_Distribution):
    """Draw from the discrete Laplace distribution on the integers.

    P(Z = z) is proportional to exp(-|z| / scale), the two-sided geometric distribution; one draw
    is within `tv_bound` < 2**-80 of it in total variation.

    Parameters
    ----------
    scale : float, lattice units
        From 1/32 to 2**32.

    Raises
    ------
    ValueError
        If `scale` is outside its range.

    Notes
    -----
    A geometric variable's binary digits are independent, so that Z is a sum over groups of at
    most 12 digits, each a table of its own, up to the last, which is a discrete Laplace variable
    again: 1 to 4 tables. The first use of a scale builds them; later ones find them in a cache.

    References
    ----------
    A. Ghosh, T. Roughgarden, M. Sundararajan, "Universally utility-maximizing privacy mechanisms",
    STOC 2009.

    Examples
    --------
    >>> round(veil.noise.DiscreteLaplace(2.0).variance, 3)
    7.835
    """

    __slots__ = ()
    _name = "scale"

    def __init__(self, scale: SupportsFloat) -> None:
        value = _in_range("scale", scale, 2.0**-5, 2.0**32)
        super().__init__(value, _convolution.discrete_laplace_levels(Fraction(value)), 0)

    @property
    def scale(self) -> float:
        """The scale of the formula, in lattice units."""
        return self._parameter


class Skellam(_Distribution):
    """Draw the difference of two Poisson variables of equal mean.

    ``P(Z = z) = exp(-v) I_|z|(v)`` for the variance v; one draw is within `tv_bound` < 2**-80 of it
    in total variation. Sums of independent Skellam variables are Skellam, which makes it the noise
    for shares added by many parties.

    Parameters
    ----------
    variance : float, lattice units squared
        From 0.25 to 2**24. Above, use DiscreteGaussian.

    Raises
    ------
    ValueError
        If `variance` is outside its range.

    Notes
    -----
    One table up to a variance of 2**20, at most 16 draws summed above it. The first use of a
    variance builds its table (below 50 ms); later ones find it in a cache.

    References
    ----------
    N. Agarwal, P. Kairouz, Z. Liu, "The Skellam mechanism for differentially private federated
    learning", arXiv 2110.04995.

    Examples
    --------
    >>> veil.noise.Skellam(10.0).variance
    10.0
    """

    __slots__ = ()
    _name = "variance"

    def __init__(self, variance: SupportsFloat) -> None:
        value = float(variance)
        if value > 2.0**24:
            raise ValueError(
                f"variance: expected at most 2**24 lattice units squared, got {value}; use "
                "DiscreteGaussian"
            )
        value = _in_range("variance", value, 0.25, 2.0**24)
        super().__init__(value, _convolution.skellam_levels(Fraction(value)), 0)


def check_generator(rng: object) -> None:
    """Raise TypeError unless `rng` is a SecureGenerator."""
    if not isinstance(rng, SecureGenerator):
        raise TypeError(f"rng: expected a veil.random.SecureGenerator, got {type(rng).__name__}")


def _in_range(name: str, value: SupportsFloat, least: float, most: float) -> float:
    number = float(value)
    if not least <= number <= most:  # NaN is outside too
        raise ValueError(f"{name}: expected {least} to {most} lattice units, got {number}")
    return number


def _round_up(x: Fraction) -> float:
    nearest = float(x)
    return nearest if Fraction(nearest) >= x else math.nextafter(nearest, math.inf)
