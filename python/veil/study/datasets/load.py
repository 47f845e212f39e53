"""From options to a checked table."""

from veil.study.datasets.breast_cancer import load_breast_cancer
from veil.study.datasets.csv_file import load_csv
from veil.study.datasets.diabetes130 import load_diabetes130
from veil.study.datasets.heart_disease import load_heart_disease
from veil.study.datasets.table import Cohort, check_cohort
from veil.study.options import StudyOptions
from veil.study.schema import Schema

__all__ = ["load_cohort"]

_QUICK_PATIENTS = 4000


def load_cohort(options: StudyOptions) -> Cohort:
    """Load the patients that a study's options name, and refuse what cannot be studied.

    Parameters
    ----------
    options : StudyOptions
        The options.

    Returns
    -------
    Cohort
        A table in which every site has both classes and at least ``options.min_site`` patients.

    Raises
    ------
    DataError
        If the data is missing or unusable; see `check_cohort` and the loaders.
    """
    return check_cohort(_load(options), min_site=options.min_site)


def _load(options: StudyOptions) -> Cohort:
    if options.data is not None:
        assert options.target is not None
        assert options.site is not None
        return load_csv(
            options.data,
            target=options.target,
            site=options.site,
            patient=options.patient,
            positive=options.positive,
            schema=None if options.schema is None else Schema.read(options.schema),
        )
    if options.dataset == "heart-disease":
        return load_heart_disease(data_dir=options.data_dir)
    if options.dataset == "diabetes130":
        return load_diabetes130(
            data_dir=options.data_dir,
            sites_by=options.sites_by,
            sites=options.sites,
            partition_seed=options.partition_seed,
            max_patients=_QUICK_PATIENTS if options.quick else None,
        )
    return load_breast_cancer(
        sites=options.sites, min_site=options.min_site, partition_seed=options.partition_seed
    )
