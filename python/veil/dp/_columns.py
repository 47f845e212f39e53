"""Columns of a table as NumPy arrays, and how many rows each patient may contribute."""

from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _arrays
from veil.dp._inputs import require_finite
from veil.dp.events import check_count
from veil.errors import DataError

__all__ = ["MOST_ROWS", "categories_of", "kept_rows", "numbers"]

# Sums of points of at most 2^31 then stay below 2^62.
MOST_ROWS = 2**31


def _family(column: Any) -> str:
    return type(column).__module__.partition(".")[0]


def _as_array(name: str, column: Any) -> npt.NDArray[Any]:
    """Return a one-dimensional array; missing entries of data frames are refused."""
    family = _family(column)
    missing = 0
    if family == "pandas":
        missing = int(column.isna().sum())
        array = column.to_numpy() if missing else _pandas_array(column)
    elif family == "polars":
        missing = int(column.null_count())
        array = column.to_numpy() if not missing else np.empty(0)
    elif isinstance(column, list | tuple):
        array = np.asarray(column)
    else:
        array = _arrays.array(column, name)
    if missing:
        raise DataError(
            f"{name}: expected no missing values, got {missing} of {len(column)}; drop or fill "
            "them by a public rule"
        )
    if array.ndim != 1:
        raise DataError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size == 0:
        raise DataError(f"{name}: expected at least one row, got none")
    if array.size > MOST_ROWS:
        raise DataError(
            f"{name}: expected at most 2^31 rows, got {array.size}; sums could overflow 64 bits"
        )
    return array


def _pandas_array(column: Any) -> npt.NDArray[Any]:
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iufb":
        # Nullable types would otherwise become objects.
        return np.asarray(column.to_numpy(dtype=np.dtype(f"{kind}{_item_size(column)}")))
    return np.asarray(column.to_numpy())


def _item_size(column: Any) -> int:
    return int(getattr(column.dtype, "itemsize", 8))


def numbers(name: str, column: Any, *, finite: bool = True) -> npt.NDArray[Any]:
    """Return a column of finite numbers: floats as they are, booleans and integers as integers.

    With ``finite=False`` the caller looks for NaN and infinity itself.

    Raises
    ------
    TypeError
        If it does not hold numbers.
    DataError
        If it is empty, not one-dimensional, or holds missing, NaN or infinite entries.
    """
    array = _as_array(name, column)
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and finite:
        require_finite(name, array)
    return array


def categories_of(name: str, column: Any) -> npt.NDArray[Any]:
    """Return a column of categories: strings, integers or booleans.

    Raises
    ------
    TypeError
        If it holds floats or other objects.
    DataError
        If it is empty, not one-dimensional, or holds missing entries.
    """
    array = _as_array(name, column)
    if array.dtype.kind == "O":
        if not all(isinstance(value, str) for value in array):
            raise TypeError(f"{name}: expected categories of one type, strings or integers")
        array = array.astype(str)
    if array.dtype.kind == "T":
        array = array.astype(str)
    if array.dtype.kind not in "iubU":
        raise TypeError(
            f"{name}: expected categories (strings, integers or booleans), got {array.dtype}; give "
            "bins= for numbers"
        )
    return array


def kept_rows(
    patient_ids: Any, rows: int, max_rows_per_patient: int | None
) -> tuple[npt.NDArray[np.intp] | None, int]:
    """Return which rows count, or None for all, and most rows per unit.

    Parameters
    ----------
    patient_ids : column or None
        None says that each row is its own patient.
    rows : int
        Number of rows of the values.
    max_rows_per_patient : int or None
        Rows of one patient beyond this many, in the order given, are left out.

    Raises
    ------
    DataError
        If `patient_ids` has another length or missing entries.
    TypeError, ValueError
        If `max_rows_per_patient` is missing or wrong.
    """
    if patient_ids is None:
        if max_rows_per_patient is not None:
            raise ValueError(
                "max_rows_per_patient: expected None with patient_ids=None, since each row is its "
                "own patient"
            )
        return None, 1
    if max_rows_per_patient is None:
        raise ValueError(
            "max_rows_per_patient: expected a public number with patient_ids; it bounds what one "
            "patient contributes"
        )
    most = check_count("max_rows_per_patient", max_rows_per_patient)
    ids = _as_array("patient_ids", patient_ids)
    if ids.size != rows:
        raise DataError(f"patient_ids: expected {rows} entries, one per row, got {ids.size}")
    if ids.dtype.kind == "f":
        require_finite("patient_ids", ids)
    if ids.dtype.kind == "O":
        ids = ids.astype(str)
    order = np.argsort(ids, kind="stable")
    grouped = ids[order]
    first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    sizes = np.diff(np.r_[first, grouped.size])
    rank = np.arange(grouped.size) - np.repeat(first, sizes)
    return np.sort(order[rank < most]), most
