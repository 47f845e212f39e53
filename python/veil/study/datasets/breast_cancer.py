"""Breast Cancer Wisconsin (Diagnostic), as scikit-learn ships it (Street et al. 1993)."""

import numpy as np

from veil._optional import require
from veil.study.datasets.builtin import builtin_schema
from veil.study.datasets.partition import dirichlet_partition
from veil.study.datasets.table import Cohort, Column

__all__ = ["load_breast_cancer"]

_CONCENTRATION = 1.0


def load_breast_cancer(*, sites: int, min_site: int, partition_seed: int) -> Cohort:
    """Load 569 real patients, divided into sites by a seeded, label-skewed partition.

    Parameters
    ----------
    sites, min_site : int
        Number of sites, and fewest patients of each.
    partition_seed : int
        Seed of the partition.

    Returns
    -------
    Cohort
        30 numeric columns; label 1 is malignant.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    DataError
        If the patients cannot be divided as asked.
    """
    bunch = require("sklearn.datasets", "study").load_breast_cancer()
    # scikit-learn codes malignant as 0; the event that a hospital looks for is label 1 here.
    labels = (bunch.target == 0).astype(np.int8)
    site = dirichlet_partition(
        labels, sites=sites, concentration=_CONCENTRATION, min_site=min_site, seed=partition_seed
    )
    order = np.argsort(site, kind="stable")
    names = [str(n) for n in bunch.feature_names]
    return Cohort(
        name="breast-cancer",
        title="Breast Cancer Wisconsin (Diagnostic)",
        source="https://archive.ics.uci.edu/dataset/17/breast+cancer+wisconsin+diagnostic, "
        "as shipped by scikit-learn",
        licence="CC BY 4.0",
        target="diagnosis",
        positive="malignant",
        columns=tuple(
            Column(n, bunch.data[order, j].astype(np.float64)) for j, n in enumerate(names)
        ),
        labels=labels[order],
        sites=np.array([f"site-{s + 1}" for s in site[order]]),
        patients=order.astype(np.int64),
        standardise="federation",
        test_fraction=0.3,
        schema=builtin_schema("breast_cancer"),
        notes=(
            f"The {sites} sites are simulated: one hospital's patients, divided with shares of "
            f"each class drawn from Dirichlet({_CONCENTRATION:g}), partition seed "
            f"{partition_seed}; the same in every repetition.",
        ),
    )
