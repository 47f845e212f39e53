"""From columns to a feature matrix: learnt from training rows, or from public knowledge alone.

Two encoders with one result. `fit_encoders` learns imputation, categories and scales from training
rows; `public_encoder` knows only a schema, so that what it does to one patient does not depend on
another, and private training may follow it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.study.datasets.table import Cohort, Column
from veil.study.schema import CategoricalColumn, NumericColumn, Schema

__all__ = ["Encoder", "fit_encoders", "public_encoder"]


@dataclass(frozen=True, slots=True)
class NumericEncoding:
    """Impute, then clip; an indicator column where values may be missing."""

    name: str
    impute: float
    indicator: bool
    low: float = -np.inf
    high: float = np.inf

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features."""
        return (self.name, f"{self.name} missing") if self.indicator else (self.name,)

    def encode(self, values: NDArray[Any]) -> list[NDArray[np.float64]]:
        """Return one array per feature."""
        missing = np.isnan(values)
        filled = np.clip(np.where(missing, self.impute, values), self.low, self.high)
        return [filled, missing.astype(np.float64)] if self.indicator else [filled]


@dataclass(frozen=True, slots=True)
class CategoricalEncoding:
    """Impute, then one column per category but the first; one never seen gives zeros."""

    name: str
    impute: str
    categories: tuple[str, ...]
    indicator: bool

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features."""
        coded = tuple(f"{self.name}={c}" for c in self.categories[1:])
        return (*coded, f"{self.name} missing") if self.indicator else coded

    def encode(self, values: NDArray[Any]) -> list[NDArray[np.float64]]:
        """Return one array per feature."""
        missing = values == ""
        filled = np.where(missing, self.impute, values)
        coded = [(filled == c).astype(np.float64) for c in self.categories[1:]]
        return [*coded, missing.astype(np.float64)] if self.indicator else coded


Encoding = NumericEncoding | CategoricalEncoding


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """The preprocessing of one site: encode each column, then (x - centre) / scale."""

    columns: tuple[Encoding, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the model's inputs."""
        return tuple(f for c in self.columns for f in c.features)

    def encode(self, columns: Sequence[Column], rows: NDArray[Any]) -> NDArray[np.float64]:
        """Encode rows.

        Parameters
        ----------
        columns : sequence of Column
            The table's columns, by the names that the encoder knows.
        rows : ndarray
            Indices or mask of the rows.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_features)
            Finite values.
        """
        return (_encode(self.columns, columns, rows) - self.centre) / self.scale


def public_encoder(schema: Schema, columns: Sequence[Column]) -> Encoder:
    """Make the encoder that private training may use.

    It depends on the schema alone: the columns are only checked to be there and of the right kind.

    Parameters
    ----------
    schema : Schema
        Public knowledge; a draft is refused.
    columns : sequence of Column
        The table's columns.

    Returns
    -------
    Encoder
        Numbers are clipped to their bounds, centred on the public imputation constant and divided
        by a quarter of the range (the range rule: for many distributions about one standard
        deviation). A missing category becomes the public constant.

    Raises
    ------
    DataError
        If the schema is a draft, or a column is absent or of another kind.
    """
    schema.require_public()
    by_name = {c.name: c for c in columns}
    encodings: list[Encoding] = []
    centre: list[float] = []
    scale: list[float] = []
    for known in schema.columns:
        _check_kind(known, by_name)
        encoding = _public_encoding(known)
        encodings.append(encoding)
        centre += [0.0] * len(encoding.features)
        scale += [1.0] * len(encoding.features)
        if isinstance(known, NumericColumn):
            first = len(centre) - len(encoding.features)
            centre[first], scale[first] = known.impute, (known.high - known.low) / 4
    return Encoder(tuple(encodings), np.array(centre), np.array(scale))


def _check_kind(known: NumericColumn | CategoricalColumn, by_name: Mapping[str, Column]) -> None:
    if known.name not in by_name:
        raise DataError(
            f"schema: expected its columns in the data, got no column {known.name!r}; correct the "
            "schema"
        )
    is_numeric = isinstance(known, NumericColumn)
    if by_name[known.name].is_numeric != is_numeric:
        raise DataError(
            f"schema column {known.name!r}: expected {'numbers' if is_numeric else 'categories'} "
            "in the data, got the other kind; correct the column's kind"
        )


def _public_encoding(known: NumericColumn | CategoricalColumn) -> Encoding:
    if isinstance(known, CategoricalColumn):
        return CategoricalEncoding(
            known.name, known.impute, known.categories, indicator=known.may_be_missing
        )
    return NumericEncoding(
        known.name, known.impute, indicator=known.may_be_missing, low=known.low, high=known.high
    )


def fit_encoders(
    cohort: Cohort, rows_by_site: Mapping[str, NDArray[np.int64]]
) -> dict[str, Encoder]:
    """Learn the preprocessing of sites that train together, from training rows alone.

    Parameters
    ----------
    cohort : Cohort
        The table.
    rows_by_site : mapping of str to ndarray of int64
        Indices of each site's training rows; no other row is read. One site alone gives the
        preprocessing of a site that trains alone.

    Returns
    -------
    dict of str to Encoder
        An encoder per site, all with the same features. Imputation is the site's own mean or most
        frequent category. Categories, indicators and, where ``cohort.standardise`` is
        ``federation``, means and variances are those of all these sites: they leave a site as a
        list and as sums. A feature without spread is centred only.
    """
    encodings: dict[str, list[Encoding]] = {site: [] for site in rows_by_site}
    for column in cohort.columns:
        values = {site: column.values[rows] for site, rows in rows_by_site.items()}
        fit = _fit_numeric if column.is_numeric else _fit_categorical
        for site, encoding in fit(column.name, values).items():
            encodings[site].append(encoding)
    encoded = {
        site: _encode(encodings[site], cohort.columns, rows) for site, rows in rows_by_site.items()
    }
    together = _moments(np.concatenate(list(encoded.values())))
    own = cohort.standardise == "site"
    return {
        site: Encoder(tuple(encodings[site]), *(_moments(x) if own else together))
        for site, x in encoded.items()
    }


def _fit_numeric(name: str, values: Mapping[str, NDArray[Any]]) -> dict[str, Encoding]:
    present = {site: v[~np.isnan(v)] for site, v in values.items()}
    everyone = np.concatenate(list(present.values()))
    indicator = any(present[site].size < v.size for site, v in values.items())
    # A site that never measured the column takes the others' mean, or 0 when it is alone.
    fallback = float(everyone.mean()) if everyone.size else 0.0
    return {
        site: NumericEncoding(
            name, float(own.mean()) if own.size else fallback, indicator=indicator
        )
        for site, own in present.items()
    }


def _fit_categorical(name: str, values: Mapping[str, NDArray[Any]]) -> dict[str, Encoding]:
    everyone = np.concatenate(list(values.values()))
    present = everyone[everyone != ""]
    categories = tuple(str(c) for c in np.unique(present))
    return {
        site: CategoricalEncoding(
            name,
            _most_frequent(own[own != ""], present),
            categories,
            indicator=present.size < everyone.size,
        )
        for site, own in values.items()
    }


def _most_frequent(own: NDArray[Any], everyone: NDArray[Any]) -> str:
    values = own if own.size else everyone
    if values.size == 0:
        return ""
    distinct, counts = np.unique(values, return_counts=True)
    return str(distinct[counts.argmax()])


def _encode(
    encodings: Sequence[Encoding], columns: Sequence[Column], rows: NDArray[Any]
) -> NDArray[np.float64]:
    by_name = {c.name: c for c in columns}
    parts = [f for e in encodings for f in e.encode(by_name[e.name].values[rows])]
    return np.ascontiguousarray(np.stack(parts, axis=1))


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each feature's mean, and its standard deviation or 1 where there is no spread."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean, np.where(flat, 1.0, deviation)
