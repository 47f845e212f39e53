"""Diabetes 130-US hospitals, 1999-2008: early readmission (Strack et al. 2014).

Several rows per patient. Stays that ended in death or a hospice are left out as in the paper: they
cannot be followed by a readmission.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil._checks import whole
from veil._optional import require
from veil.columns import owners
from veil.errors import DataError
from veil.study.datasets.builtin import builtin_schema
from veil.study.datasets.diabetes130_codes import (
    AGES,
    DEAD_OR_HOSPICE,
    RECODED,
    VERBATIM,
    diagnosis_group,
    specialty_group,
)
from veil.study.datasets.files import find_file, read_checked
from veil.study.datasets.partition import random_partition
from veil.study.datasets.table import Cohort, Column

__all__ = ["load_diabetes130"]

_SOURCE = "https://archive.ics.uci.edu/dataset/296/diabetes+130-us+hospitals+for+years+1999-2008"
_SHA256 = "2cc570fc34b09ba1169d94b68c27ce3802dce7dc4ab6082bed833a6c195507a5"
_MEMBER = "dataset_diabetes/diabetic_data.csv"
_COUNTS = (
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_outpatient",
    "number_emergency",
    "number_inpatient",
    "number_diagnoses",
)


def load_diabetes130(
    *,
    data_dir: Path | None,
    sites_by: str,
    sites: int,
    partition_seed: int,
    max_patients: int | None = None,
) -> Cohort:
    """Load hospital stays of diabetes patients.

    Parameters
    ----------
    data_dir : Path or None
        Directory that holds ``diabetes130/dataset_diabetes.zip``; None reads ``VEIL_DATA_DIR``.
    sites_by : str
        ``specialty``: groups of the admitting physician's specialty at the patient's first stay.
        ``random``: patients at random.
    sites, partition_seed : int
        Number of sites and seed of a random partition.
    max_patients : int, optional
        Keep the stays of this many patients, drawn with `partition_seed`.

    Returns
    -------
    Cohort
        99,343 stays of 69,990 patients; label 1 is a readmission in less than 30 days.

    Raises
    ------
    ImportError
        If pandas is not installed.
    DataError
        If the file is missing (the message names its public source) or is another one.
    """
    frame = _read_frame(data_dir)
    frame = frame[~frame["discharge_disposition_id"].isin(DEAD_OR_HOSPICE)]
    patients = frame["patient_nbr"].astype(np.int64).to_numpy()
    if max_patients is not None:
        max_patients = whole("max_patients", max_patients, least=1)
        kept = _sample_rows(patients, max_patients, partition_seed)
        frame, patients = frame[kept], patients[kept]
    if sites_by == "specialty":
        site = _first_stay_specialty(frame)
        how = "groups of the admitting specialty at each patient's first stay"
    else:
        part = random_partition(patients, sites=sites, seed=partition_seed)
        site = np.array([f"site-{s + 1}" for s in part])
        how = f"patients divided at random into {sites} sites, partition seed {partition_seed}"
    sampled = "" if max_patients is None else f" A sample of {max_patients} patients is used."
    return Cohort(
        name="diabetes130",
        title="Diabetes 130-US hospitals: readmission in less than 30 days",
        source=_SOURCE,
        licence="CC BY 4.0",
        target="readmitted",
        positive="<30 days",
        columns=_columns(frame),
        labels=(frame["readmitted"] == "<30").to_numpy().astype(np.int8),
        sites=site,
        patients=owners(patients)[0].astype(np.int64),
        standardise="federation",
        test_fraction=0.3,
        schema=builtin_schema("diabetes130"),
        notes=(
            f"The file names no hospital; the sites are {how}.{sampled}",
            "Stays that ended in death or a hospice are left out. All stays of a patient are "
            "either in the training set or held out.",
        ),
    )


def _read_frame(data_dir: Path | None) -> Any:
    pandas = require("pandas", "study")
    path = find_file(data_dir, "diabetes130", "dataset_diabetes.zip", _SOURCE)
    content = read_checked(path, algorithm="sha256", digest=_SHA256, source=_SOURCE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(_MEMBER) as member:
            return pandas.read_csv(member, dtype=str, keep_default_na=False)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"data file {path}: expected a zip with {_MEMBER}, got {error}") from error


def _sample_rows(patients: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    distinct = np.unique(patients)
    chosen = np.random.default_rng(seed).permutation(distinct)[:count]
    return np.isin(patients, chosen)


def _first_stay_specialty(frame: Any) -> NDArray[Any]:
    ordered = frame.assign(encounter=frame["encounter_id"].astype(np.int64))
    ordered = ordered.sort_values("encounter").groupby("patient_nbr")["medical_specialty"].first()
    return np.array([specialty_group(s) for s in frame["patient_nbr"].map(ordered)])


def _columns(frame: Any) -> tuple[Column, ...]:
    counts = [Column(n, frame[n].to_numpy().astype(np.float64)) for n in _COUNTS]
    age = Column("age", frame["age"].map(AGES).to_numpy().astype(np.float64))
    recoded = [
        Column(name, frame[raw].map(codes).fillna("").to_numpy().astype(str))
        for name, (raw, codes) in RECODED.items()
    ]
    diagnosis = Column("diagnosis", np.array([diagnosis_group(c) for c in frame["diag_1"]]))
    verbatim = [Column(n, frame[n].to_numpy().astype(str)) for n in VERBATIM]
    return (age, *counts, *recoded, diagnosis, *verbatim)
