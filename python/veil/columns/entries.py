"""A column of any container as a one-dimensional array without missing entries."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil import _arrays
from veil.errors import DataError

__all__ = ["as_text", "as_whole", "entries", "families", "refuse_missing"]

_FRAMES = frozenset({"DataFrame", "LazyFrame", "MultiIndex"})
# What the columns of these libraries have, and their other objects have not.
_COLUMN_OF = {"pandas": "isna", "polars": "to_numpy"}
_MISSING_TYPES = frozenset({"NAType", "NaTType", "MaskedConstant"})
_FLOATS = frozenset({float, np.float64})
_MAY_BE_NAN = (float, np.floating, complex, np.complexfloating)


def entries(name: str, column: Any) -> NDArray[Any]:
    """Return the entries of a column, all of them there.

    A type that the container declares is kept. What declares none for its entries (a list, a tuple,
    a range, an object array, a column of strings) becomes an array of objects as they are, so that
    one entry never changes the type of the others; see `families`.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    column : column, shape (n_rows,)
        Sequence, NumPy array (of ``StringDType`` too), pandas or polars Series, CPU tensor.

    Returns
    -------
    ndarray, shape (n_rows,)
        A view where the container allows it.

    Raises
    ------
    TypeError
        If it is a frame, or no container that is known.
    DataError
        If it is empty, not one-dimensional, or an entry is missing: None, NaN among objects, NA,
        NaT among objects, a null, or masked. Floats of a declared type may be NaN.
    """
    if type(column).__name__ in _FRAMES:
        raise TypeError(f"{name}: expected a column, got a frame; pass one column of it")
    library = type(column).__module__.partition(".")[0]
    if library in _COLUMN_OF and not hasattr(column, _COLUMN_OF[library]):
        raise TypeError(f"{name}: expected a column, got {library} {type(column).__name__}")
    if library == "pandas":
        array = _of_pandas(name, column)
    elif library == "polars":
        array = _of_polars(name, column)
    else:
        array = _of_sequence(name, column)
    if array.ndim != 1:
        raise DataError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size == 0:
        raise DataError(f"{name}: expected at least one row, got none")
    return array if array.dtype.kind not in "OT" else _of_objects(name, array)


def _of_sequence(name: str, column: Any) -> NDArray[Any]:
    if isinstance(column, list | tuple | range):
        try:
            return np.array(column, dtype=object)
        except ValueError as error:
            raise DataError(f"{name}: expected one dimension, got nested sequences") from error
    if str(getattr(column, "dtype", "")).endswith("bfloat16"):
        raise TypeError(f"{name}: expected another type than bfloat16; pass column.float()")
    return _arrays.array(column, name)


def _of_pandas(name: str, column: Any) -> NDArray[Any]:
    refuse_missing(name, np.asarray(column.isna()))
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iufb":
        # Nullable types would otherwise become objects.
        size = int(getattr(column.dtype, "itemsize", 8))
        return np.asarray(column.to_numpy(dtype=np.dtype(f"{kind}{size}")))
    return np.asarray(column.to_numpy())


def _of_polars(name: str, column: Any) -> NDArray[Any]:
    if column.null_count():
        refuse_missing(name, np.asarray(column.is_null()))
    try:
        return np.asarray(column.to_numpy())
    except Exception as error:  # polars' own, which need not be installed
        raise TypeError(
            f"{name}: expected a type that NumPy knows, got {column.dtype}; cast the column"
        ) from error


def _of_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    values = array.tolist()
    # A StringDType may write missing entries as a text of its own.
    written = getattr(array.dtype, "na_object", None)
    if isinstance(written, str):
        refuse_missing(name, np.array([value == written for value in values]))
    objects = array if array.dtype.kind == "O" else np.array(values, dtype=object)
    kinds = {kind for kind in set(map(type, values)) if not _is_never_missing(kind)}
    if kinds and kinds <= _FLOATS:
        refuse_missing(name, np.asarray(objects != objects, np.bool_))
    elif kinds:
        refuse_missing(name, np.array([_is_missing(value) for value in values]))
    return objects


def refuse_missing(name: str, missing: NDArray[np.bool_]) -> None:
    """Raise DataError if any entry is marked as missing; it names the row, never a value."""
    count = int(np.count_nonzero(missing))
    if count:
        raise DataError(
            f"{name}: expected no missing values, got {count} of {missing.size}, the first in row "
            f"{int(np.argmax(missing))} (counted from 0); drop or fill them by a public rule"
        )


def _is_never_missing(kind: type) -> bool:
    return kind in (str, bytes, bool) or _is_integer(kind)


def _is_integer(kind: type) -> bool:
    # NumPy counts its time spans among the integers.
    return kind is int or (issubclass(kind, np.integer) and not issubclass(kind, np.timedelta64))


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, decimal.Decimal):
        return value.is_nan()  # comparing a signalling NaN raises
    return isinstance(value, _MAY_BE_NAN) and bool(value != value)


def families(values: Iterable[Any]) -> set[str]:
    """Name the kinds of objects in a column that declares no type.

    Parameters
    ----------
    values : iterable
        The objects.

    Returns
    -------
    set of str
        Of ``"booleans"``, ``"integers"``, ``"floats"``, ``"text"``, ``"bytes"``, ``"dates"`` and,
        for all else, the name of the type.
    """
    return {_family(kind) for kind in set(map(type, values))}


def _family(kind: type) -> str:
    if kind in (bool, np.bool_):
        return "booleans"
    if _is_integer(kind):
        return "integers"
    if kind is float or issubclass(kind, np.floating):
        return "floats"
    if kind in (str, np.str_):
        return "text"
    if kind in (bytes, np.bytes_):
        return "bytes"
    return "dates" if kind in (datetime.date, np.datetime64) else kind.__name__


def as_whole(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return objects that are all integers as int64, or as uint64 where that does not hold them.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    values : ndarray of object
        The integers.

    Returns
    -------
    ndarray of int64 or uint64
        The same numbers.

    Raises
    ------
    DataError
        If neither type holds all of them.
    """
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values.tolist(), dtype=dtype)
        except OverflowError:
            continue
    raise DataError(f"{name}: expected integers of 64 bits, got larger ones; give them as text")


def as_text(name: str, values: NDArray[Any], dtype: type[str] | type[bytes]) -> NDArray[Any]:
    """Return objects that are all text, or all bytes, as NumPy's type of it.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    values : ndarray of object
        The entries.
    dtype : {str, bytes}
        Which of the two they are.

    Returns
    -------
    ndarray of str or bytes
        The same entries.

    Raises
    ------
    DataError
        If one ends in NUL, which NumPy drops; bytes that are all of one length may.
    """
    end: Any = "\0" if dtype is str else b"\0"
    items = values.tolist()
    ending = next((row for row, item in enumerate(items) if item.endswith(end)), None)
    if ending is not None and (dtype is str or len(set(map(len, items))) > 1):
        raise DataError(
            f"{name}: expected no entry that ends in NUL, got one in row {ending} (counted from 0)"
        )
    return np.array(items, dtype=dtype)
