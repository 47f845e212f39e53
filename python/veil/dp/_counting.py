"""Counts of a column's values per cell, edge interval or category."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _core
from veil.errors import DataError

__all__ = ["count_categories", "count_edges", "count_equal"]

_BLOCK = 1 << 18


def count_equal(
    name: str, column: npt.NDArray[Any], low: float, high: float, cells: int, *, clamp: bool
) -> npt.NDArray[np.int64]:
    """Return counts per equal cell of [low, high]; outside values count at the ends or not at all.

    Raises
    ------
    DataError
        If a value is NaN or infinite.
    """
    counts = np.zeros(cells, np.int64)
    scale = cells / (high - low)
    floats = column.dtype in (np.float32, np.float64) and column.dtype.isnative
    parts = [column] if floats else _as_doubles(column)
    below = above = bad = 0
    for part in parts:
        outside = _core.count_cells(np.ascontiguousarray(part), low, high, scale, counts)
        below, above, bad = below + outside[0], above + outside[1], bad + outside[2]
    if bad:
        raise DataError(f"{name}: expected finite values, got NaN or infinity in {bad} rows")
    if clamp:
        counts[0] += below
        counts[-1] += above
    return counts


def _as_doubles(column: npt.NDArray[Any]) -> Any:
    for begin in range(0, column.size, _BLOCK):
        yield column[begin : begin + _BLOCK].astype(np.float64)


def count_edges(column: npt.NDArray[Any], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return counts of [edges[i], edges[i + 1]), the last closed; outside values do not count."""
    counts, _ = np.histogram(column, bins=edges)
    return counts.astype(np.int64)


def count_categories(column: npt.NDArray[Any], categories: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Return counts of known categories; other values do not count."""
    if column.dtype.kind == "b":
        column = column.view(np.uint8)
    if column.dtype.kind in "iu" and column.dtype.isnative and _consecutive(categories):
        return _count_range(column, int(categories[0]), len(categories))
    wanted = np.asarray(categories)
    if (wanted.dtype.kind in "iub") != (column.dtype.kind in "iub"):
        raise TypeError(
            f"categories: expected values of the column's type ({column.dtype}), got {wanted.dtype}"
        )
    present, numbers = (
        np.unique_counts(column)
        if hasattr(np, "unique_counts")
        else np.unique(column, return_counts=True)
    )
    found = dict(zip(present.tolist(), numbers.tolist(), strict=True))
    return np.array([found.get(value, 0) for value in wanted.tolist()], np.int64)


def _consecutive(categories: Sequence[Any]) -> bool:
    if isinstance(categories, range):
        return categories.step == 1 and categories.start >= 0
    array = np.asarray(categories)
    return (
        array.dtype.kind in "iub"
        and int(array.min()) >= 0
        and int(array.max()) < 2**63
        and bool(np.all(np.diff(array.astype(np.int64)) == 1))
    )


def _count_range(column: npt.NDArray[Any], first: int, size: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(size, np.int64)
    _core.count_integers(np.ascontiguousarray(column), first, counts)
    return counts
