"""The key of the unit that each row belongs to: one function for every place that groups rows.

Privacy per patient holds only if all rows of a patient have one key. So keys are taken from a short
list of types, and a column in which one patient might have two keys, or two patients one, is
refused: it is never put right in silence, which would change the data.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.columns.entries import as_text, as_whole, entries, families, refuse_missing
from veil.errors import DataError

__all__ = ["owners", "unit_keys", "written"]

# What exports and conversions to text write where there was nothing, in lower case.
_MISSING_WORDS = frozenset(
    [
        *("", "nan", "none", "null", "(null)", "nil", "na", "n/a", "<na>", "nat", "\\n"),
        *("#n/a", "#null!", "#value!", "#ref!", "#name?"),
        *("missing", "masked", "unknown", "undefined", "?", ".", "-", "--"),
    ]
)
_LONGEST = max(map(len, _MISSING_WORDS))
# A number as text, as spreadsheets and floats write it: 7, 007, +7, 7., 7.0, 7,0, 7E+00; digits of
# any script.
_NUMBER = re.compile(r"([+-]?)(\d+)(?:[.,](\d*))?(?:[eE]([+-]?\d{1,3}))?")


def unit_keys(name: str, column: Any) -> NDArray[Any]:
    """Return the key of each row's unit (patient, visit, site), or refuse the column.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    column : column, shape (n_rows,)
        Sequence, NumPy array, pandas or polars Series, or CPU tensor of integers, bytes, text or
        dates; objects are taken if all of them are of one of these kinds.

    Returns
    -------
    ndarray of int, bytes, str or datetime64, shape (n_rows,)
        Equal where the unit is the same, and only there. The column's own memory where it already
        is such an array.

    Raises
    ------
    DataError
        If the column is empty or not one-dimensional; an entry is missing, in any spelling (None,
        NaN, NA, NaT, a null, a mask, or text such as ``""``, ``"nan"`` or ``"None"``); the entries
        are of another type (floats, booleans) or of several; text has spaces around it, invisible
        characters or is not in Unicode's normal form NFKC; or two texts write one whole number
        (``"7"`` and ``"7.0"``). The message names the row, counted from 0, and no value.
    TypeError
        If it is a frame, or no container that is known.

    Notes
    -----
    Not seen: one patient under two numbers, letters of two alphabets that look alike, a number
    such as 999 that stands for "missing". Upper and lower case are two keys.
    """
    keys = _typed(name, entries(name, column))
    if keys.dtype.kind == "M":
        refuse_missing(name, np.isnat(keys))
    elif keys.dtype.kind == "U":
        _check_texts(name, keys.tolist())
    elif keys.dtype.kind == "S":
        _check_texts(name, [_printable(key) for key in keys.tolist()])
    return keys


def _typed(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "O":
        kinds = families(array.tolist())
        if kinds == {"integers"}:
            return as_whole(name, array)
        if kinds in ({"text"}, {"bytes"}):
            return as_text(name, array, str if kinds == {"text"} else bytes)
        if kinds == {"dates"}:
            return array.astype("datetime64")
        raise _wrong_type(name, " and ".join(sorted(kinds)))
    if array.dtype.kind in "fc":
        refuse_missing(name, np.isnan(array))
    if array.dtype.kind not in "iuSUM":
        raise _wrong_type(name, str(array.dtype))
    return array


def _wrong_type(name: str, got: str) -> DataError:
    return DataError(
        f"{name}: expected integers or strings, bytes or dates, of one kind only, got {got}; one "
        "patient must not have two spellings: convert the column at its source"
    )


def _printable(key: bytes) -> str:
    """Return bytes that are text as text; others, such as a hash, as what needs no check."""
    text = key.decode("latin-1")
    return text if text.isascii() and text.isprintable() else "bytes"


def _check_texts(name: str, texts: list[str]) -> None:
    distinct = dict.fromkeys(texts)
    for text in distinct if _is_special("".join(distinct)) else filter(_is_short, distinct):
        fault = _fault(text)
        if fault:
            raise DataError(
                f"{name}: expected {fault[0]} in row {texts.index(text)} (counted from 0); "
                f"{fault[1]}"
            )
    spellings: dict[str, str] = {}
    for text in itertools.filterfalse(_is_plain, distinct):
        number = _number(text)
        if number is None:
            continue
        other = spellings.setdefault(number, number if number in distinct else text)
        if other != text:
            rows = sorted((texts.index(text), texts.index(other)))
            raise DataError(
                f"{name}: expected one spelling of each number, got two in rows {rows[0]} and "
                f"{rows[1]} (counted from 0); write all alike, or put a letter in front of each"
            )


def _is_special(letters: str) -> bool:
    """Tell whether there is more to look at than words that stand for missing entries."""
    return not (letters.isascii() and letters.isprintable()) or " " in letters


def _is_short(text: str) -> bool:
    return len(text) <= _LONGEST


def _is_plain(text: str) -> bool:
    """Tell whether a text is no number, or one in its usual spelling."""
    if not (text[0] in "+-" or text[0].isdecimal()):
        return True
    return text[0] != "0" and text.isascii() and text.isdigit()


def _fault(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a text as a key and what to do, or None."""
    if text.casefold().strip() in _MISSING_WORDS:
        return (
            "no missing values, got a text that stands for one",
            "drop these rows, or put a letter in front of every key if it stands for a patient",
        )
    if text != text.strip():
        return "text without spaces around it, got some", "strip every key"
    if text.isascii() and text.isprintable():
        return None
    if not unicodedata.is_normalized("NFKC", text):
        return (
            "text in Unicode's normal form NFKC, got another",
            "pass every key through unicodedata.normalize('NFKC', key)",
        )
    if any(unicodedata.category(letter).startswith("C") for letter in text):
        return "text without invisible characters, got one", "remove them from every key"
    return None


def _number(text: str) -> str | None:
    """Return a whole number's one spelling, or None if the text is none."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, before, behind, exponent = found.groups(default="")
    digits = "".join(str(unicodedata.decimal(digit)) for digit in before + behind)
    shift = int(exponent or 0) - len(behind)
    if shift < 0 and digits[shift:].strip("0"):
        return None  # not whole
    digits = (digits[:shift] if shift < 0 else digits + "0" * shift).lstrip("0") or "0"
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def owners(keys: NDArray[Any]) -> tuple[NDArray[np.intp], int]:
    """Give the units numbers.

    Parameters
    ----------
    keys : ndarray, shape (n_rows,)
        As from `unit_keys`.

    Returns
    -------
    tuple of (ndarray of int, int)
        Which unit each row belongs to, from 0 in the order of the keys; and how many there are.
    """
    distinct, owner = np.unique(keys, return_inverse=True)
    return owner.reshape(-1).astype(np.intp, copy=False), len(distinct)


def written(keys: NDArray[Any]) -> list[str]:
    """Return each distinct key as text, so that keys of two types can be compared.

    Parameters
    ----------
    keys : ndarray
        As from `unit_keys`.

    Returns
    -------
    list of str
        One text per key. A whole number, a date and a text are written alike whatever the type:
        7, ``"7"``, ``"007"`` and ``b"7"`` are one.
    """
    distinct = np.unique(keys)
    if distinct.dtype.kind == "M":
        return [str(day) for day in np.datetime_as_string(distinct, unit="auto")]
    texts = (_decoded(key) if isinstance(key, bytes) else str(key) for key in distinct.tolist())
    return [_number(text) or text for text in texts]


def _decoded(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return key.decode("latin-1")
