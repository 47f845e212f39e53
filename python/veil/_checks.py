"""Numbers in arguments: one rule for what counts as one, in every layer.

Whole numbers are Python's and NumPy's integers, and are returned as ``int``; booleans, floats and
text are none. Real numbers are returned as ``float``, so that records of them are plain JSON.
"""

import operator
from typing import Any

import numpy as np

__all__ = ["fix_whole", "is_whole", "real", "whole", "whole_or_none"]


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer, of Python, NumPy or another library."""
    if type(value) is int:
        return True
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")).endswith("bool"):
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def whole(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as ``int``.

    Parameters
    ----------
    name : str
        Of the argument.
    value : int
        The value.
    least, most : int, optional
        The range.

    Returns
    -------
    int
        The value.

    Raises
    ------
    TypeError
        If it is of another type.
    ValueError
        If it is out of range.
    """
    number = value
    if type(value) is not int:
        if not is_whole(value):
            raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
        number = operator.index(value)
    if (least is not None and number < least) or (most is not None and number > most):
        got = number if abs(number) < 2**128 else "one of more than 128 bits"
        raise ValueError(f"{name}: expected {_range(least, most)}, got {got}")
    return int(number)


def whole_or_none(name: str, value: Any, *, least: int | None = None) -> int | None:
    """Return None as it is and all else as `whole` does."""
    return None if value is None else whole(name, value, least=least)


def fix_whole(
    record: object, *names: str, least: int | None = None, most: int | None = None
) -> None:
    """Make fields of a frozen dataclass ``int``, or raise as `whole` does."""
    for name in names:
        value = whole(name, getattr(record, name), least=least, most=most)
        object.__setattr__(record, name, value)


def real(name: str, value: Any) -> float:
    """Return a number as ``float``; TypeError if it is none, ValueError if it is too large."""
    known = isinstance(value, int | float | np.integer | np.floating)
    if not known or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number in a float's range") from None


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"
