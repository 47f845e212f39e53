"""A site: what one hospital holds, checked once when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil._arrays import unmasked
from veil.columns import unit_keys
from veil.errors import DataError

__all__ = ["Site", "check_sites"]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The training and test rows of one site, for a binary target.

    The arrays stay at the site: nothing but what a strategy or a privacy mechanism computes from
    them leaves it. Neither ``repr`` nor an exception shows a value of them.

    Parameters
    ----------
    id : str
        Name of the site, unique in a study. Random streams are derived from it, so results do not
        depend on the order in which sites are listed.
    x : ndarray of float32 or float64, shape (n, ...)
        Training rows: (n, d) features, or (n, height, width) or (n, channels, height, width)
        images.
    y : ndarray, shape (n,)
        Training targets, 0 or 1, of a bool, integer or float type.
    x_test : ndarray of float32 or float64, shape (m, ...)
        Test rows, of the same shape per row and dtype as `x`. ``m = 0`` is allowed.
    y_test : ndarray, shape (m,)
        Test targets.
    patients : column of int, str, bytes or dates, shape (n,), or None
        Which patient each training row belongs to, in any container that `veil.dp` takes; kept as
        an array. A column that may hold one patient under two keys is refused, see
        `veil.columns.unit_keys`. The ids are global: one id at two sites means one patient at two
        sites. None must be written and means that each row is its own patient.
    subgroups : mapping of str to ndarray of shape (m,), optional
        Sensitive attributes of the test rows (for example ``{"sex": ..., "age": ...}``), for
        results per subgroup. Never used in training.

    Raises
    ------
    DataError
        If shapes or dtypes do not fit together, a value is not finite or masked, a target is
        neither 0 nor 1, a patient id is missing or ambiguous, or there is no training row. The
        message names the site.
    TypeError
        If `patients` is a frame, or no column.

    Notes
    -----
    Arrays are kept by reference. Cost: one pass over the data.

    Examples
    --------
    >>> from veil.fl import Site
    >>> x, y = np.eye(4), np.array([0, 1, 0, 1])
    >>> Site(id="north", x=x, y=y, x_test=x, y_test=y, patients=None).n_train
    4
    """

    id: str
    x: NDArray[Any]
    y: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    patients: NDArray[Any] | None
    subgroups: Mapping[str, NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise DataError(f"id: expected a non-empty str, got {self.id!r}")
        for name in ("x", "y", "x_test", "y_test"):
            # A masked array without a mask is kept as what it holds.
            plain = unmasked(f"site {self.id!r}: {name}", getattr(self, name))
            object.__setattr__(self, name, plain)
        _check_rows(self.id, "x", self.x)
        _check_rows(self.id, "x_test", self.x_test)
        if len(self.x) == 0:
            raise DataError(f"site {self.id!r}: x: expected at least one training row, got none")
        if self.x_test.shape[1:] != self.x.shape[1:] or self.x_test.dtype != self.x.dtype:
            raise DataError(
                f"site {self.id!r}: x_test: expected rows like x, {self.x.shape[1:]} of "
                f"{self.x.dtype}, got {self.x_test.shape[1:]} of {self.x_test.dtype}"
            )
        _check_targets(self.id, "y", self.y, len(self.x))
        _check_targets(self.id, "y_test", self.y_test, len(self.x_test))
        if self.patients is not None:
            keys = unit_keys(f"site {self.id!r}: patients", self.patients)
            _check_column(self.id, "patients", keys, len(self.x))
            object.__setattr__(self, "patients", keys)
        for name, column in (self.subgroups or {}).items():
            _check_column(self.id, f"subgroups[{name!r}]", column, len(self.x_test))

    def __repr__(self) -> str:
        return f"Site(id={self.id!r}, n_train={self.n_train}, n_test={self.n_test})"

    @property
    def n_train(self) -> int:
        """Number of training rows."""
        return len(self.x)

    @property
    def n_test(self) -> int:
        """Number of test rows."""
        return len(self.x_test)

    @property
    def n_patients(self) -> int:
        """Number of patients among the training rows."""
        return len(self.x) if self.patients is None else len(np.unique(self.patients))


def check_sites(sites: list[Site]) -> None:
    """Refuse a list of sites that cannot take part in one study.

    Parameters
    ----------
    sites : list of Site
        The sites of one study.

    Raises
    ------
    DataError
        If there is no site, two share an id, or their rows differ in shape or dtype.
    """
    if not sites:
        raise DataError("sites: expected at least one site, got none")
    seen: set[str] = set()
    first = sites[0]
    for site in sites:
        if site.id in seen:
            raise DataError(f"sites: expected unique ids, got {site.id!r} twice")
        seen.add(site.id)
        if site.x.shape[1:] != first.x.shape[1:] or site.x.dtype != first.x.dtype:
            raise DataError(
                f"site {site.id!r}: x: expected rows of shape {first.x.shape[1:]} and dtype "
                f"{first.x.dtype} as at site {first.id!r}, got {site.x.shape[1:]} and "
                f"{site.x.dtype}; preprocess all sites alike"
            )


def _check_rows(site: str, name: str, rows: Any) -> None:
    if not isinstance(rows, np.ndarray) or rows.dtype not in (np.float32, np.float64):
        raise DataError(
            f"site {site!r}: {name}: expected an ndarray of float32 or float64, got "
            f"{rows.dtype if isinstance(rows, np.ndarray) else type(rows).__name__}"
        )
    if rows.ndim < 2:
        raise DataError(f"site {site!r}: {name}: expected shape (n, ...), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise DataError(f"site {site!r}: {name}: has NaN or infinite values; impute them first")


def _check_column(site: str, name: str, column: Any, length: int) -> None:
    unmasked(f"site {site!r}: {name}", column)
    if not isinstance(column, np.ndarray) or column.shape != (length,):
        got = column.shape if isinstance(column, np.ndarray) else type(column).__name__
        raise DataError(
            f"site {site!r}: {name}: expected an ndarray of shape ({length},), got {got}"
        )


def _check_targets(site: str, name: str, targets: Any, length: int) -> None:
    _check_column(site, name, targets, length)
    if targets.dtype.kind not in "biuf" or not ((targets == 0) | (targets == 1)).all():
        raise DataError(f"site {site!r}: {name}: expected only 0 and 1; encode the target first")
