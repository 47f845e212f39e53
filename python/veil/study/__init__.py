"""The main job: what privacy costs in accuracy, on patients of several hospitals.

`run` compares training alone, pooled, federated and federated with differential privacy, over
seeds; `StudyOptions` says what to compare; `draft_schema` starts a public schema for a CSV file;
`load_hospital` gives one site's own patients to a federated engine.
"""

from veil.study.datasets import Cohort, load_cohort
from veil.study.draft import draft_schema
from veil.study.hospital import load_hospital
from veil.study.options import DATASETS, STRATEGIES, TASKS, StudyOptions
from veil.study.progress import Progress
from veil.study.runner import run
from veil.study.schema import Schema

__all__ = [
    "DATASETS",
    "STRATEGIES",
    "TASKS",
    "Cohort",
    "Progress",
    "Schema",
    "StudyOptions",
    "draft_schema",
    "load_cohort",
    "load_hospital",
    "run",
]
