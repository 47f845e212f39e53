"""One hospital's patients as a `veil.fl.Site`, by public knowledge alone.

What `veil study` does for all sites at once, for a site that knows only its own file: columns are
encoded by the public schema that all sites hold, so that no number is learnt across them.
"""

from pathlib import Path

from veil.errors import DataError
from veil.fl import Site
from veil.study.arms import SplitCohort
from veil.study.datasets.csv_file import load_csv
from veil.study.datasets.heart_disease import load_heart_disease
from veil.study.datasets.table import Cohort
from veil.study.preprocess import public_encoder
from veil.study.schema import Schema

__all__ = ["load_hospital"]


def load_hospital(
    name: str,
    *,
    schema: Schema,
    data: Path | None,
    target: str | None = None,
    site: str | None = None,
    patient: str | None = None,
    positive: str | None = None,
    seed: int = 0,
) -> Site:
    """Load the training and test rows of one site.

    Parameters
    ----------
    name : str
        The site.
    schema : Schema
        Public schema that all sites hold; its columns are the features.
    data : Path or None
        The site's CSV file, or one with other sites' rows too, which are left out. A directory or
        None: the hospital's file of UCI Heart Disease, there or in ``VEIL_DATA_DIR``.
    target, site, patient : str, optional
        Columns of the label, the site and the patient of the CSV file.
    positive : str, optional
        Value of `target` that counts as positive.
    seed : int, default 0
        Seed of the split into training and test patients.

    Returns
    -------
    Site
        Its rows, each patient on one side of the split.

    Raises
    ------
    DataError
        If the file cannot be read or does not fit the schema, or has no row of the site.
    """
    cohort = _load(data, target, site, patient, positive, schema)
    if name not in cohort.site_ids:
        raise DataError(f"site: expected rows of {name!r}, got those of {cohort.site_ids}")
    split = SplitCohort.of(cohort, seed=seed)
    encoder = public_encoder(schema, cohort.columns)
    return split.sites({name: encoder})[0]


def _load(
    data: Path | None,
    target: str | None,
    site: str | None,
    patient: str | None,
    positive: str | None,
    schema: Schema,
) -> Cohort:
    if data is None or Path(data).is_dir():
        return load_heart_disease(data_dir=data)
    if target is None or site is None:
        raise DataError("target, site: expected the names of the CSV file's columns, got None")
    return load_csv(
        Path(data), target=target, site=site, patient=patient, positive=positive, schema=schema
    )
