"""Columns of a table as NumPy arrays, and how many rows each patient may contribute."""

from typing import Any

import numpy as np
import numpy.typing as npt

from veil.columns import as_text, as_whole, entries, families, unit_keys
from veil.dp._inputs import require_finite
from veil.dp.events import check_count
from veil.errors import DataError

__all__ = ["MOST_ROWS", "categories_of", "kept_rows", "numbers"]

# Sums of points of at most 2^31 then stay below 2^62.
MOST_ROWS = 2**31


def _entries(name: str, column: Any) -> npt.NDArray[Any]:
    array = entries(name, column)
    if array.size > MOST_ROWS:
        raise DataError(
            f"{name}: expected at most 2^31 rows, got {array.size}; sums could overflow 64 bits"
        )
    return array


def numbers(name: str, column: Any, *, finite: bool = True) -> npt.NDArray[Any]:
    """Return a column of finite numbers: floats as they are, booleans and integers as integers.

    Lists and other columns of no declared type become float64, whatever they hold. With
    ``finite=False`` the caller looks for NaN and infinity itself.

    Raises
    ------
    TypeError
        If it does not hold numbers.
    DataError
        If it is empty, not one-dimensional, or holds missing, NaN or infinite entries.
    """
    array = _entries(name, column)
    if array.dtype.kind == "O":
        array = _as_floats(name, array)
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    if array.dtype.kind == "f" and finite:
        require_finite(name, array)
    return array


def _as_floats(name: str, objects: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    kinds = families(objects)
    if not kinds <= {"booleans", "integers", "floats"}:
        raise TypeError(f"{name}: expected numbers, got {' and '.join(sorted(kinds))}")
    try:
        return objects.astype(np.float64)
    except OverflowError as error:
        raise DataError(
            f"{name}: expected finite values, got an integer beyond a float's range"
        ) from error


def categories_of(name: str, column: Any) -> npt.NDArray[Any]:
    """Return a column of categories: strings, integers or booleans, of one kind.

    Raises
    ------
    TypeError
        If it holds floats, other objects or several kinds: one entry must not rename the others.
    DataError
        If it is empty, not one-dimensional, or holds missing entries.
    """
    array = _entries(name, column)
    if array.dtype.kind == "O":
        kinds = families(array)
        if kinds == {"text"}:
            return as_text(name, array, str)
        if kinds == {"integers"}:
            return as_whole(name, array)
        if kinds == {"booleans"}:
            return array.astype(np.bool_)
        raise TypeError(
            f"{name}: expected categories of one type, strings, integers or booleans, got "
            f"{' and '.join(sorted(kinds))}"
        )
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
        If `patient_ids` has another length, or is no column of keys (`veil.columns.unit_keys`).
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
    ids = unit_keys("patient_ids", patient_ids)
    if ids.size != rows:
        raise DataError(f"patient_ids: expected {rows} entries, one per row, got {ids.size}")
    order = np.argsort(ids, kind="stable")
    grouped = ids[order]
    first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    sizes = np.diff(np.r_[first, grouped.size])
    rank = np.arange(grouped.size) - np.repeat(first, sizes)
    return np.sort(order[rank < most]), most
