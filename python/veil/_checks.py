"""Whole numbers in arguments: one rule for what counts as one, in every layer.

Python's and NumPy's integers do, and are returned as ``int``; booleans, floats and text do not.
"""

import operator
from typing import Any

import numpy as np

__all__ = ["is_whole", "whole"]


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer, of Python, NumPy or another library."""
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
    if not is_whole(value):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    number = operator.index(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name}: expected {_range(least, most)}, got {number}")
    return number


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"
