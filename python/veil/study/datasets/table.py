"""A table of patients at sites, before any preprocessing."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.study.schema import Schema

__all__ = ["Cohort", "Column", "check_cohort", "check_column"]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: float64 with NaN for missing, or strings with "" for missing."""

    name: str
    values: NDArray[Any]

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype.kind == "f"

    def missing(self) -> NDArray[np.bool_]:
        """Tell which rows have no value."""
        return np.asarray(np.isnan(self.values) if self.is_numeric else self.values == "")


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Patients of all sites.

    Parameters
    ----------
    name, title, source, licence : str
        What the data is and where it comes from.
    target, positive : str
        The predicted column and the meaning of label 1.
    columns : tuple of Column
        Candidate features, each of n_rows values.
    labels : ndarray of int8, shape (n_rows,)
        0 or 1.
    sites : ndarray of str, shape (n_rows,)
        Site of each row.
    patients : ndarray of int64, shape (n_rows,)
        Patient of each row, as an arbitrary code.
    standardise : str
        ``site``: each site by its own training mean and standard deviation. ``federation``: all
        sites by the moments of their training rows together.
    test_fraction : float
        Share of each site's patients that is held out.
    schema : Schema or None
        What is publicly known of the columns.
    notes : tuple of str
        What a reader must know of this data, such as how the sites were made.
    """

    name: str
    title: str
    source: str
    licence: str
    target: str
    positive: str
    columns: tuple[Column, ...]
    labels: NDArray[np.int8]
    sites: NDArray[Any]
    patients: NDArray[np.int64]
    standardise: Literal["site", "federation"]
    test_fraction: float
    schema: Schema | None
    notes: tuple[str, ...] = ()

    @property
    def site_ids(self) -> tuple[str, ...]:
        """Identifiers of the sites, in the order in which they first appear."""
        ids, first = np.unique(self.sites, return_index=True)
        return tuple(str(s) for s in ids[np.argsort(first)])

    @property
    def n_patients(self) -> int:
        """Number of distinct patients."""
        return int(np.unique(self.patients).size)


def check_cohort(cohort: Cohort, *, min_site: int) -> Cohort:
    """Refuse a table from which a study would draw nonsense.

    Parameters
    ----------
    cohort : Cohort
        The table.
    min_site : int
        Fewest patients of a site.

    Returns
    -------
    Cohort
        The same object.

    Raises
    ------
    DataError
        If a column is constant or all missing, a patient is at several sites, there are fewer than
        two sites, or a site has one class or fewer than `min_site` patients.
    """
    for column in cohort.columns:
        check_column(column)
    _check_patients(cohort)
    ids = cohort.site_ids
    if len(ids) < 2:
        raise DataError(f"sites: expected at least 2, got {len(ids)}; choose another site column")
    for site in ids:
        _check_site(cohort, site, min_site)
    return cohort


def check_column(column: Column) -> None:
    """Refuse a column that tells nothing.

    Parameters
    ----------
    column : Column
        The column.

    Raises
    ------
    DataError
        If it is constant or all missing.
    """
    missing = column.missing()
    if missing.all():
        raise DataError(
            f"column {column.name!r}: expected values, got only missing ones; drop the column"
        )
    present = column.values[~missing]
    if (present == present[0]).all():
        raise DataError(
            f"column {column.name!r}: expected at least 2 different values, got a constant; drop "
            "the column"
        )


def _check_patients(cohort: Cohort) -> None:
    pairs = np.unique(np.stack([cohort.patients, _codes(cohort.sites)]), axis=1)
    several = int(pairs.shape[1] - np.unique(pairs[0]).size)
    if several:
        raise DataError(
            f"patients: expected each patient at one site, got {several} further (patient, site) "
            "pairs; a patient at two sites would count twice against the privacy budget. Give each "
            "patient one site, for example that of the first visit"
        )


def _check_site(cohort: Cohort, site: str, min_site: int) -> None:
    rows = cohort.sites == site
    n = int(np.unique(cohort.patients[rows]).size)
    if n < min_site:
        raise DataError(
            f"site {site!r}: expected at least {min_site} patients (min_site), got {n}; merge it "
            "with another site, drop it, or lower min_site"
        )
    classes = np.unique(cohort.labels[rows])
    if classes.size < 2:
        raise DataError(
            f"site {site!r}: expected both classes of {cohort.target!r}, got one; merge it with "
            "another site or drop it"
        )


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64).reshape(-1)
