"""The user's own CSV file: one row per visit, a target column and a site column."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.columns import owners, unit_keys
from veil.errors import DataError
from veil.study.datasets.table import Cohort, Column
from veil.study.schema import CategoricalColumn, Schema

__all__ = ["load_csv", "read_columns"]

_MISSING = frozenset({"", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
# A column of strings with more different values is an identifier or free text, not a category.
_MAX_CATEGORIES = 50


def load_csv(
    path: Path,
    *,
    target: str,
    site: str,
    patient: str | None,
    positive: str | None,
    schema: Schema | None,
) -> Cohort:
    """Load patients from a CSV file.

    Parameters
    ----------
    path : Path
        UTF-8 CSV with a header line; empty, ``?``, ``NA``, ``nan``, ``null`` and ``None`` mean
        missing.
    target, site : str
        Columns of the label (two values) and of the site.
    patient : str or None
        Column of the patient's identifier; None means that each row is its own patient.
    positive : str or None
        Value of `target` that counts as positive; None takes the larger of the two.
    schema : Schema or None
        Public schema; the features are then its columns, else all other columns.

    Returns
    -------
    Cohort
        The patients.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, the target does not have two values, a
        label, site or patient is missing, a patient may have two spellings, or a value is infinite.
    """
    raw = _read_raw(path)
    for role, name in (("target", target), ("site", site), ("patient", patient)):
        if name is not None and name not in raw:
            raise DataError(
                f"{role}: expected a column of {path}, got {name!r}; the columns are: "
                f"{', '.join(raw)}"
            )
    labels, meaning = _labels(raw[target], target, positive)
    special = {target, site, patient}
    columns = _features(path, raw, special, schema)
    if not columns:
        raise DataError(f"features: expected a column besides {sorted(filter(None, special))}")
    return Cohort(
        name=path.name,
        title=path.name,
        source=f"user file {path.name}",
        licence="",
        target=target,
        positive=meaning,
        columns=columns,
        labels=labels,
        sites=_complete(raw[site], site, "site"),
        patients=_patients(raw, patient, labels.size),
        standardise="federation",
        test_fraction=0.3,
        schema=schema,
        notes=(
            "Each row is treated as one patient of its own."
            if patient is None
            else f"All rows of one value of {patient!r} are one patient.",
        ),
    )


def read_columns(path: Path, *, skip: frozenset[str]) -> tuple[Column, ...]:
    """Read the feature columns of a CSV file.

    Parameters
    ----------
    path : Path
        The file.
    skip : frozenset of str
        Columns to leave out, such as target and site.

    Returns
    -------
    tuple of Column
        Numeric where every value is a number, else categorical.

    Raises
    ------
    DataError
        If the file cannot be read, or a column is unusable.
    """
    raw = _read_raw(path)
    unknown = sorted(skip - set(raw))
    if unknown:
        raise DataError(
            f"columns: expected names of columns of {path}, got {unknown}; the columns are: "
            f"{', '.join(raw)}"
        )
    return tuple(_column(n, raw[n]) for n in raw if n not in skip)


def _read_raw(path: Path) -> dict[str, NDArray[Any]]:
    """Read all fields as text, "" for missing; a row of another length is refused, not padded."""
    try:
        # Spreadsheets begin UTF-8 files with a byte order mark, which is no part of a name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            rows = [_check_row(path, row, header, reader.line_num) for row in reader if row]
    except FileNotFoundError as error:
        raise DataError(f"data: expected a CSV file, got {path}, which does not exist") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data: expected a readable UTF-8 CSV file {path}, got: {error}") from error
    if not rows:
        raise DataError(f"data: expected rows in {path}, got a header only")
    return {
        name: np.array(["" if v in _MISSING else v for v in map(str.strip, column)])
        for name, column in zip(header, zip(*rows, strict=True), strict=True)
    }


def _check_header(path: Path, header: list[str]) -> None:
    if not header or "" in header or len(set(header)) != len(header):
        raise DataError(
            f"data: expected in the first line of {path} a distinct name for every column, got "
            f"{header}; name each column once"
        )


def _check_row(path: Path, row: list[str], header: list[str], line: int) -> list[str]:
    if len(row) != len(header):
        raise DataError(
            f"data: expected {len(header)} fields in line {line} of {path}, got {len(row)}; quote "
            "fields that hold a comma"
        )
    return row


def _features(
    path: Path, raw: dict[str, NDArray[Any]], special: set[str | None], schema: Schema | None
) -> tuple[Column, ...]:
    if schema is None:
        return tuple(_column(n, raw[n]) for n in raw if n not in special)
    columns = []
    for known in schema.columns:
        if known.name in special:
            raise DataError(
                f"schema: expected features only, got the column {known.name!r}, which is the "
                "target, the site or the patient; remove it from the schema"
            )
        if known.name not in raw:
            raise DataError(
                f"schema: expected its columns in {path}, got no column {known.name!r}; the "
                f"columns are: {', '.join(raw)}"
            )
        text = raw[known.name]
        if isinstance(known, CategoricalColumn):
            columns.append(_categorical(known.name, text))
        else:
            columns.append(_numeric(known.name, text))
    return tuple(columns)


def _column(name: str, text: NDArray[Any]) -> Column:
    try:
        text[text != ""].astype(np.float64)
    except ValueError:
        return _categorical(name, text)
    return _numeric(name, text)


def _numeric(name: str, text: NDArray[Any]) -> Column:
    try:
        values = np.where(text == "", "nan", text).astype(np.float64)
    except ValueError as error:
        raise DataError(
            f"column {name!r}: expected numbers, as its schema says, got text; correct the file, "
            "or the column's kind in the schema"
        ) from error
    if np.isinf(values).any():
        raise DataError(
            f"column {name!r}: expected finite numbers, got infinity; leave the field empty when "
            "the value is unknown"
        )
    return Column(name, values)


def _categorical(name: str, text: NDArray[Any]) -> Column:
    distinct = np.unique(text[text != ""]).size
    if distinct > _MAX_CATEGORIES:
        raise DataError(
            f"column {name!r}: expected numbers or at most {_MAX_CATEGORIES} categories, got "
            f"{distinct} different texts; drop the column if it is an identifier or free text, or "
            "group its values"
        )
    return Column(name, text)


def _labels(text: NDArray[Any], target: str, positive: str | None) -> tuple[NDArray[np.int8], str]:
    values = _ordered(np.unique(_complete(text, target, "target")))
    if len(values) != 2:
        shown = ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
        raise DataError(
            f"target {target!r}: expected two classes, got {len(values)} ({shown}); group its "
            "values into two"
        )
    chosen = values[1] if positive is None else positive
    if chosen not in values:
        raise DataError(f"positive: expected one of {values} of {target!r}, got {chosen!r}")
    return (text == chosen).astype(np.int8), chosen


def _ordered(values: NDArray[Any]) -> list[str]:
    try:
        return [str(v) for v in sorted(values, key=float)]
    except ValueError:
        return [str(v) for v in values]


def _complete(text: NDArray[Any], name: str, role: str) -> NDArray[Any]:
    missing = int((text == "").sum())
    if missing:
        raise DataError(
            f"{role} column {name!r}: expected a value in every row, got {missing} empty ones; "
            "drop these rows or fill them in"
        )
    return text


def _patients(raw: dict[str, NDArray[Any]], patient: str | None, n: int) -> NDArray[np.int64]:
    if patient is None:
        return np.arange(n, dtype=np.int64)
    text = _complete(raw[patient], patient, "patient")
    return owners(unit_keys(f"patient column {patient!r}", text))[0].astype(np.int64)
