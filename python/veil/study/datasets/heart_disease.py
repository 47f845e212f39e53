"""UCI Heart Disease from four real hospitals (Janosi et al. 1988), as federated benchmarks use it.

The columns that two hospitals hardly ever filled in (slope, ca, thal) are dropped, then every row
with a missing value: FLamby (du Terrail et al. 2022, arXiv 2210.04620) prepares it the same way.
"""

import csv
import io
from pathlib import Path

import numpy as np

from veil.errors import DataError
from veil.study.datasets.builtin import builtin_schema
from veil.study.datasets.files import find_file, read_checked
from veil.study.datasets.table import Cohort, Column

__all__ = ["load_heart_disease"]

_SOURCE = "https://archive.ics.uci.edu/dataset/45/heart+disease"
_HOSPITALS = {
    "cleveland": "2d91a8ff69cfd9616aa47b59d6f843db",
    "hungarian": "22e96bee155b5973568101c93b3705f6",
    "switzerland": "9a87f7577310b3917730d06ba9349e20",
    "va": "4249d03ca7711e84f4444768c9426170",
}
_NUMERIC = {"age": 0, "sex": 1, "trestbps": 3, "chol": 4, "fbs": 5, "thalach": 7, "exang": 8}
_OLDPEAK = {"oldpeak": 9}
_CATEGORICAL = {"cp": 2, "restecg": 6}
_DROPPED = frozenset({10, 11, 12})
_LABEL = 13


def load_heart_disease(*, data_dir: Path | None) -> Cohort:
    """Load the patients of four hospitals.

    Parameters
    ----------
    data_dir : Path or None
        Directory that holds ``heart_disease/processed.*.data``; None reads ``VEIL_DATA_DIR``.

    Returns
    -------
    Cohort
        303, 261, 46 and 130 patients; 10 columns, which give 13 features; label 1 is disease.

    Raises
    ------
    DataError
        If a file is missing (the message names its public source) or is another one.
    """
    rows, sites = [], []
    for hospital, md5 in _HOSPITALS.items():
        path = find_file(data_dir, "heart_disease", f"processed.{hospital}.data", _SOURCE)
        complete = _complete_rows(
            path, read_checked(path, algorithm="md5", digest=md5, source=_SOURCE)
        )
        rows += complete
        sites += [hospital] * len(complete)
    table = np.array(rows, dtype=np.float64)
    numeric = [Column(n, table[:, j]) for n, j in (_NUMERIC | _OLDPEAK).items()]
    coded = [Column(n, table[:, j].astype(np.int64).astype(str)) for n, j in _CATEGORICAL.items()]
    return Cohort(
        name="heart-disease",
        title="UCI Heart Disease (Cleveland, Budapest, Zurich and Basel, Long Beach)",
        source=_SOURCE,
        licence="CC BY 4.0",
        target="num",
        positive="heart disease (num > 0)",
        columns=(*numeric, *coded),
        labels=(table[:, _LABEL] > 0).astype(np.int8),
        sites=np.array(sites),
        patients=np.arange(len(rows), dtype=np.int64),
        standardise="site",
        test_fraction=0.34,
        schema=builtin_schema("heart_disease"),
        notes=(
            "The four sites are real hospitals. Columns slope, ca and thal are dropped, then rows "
            "with a missing value.",
            "Without privacy each hospital standardises by its own means, so that the shared model "
            "does not see how ill a hospital's patients are on the whole; private methods scale by "
            "public ranges and see it. Compare their accuracy and Brier score with this in mind.",
            "switzerland has one healthy patient, who is always in the training set: its held-out "
            "patients are all ill, so that it has no AUROC and its accuracy is easy to reach.",
            "The files write 0 for an unknown serum cholesterol (all of switzerland) and blood "
            "pressure; the value is kept as it is, and clipped to the public bounds for private "
            "methods.",
        ),
    )


def _complete_rows(path: Path, content: bytes) -> list[list[float]]:
    rows = []
    for row in csv.reader(io.StringIO(content.decode("ascii"))):
        if not row:
            continue
        if len(row) != _LABEL + 1:
            raise DataError(f"data file {path}: expected 14 columns, got {len(row)}")
        kept = ["0" if j in _DROPPED else value for j, value in enumerate(row)]
        if "?" not in kept:
            rows.append([float(value) for value in kept])
    return rows
