"""Checks of settings: each returns its value or says what was expected."""

from __future__ import annotations

import math

from veil._checks import is_whole, whole


def positive(name: str, value: float) -> float:
    """Return a finite number > 0, or raise ValueError."""
    if isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")
    return float(value)


def norm(name: str, value: float) -> float:
    """Return a norm whose square is a normal double, or raise ValueError.

    Squares of values far above a smaller one would vanish: they would not be clipped.
    """
    if not 2.0**-500 <= positive(name, value) <= 2.0**500:
        raise ValueError(f"{name}: expected 2^-500 to 2^500, got {value!r}; rescale the data")
    return float(value)


def not_negative(name: str, value: float) -> float:
    """Return a finite number >= 0, or raise ValueError."""
    if isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite number >= 0, got {value!r}")
    return float(value)


def fraction(name: str, value: float) -> float:
    """Return a number in [0, 1), or raise ValueError."""
    if isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {value!r}")
    return float(value)


def count(name: str, value: int) -> int:
    """Return an integer >= 1, or raise ValueError."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")
    return whole(name, value)


def fix_counts(record: object, *names: str) -> None:
    """Make fields of a frozen dataclass integers >= 1, or raise ValueError."""
    for name in names:
        object.__setattr__(record, name, count(name, getattr(record, name)))
