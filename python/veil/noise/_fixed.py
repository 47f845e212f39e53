"""Real numbers in units of 2^-256, and enclosures of the few transcendental ones.

The transcendental functions are mpmath's interval arithmetic; docs/design/noise.md, section 2.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from mpmath import libmp

__all__ = ["ONE", "PRECISION", "Interval", "exp", "ratio", "sqrt_two_pi"]

PRECISION = 256
ONE = 1 << PRECISION
_WORKING_BITS = 400  # mpmath's own rounding stays far below a unit of 2^-256


class Interval(NamedTuple):
    """An enclosure low <= x <= high of one number, in units of 2^-256."""

    low: int
    high: int


def ratio(x: Fraction) -> Interval:
    """Enclose a rational number."""
    scaled = x.numerator << PRECISION
    return Interval(scaled // x.denominator, -(-scaled // x.denominator))


def exp(x: Fraction) -> Interval:
    """Enclose e^x."""
    return _outwards(libmp.mpi_exp(_quotient(x), _WORKING_BITS))


@lru_cache(maxsize=1)
def sqrt_two_pi() -> Interval:
    """Enclose the square root of 2 pi."""
    two_pi = libmp.mpi_mul(_pi(), _integer(2), _WORKING_BITS)
    return _outwards(libmp.mpi_sqrt(two_pi, _WORKING_BITS))


def _pi() -> Any:
    return (
        libmp.mpf_pi(_WORKING_BITS, libmp.round_floor),
        libmp.mpf_pi(_WORKING_BITS, libmp.round_ceiling),
    )


def _integer(n: int) -> Any:
    return libmp.from_int(n), libmp.from_int(n)


def _quotient(x: Fraction) -> Any:
    return libmp.mpi_div(_integer(x.numerator), _integer(x.denominator), _WORKING_BITS)


def _outwards(interval: Any) -> Interval:
    low, high = interval
    return Interval(_floor(low), -_floor(libmp.mpf_neg(high)))


def _floor(number: Any) -> int:
    return int(libmp.to_int(libmp.mpf_shift(number, PRECISION), libmp.round_floor))
