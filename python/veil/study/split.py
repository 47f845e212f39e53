"""Training and held-out patients, per site and stratified."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from veil._checks import whole
from veil.study.datasets.table import Cohort

__all__ = ["split_patients", "training_patients"]


def split_patients(cohort: Cohort, *, seed: int) -> NDArray[np.bool_]:
    """Choose the rows to train on, by patient.

    All rows of a patient fall on the same side. Within a site, patients with a positive row and
    patients without are split separately, so the sizes are the same for every seed.

    Parameters
    ----------
    cohort : Cohort
        The patients.
    seed : int
        Seed of the split.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True for training rows. A class of which a site has one patient is not held out.
    """
    seed = whole("seed", seed, least=0)
    train = np.empty(cohort.labels.size, dtype=np.bool_)
    for site in cohort.site_ids:
        rows = np.flatnonzero(cohort.sites == site)
        patients, of_row = np.unique(cohort.patients[rows], return_inverse=True)
        positive = np.zeros(patients.size, dtype=np.bool_)
        np.logical_or.at(positive, of_row, cohort.labels[rows] == 1)
        held_out = np.zeros(patients.size, dtype=np.bool_)
        for stratum in (False, True):
            members = np.flatnonzero(positive == stratum)
            order = _generator(seed, site, stratum).permutation(members)
            held_out[order[: _held_out(members.size, cohort.test_fraction)]] = True
        train[rows] = ~held_out[of_row]
    return train


def training_patients(cohort: Cohort) -> int:
    """Return the number of training patients, which no seed changes.

    Parameters
    ----------
    cohort : Cohort
        The patients.

    Returns
    -------
    int
        Patients in the training set, over all sites.
    """
    return int(np.unique(cohort.patients[split_patients(cohort, seed=0)]).size)


def _held_out(size: int, fraction: float) -> int:
    if size < 2:
        return 0
    return min(size - 1, max(1, round(size * fraction)))


def _generator(seed: int, site: str, stratum: bool) -> np.random.Generator:
    """Return a stream of its own for each site, so that the order of sites does not matter."""
    key = int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "little")
    return np.random.default_rng([seed, key, int(stratum)])
