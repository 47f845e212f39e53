"""``veil schema FILE.csv``: a first draft that shows what to fill in, and is refused as it is."""

from pathlib import Path

import numpy as np

from veil.study.datasets.csv_file import read_columns
from veil.study.datasets.table import Column, check_column
from veil.study.schema import DRAFT_MARK, CategoricalColumn, NumericColumn, Schema

__all__ = ["draft_schema"]

_NOTE = (
    "Draft made from the data. Its numbers and categories may reveal patients, so private training "
    "refuses it. Replace each by public knowledge, write where it comes from into 'source', and "
    "set status to 'public'. Remove columns that the model should not use."
)


def draft_schema(
    path: Path, *, target: str | None = None, site: str | None = None, patient: str | None = None
) -> Schema:
    """Draft a schema from a CSV file.

    The draft holds numbers read off the patients: keep it at the site. Private training refuses it
    until every one is replaced.

    Parameters
    ----------
    path : Path
        CSV file with a header line.
    target, site, patient : str, optional
        Columns that are no features, to be left out.

    Returns
    -------
    Schema
        Of status ``draft``, each column marked "edit me".

    Raises
    ------
    DataError
        If the file cannot be read, a named column is missing, or a column is constant, all
        missing, or an identifier.
    """
    skip = frozenset(name for name in (target, site, patient) if name is not None)
    columns = read_columns(Path(path), skip=skip)
    return Schema(status="draft", note=_NOTE, columns=tuple(_draft_column(c) for c in columns))


def _draft_column(column: Column) -> NumericColumn | CategoricalColumn:
    missing = column.missing()
    present = column.values[~missing]
    check_column(column)
    if column.is_numeric:
        return NumericColumn(
            name=column.name,
            low=float(present.min()),
            high=float(present.max()),
            impute=float(np.median(present)),
            may_be_missing=bool(missing.any()),
            source=DRAFT_MARK,
        )
    categories, counts = np.unique(present, return_counts=True)
    return CategoricalColumn(
        name=column.name,
        categories=tuple(str(c) for c in categories),
        impute=str(categories[counts.argmax()]),
        may_be_missing=bool(missing.any()),
        source=DRAFT_MARK,
    )
