"""Shapes and `out=` of every draw."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from veil import _arrays
from veil._checks import whole

__all__ = ["Shape", "at_least", "target"]

Shape = SupportsIndex | tuple[SupportsIndex, ...]


def at_least(name: str, value: SupportsIndex, least: int) -> int:
    """Return an integer argument, or raise TypeError, or ValueError if it is below `least`."""
    return whole(name, value, least=least)


def target(name: str, shape: Shape, dtype: npt.DTypeLike, out: Any) -> tuple[npt.NDArray[Any], Any]:
    """Return the array to fill, and the object to give back: `out` or a new array.

    Parameters
    ----------
    name : str
        The argument that gives the shape.
    shape : int or tuple of int
        Shape of the result.
    dtype : data-type
        Type of the result.
    out : ndarray or CPU tensor, optional
        Memory of that shape and type.

    Returns
    -------
    array : ndarray
        A view of the memory to fill.
    result : ndarray or tensor
        What the caller gets.

    Raises
    ------
    TypeError
        If `out` is not an array in main memory, or has another dtype.
    ValueError
        If `out` has another shape, or a size is negative.
    """
    sizes = shape if isinstance(shape, tuple) else (shape,)
    dimensions = tuple(at_least(name, size, 0) for size in sizes)
    wanted = np.dtype(dtype)
    if out is None:
        array = np.empty(dimensions, wanted)
        return array, array
    array = _arrays.array(out, "out")
    if array.dtype != wanted:
        raise TypeError(f"out: expected dtype {wanted}, got {array.dtype}")
    if array.shape != dimensions:
        raise ValueError(f"out: expected shape {dimensions}, got {array.shape}")
    return array, out
