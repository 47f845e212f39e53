"""A missing key is refused in every container and spelling, wherever keys are taken."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veil import dp
from veil.columns import owners, unit_keys
from veil.dp import _columns as dp_columns
from veil.errors import DataError
from veil.fl import Site

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

STRINGS = getattr(np.dtypes, "StringDType", None) if hasattr(np, "dtypes") else None

OBJECTS = [
    None,
    math.nan,
    np.float32("nan"),
    np.datetime64("NaT"),
    np.timedelta64("NaT"),
    complex(math.nan, 0),
    Decimal("NaN"),
    pandas.NA,
    pandas.NaT,
    np.ma.masked,
]
WORDS = ["", " ", "nan", "NaN", "NAN", "None", "none", "null", "NULL", "NA", "N/A", "n/a", "<NA>"]
WORDS += ["NaT", "#N/A", "nil", "(null)", "\\N", "?", ".", "-", "missing", "Unknown"]

TEXT = st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), min_size=1, max_size=6)
WHOLE = st.lists(st.integers(0, 4), min_size=1, max_size=6)
# Containers that hold objects as they are, and what each makes of a missing one.
OF_OBJECTS = {
    "list": list,
    "tuple": tuple,
    "object array": lambda v: _objects(v),
    "pandas objects": lambda v: pandas.Series(_objects(v), dtype=object),
    "pandas category": lambda v: pandas.Series(_objects(v), dtype=object).astype("category"),
    "polars objects": lambda v: polars.Series("ids", v, dtype=polars.Object),
}
OF_TEXT = {
    "array": np.array,
    "bytes": lambda v: np.array([text.encode() for text in v]),
    "list": list,
    "object array": lambda v: _objects(v),
    "pandas": pandas.Series,
    "pandas string": lambda v: pandas.Series(v, dtype="string"),
    "polars": lambda v: polars.Series("ids", v),
    "StringDType": lambda v: np.array(v, dtype=STRINGS()),
}
if STRINGS is None:
    del OF_TEXT["StringDType"]


def _objects(values):
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def with_one(values, missing, at):
    at = at % (len(values) + 1)
    return [*values[:at], missing, *values[at:]], at


def refused(column, row):
    with pytest.raises(DataError, match=rf"ids: expected .*row {row} \(counted from 0\)"):
        unit_keys("ids", column)


@given(
    st.one_of(TEXT, WHOLE),
    st.sampled_from(OBJECTS),
    st.integers(0, 6),
    st.sampled_from(list(OF_OBJECTS)),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_missing_object_is_refused_and_its_row_named(values, missing, at, container):
    column, row = with_one(values, missing, at)
    try:
        made = OF_OBJECTS[container](column)
    except (TypeError, ValueError, polars.exceptions.PolarsError):
        return  # a container that cannot hold it at all
    refused(made, row)


@given(TEXT, st.sampled_from(WORDS), st.integers(0, 6), st.sampled_from(list(OF_TEXT)))
@settings(deadline=None)
def test_a_text_that_stands_for_nothing_is_refused_and_its_row_named(values, word, at, container):
    column, row = with_one(values, word, at)
    refused(OF_TEXT[container](column), row)


@given(st.one_of(TEXT, WHOLE), st.integers(0, 6))
@settings(deadline=None)
def test_a_null_of_a_typed_column_is_refused_and_its_row_named(values, at):
    column, row = with_one(values, None, at)
    refused(polars.Series("ids", column), row)
    if isinstance(values[0], int):
        refused(pandas.Series(column, dtype="Int64"), row)
        refused(pandas.Series(column), row)  # becomes floats with NaN
        refused(np.array([math.nan if v is None else v for v in column]), row)
    else:
        refused(pandas.Series(column, dtype="string"), row)
        for sentinel in (None, math.nan, "absent") if STRINGS else ():
            kind = STRINGS(na_object=sentinel)
            refused(np.array([sentinel if v is None else v for v in column], dtype=kind), row)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 6))
@settings(deadline=None)
def test_a_day_that_is_none_is_refused_and_its_row_named(days, at):
    column, row = with_one([f"2020-01-0{day + 1}" for day in days], "NaT", at)
    array = np.array(column, dtype="datetime64[D]")
    refused(array, row)
    refused(pandas.Series(pandas.to_datetime(column)), row)
    refused(polars.Series("ids", array), row)
    refused(list(array), row)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 5))
@settings(deadline=None)
def test_a_masked_key_is_refused_and_its_row_named(values, at):
    at = at % len(values)
    mask = [row == at for row in range(len(values))]
    for column in (values, [str(v) for v in values]):
        with pytest.raises(DataError, match=f"ids: expected no masked entries, .*at {at} "):
            unit_keys("ids", np.ma.masked_array(column, mask))


# --- every place that takes keys ------------------------------------------------------------------

BAD = {
    "None": ["p1", "p1", None, "p2"],
    "NaN": ["p1", "p1", math.nan, "p2"],
    "text": ["p1", "p1", "nan", "p2"],
    "NaT": np.array(["2020-01-01"] * 3 + ["NaT"], "M8[D]"),
    "spellings": [1, 1.0, True, "1.0"],
    "text and number": ["1", "1.0", "2", "3"],
    "floats": np.array([1.0, 1.0, 2.0, 3.0]),
    "mask": np.ma.masked_array([1, 1, 2, 3], [0, 0, 0, 1]),
}
if STRINGS:
    BAD["StringDType"] = np.array(["p1", "p1", None, "p2"], dtype=STRINGS(na_object=None))


def ledger():
    return dp.Ledger(
        epsilon=8.0, delta=1e-5, unit="patient", relation="add-or-remove-one", mode="adaptive"
    )


@pytest.mark.parametrize("query", [dp.count, dp.sum, dp.mean, dp.variance, dp.quantiles])
@pytest.mark.parametrize("ids", BAD.values(), ids=BAD)
def test_queries_refuse_such_ids_before_they_charge(query, ids):
    book = ledger()
    with pytest.raises(DataError, match="patient_ids: expected"):
        query(
            np.ones(4), bounds=(0, 2), epsilon=1.0, delta=0.0, patient_ids=ids,
            max_rows_per_patient=1, ledger=book,
        )  # fmt: skip
    assert book.spent().releases == 0


@pytest.mark.parametrize("ids", BAD.values(), ids=BAD)
def test_sites_refuse_such_ids(ids):
    x, y = np.eye(4), np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match="site 'north': patients: expected"):
        Site(id="north", x=x, y=y, x_test=x, y_test=y, patients=ids)


@pytest.mark.parametrize("make", [list, _objects, pandas.Series, lambda v: polars.Series("i", v)])
def test_sites_and_queries_take_the_same_containers(make):
    x, y = np.eye(4), np.array([0, 1, 0, 1])
    site = Site(id="north", x=x, y=y, x_test=x, y_test=y, patients=make(["a", "b", "a", "c"]))
    assert site.n_patients == 3
    kept, most = dp_columns.kept_rows(make(["a", "b", "a", "c"]), 4, 1)
    assert (kept.tolist(), most) == ([0, 1, 3], 1)


def test_rows_without_a_name_would_pass_the_bound_per_patient_without_the_check(monkeypatch):
    """Each NaT differs from every other, so forty rows of one patient would count."""
    nameless = np.array(["NaT"] * 40, "M8[D]")
    with pytest.raises(DataError):
        dp_columns.kept_rows(nameless, 40, 1)
    monkeypatch.setattr(dp_columns, "unit_keys", lambda name, column: np.asarray(column))
    assert dp_columns.kept_rows(nameless, 40, 1)[0].size == 40


def test_one_patient_would_count_once_per_spelling_without_the_check(monkeypatch):
    spellings = np.array([1, 1.0, "1.0", "1"], dtype=object)
    with pytest.raises(DataError):
        dp_columns.kept_rows(spellings, 4, 1)
    as_text = lambda name, column: column.astype(str)  # noqa: E731
    monkeypatch.setattr(dp_columns, "unit_keys", as_text)
    assert dp_columns.kept_rows(spellings, 4, 1)[0].size == 2


def test_one_patient_at_two_sites_is_seen_in_any_spelling():
    from veil.fl.privacy.sampled import check_units

    x, y = np.eye(2), np.array([0, 1])

    def site(name, ids):
        return Site(id=name, x=x, y=y, x_test=x, y_test=y, patients=ids)

    for other in ([7, 9], ["7", "9"], ["007", "009"], [b"7", b"9"], ["7.0", "9.0"]):
        with pytest.raises(DataError, match="'a' and 'b' declare one patient"):
            check_units([site("a", [7, 8]), site("b", other)], "patient")
    check_units([site("a", [7, 8]), site("b", ["b-7", "b-8"])], "patient")


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30), st.integers(1, 4))
@settings(deadline=None)
def test_no_unit_keeps_more_rows_than_allowed(ids, most):
    kept, _ = dp_columns.kept_rows(ids, len(ids), most)
    counts = {key: sum(ids[row] == key for row in kept) for key in set(ids)}
    assert counts == {key: min(most, ids.count(key)) for key in set(ids)}
    assert owners(unit_keys("ids", ids))[1] == len(set(ids))
