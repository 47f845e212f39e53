"""Whatever the table, a split keeps patients whole, sizes fixed and both classes in training."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from veil.study.datasets.table import Cohort, Column
from veil.study.split import split_patients, training_patients

ROWS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=4, max_size=120)


def table(rows, fraction):
    patients = np.array([p for p, _ in rows], dtype=np.int64)
    return Cohort(
        name="t",
        title="t",
        source="t",
        licence="",
        target="y",
        positive="1",
        columns=(Column("v", np.arange(len(rows), dtype=np.float64)),),
        labels=np.array([y for _, y in rows], dtype=np.int8),
        sites=np.array(["a", "b", "c"])[patients % 3],
        patients=patients,
        standardise="federation",
        test_fraction=fraction,
        schema=None,
    )


@given(rows=ROWS, fraction=st.floats(0.05, 0.6), seed=st.integers(0, 2**32))
def test_split_of_any_table(rows, fraction, seed):
    cohort = table(rows, fraction)
    train = split_patients(cohort, seed=seed)
    assert not set(cohort.patients[train]) & set(cohort.patients[~train])
    assert np.unique(cohort.patients[train]).size == training_patients(cohort)
    for site in cohort.site_ids:
        here = cohort.sites == site
        ill = set(cohort.patients[here & (cohort.labels == 1)])
        for group in (ill, set(cohort.patients[here]) - ill):
            kept = len(group & set(cohort.patients[train]))
            held_out = len(group) - kept
            assert kept >= 1 or not group
            assert held_out == 0 if len(group) < 2 else held_out >= 1
