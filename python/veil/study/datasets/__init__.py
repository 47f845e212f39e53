"""Loaders: real patients at several sites, from public files or the user's own."""

from veil.study.datasets.load import load_cohort
from veil.study.datasets.table import Cohort, Column

__all__ = ["Cohort", "Column", "load_cohort"]
