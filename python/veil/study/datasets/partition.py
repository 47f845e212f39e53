"""Dividing patients into sites, where the data knows none (Hsu et al. 2019, arXiv 1909.06335)."""

import numpy as np
from numpy.typing import NDArray

from veil._checks import whole
from veil.errors import DataError

__all__ = ["dirichlet_partition", "random_partition"]

_TRIES = 1000
# Enough of each class for a stratified split to hold out about three.
_MIN_PER_CLASS = 10


def dirichlet_partition(
    labels: NDArray[np.int8], *, sites: int, concentration: float, min_site: int, seed: int
) -> NDArray[np.int64]:
    """Divide rows into sites whose shares of each class follow a symmetric Dirichlet distribution.

    Parameters
    ----------
    labels : ndarray of int8, shape (n,)
        0 or 1.
    sites : int
        Number of sites.
    concentration : float
        Parameter of the distribution; the smaller, the more the sites differ.
    min_site : int
        Fewest rows of a site.
    seed : int
        Seed of the partition; the same seed gives the same sites.

    Returns
    -------
    ndarray of int64, shape (n,)
        Site of each row, 0 to sites - 1; every site has both classes.

    Raises
    ------
    DataError
        If no such partition was found in 1,000 draws.
    TypeError, ValueError
        If a number is no integer, or too small.
    """
    sites, seed = whole("sites", sites, least=1), whole("seed", seed, least=0)
    min_site = whole("min_site", min_site, least=1)
    rng = np.random.default_rng([seed, sites])
    least = min(_MIN_PER_CLASS, max(2, min_site // 2))
    for _ in range(_TRIES):
        assigned = np.empty(labels.size, dtype=np.int64)
        counts = np.empty((2, sites), dtype=np.int64)
        for label in (0, 1):
            rows = rng.permutation(np.flatnonzero(labels == label))
            shares = rng.dirichlet(np.full(sites, concentration))
            cuts = np.round(np.cumsum(shares)[:-1] * rows.size).astype(np.int64)
            for site, part in enumerate(np.split(rows, cuts)):
                assigned[part] = site
                counts[label, site] = part.size
        if counts.min() >= least and counts.sum(axis=0).min() >= min_site:
            return assigned
    raise DataError(
        f"sites: expected {sites} sites of at least {min_site} patients and both classes from "
        f"{labels.size} patients, got none in {_TRIES} draws; ask for fewer sites or lower min_site"
    )


def random_partition(patients: NDArray[np.int64], *, sites: int, seed: int) -> NDArray[np.int64]:
    """Divide patients evenly and at random; all rows of a patient go to one site.

    Parameters
    ----------
    patients : ndarray of int64, shape (n,)
        Patient of each row.
    sites : int
        Number of sites.
    seed : int
        Seed of the partition.

    Returns
    -------
    ndarray of int64, shape (n,)
        Site of each row.

    Raises
    ------
    TypeError, ValueError
        If a number is no integer, or too small.
    """
    sites, seed = whole("sites", sites, least=1), whole("seed", seed, least=0)
    distinct, of_row = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng([seed, sites])
    site_of_patient = rng.permutation(np.arange(distinct.size) % sites)
    return np.asarray(site_of_patient[of_row.reshape(-1)], dtype=np.int64)
