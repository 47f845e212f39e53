"""What the queries take as a column: containers, missing entries, frames, NumPy's whole numbers."""

import math

import numpy as np
import pytest

from veil import dp, noise
from veil.errors import DataError
from veil.random import SecureGenerator

MOMENTS = [dp.count, dp.sum, dp.mean, dp.variance]
ALL = [*MOMENTS, dp.histogram, dp.quantiles]
EACH = pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
STRINGS = getattr(getattr(np, "dtypes", None), "StringDType", None)


def ledger():
    return dp.Ledger(
        epsilon=8.0,
        delta=1e-5,
        unit="patient",
        relation="add-or-remove-one",
        mode="adaptive",
        additive_delta=1e-6,
    )


def ask(query, values, *, book=None, **more):
    if query is dp.histogram and not ({"bins", "categories"} & set(more)):
        more["bins"] = 4
    return query(
        values,
        **{"bounds": (0, 8), "epsilon": 1.0, "delta": 0.0, "patient_ids": None, **more},
        ledger=book or ledger(),
        rng=SecureGenerator.from_seed(bytes(32)),
    )


@pytest.fixture
def noiseless(monkeypatch):
    class Zero(noise.DiscreteLaplace):
        def sample(self, n, rng):
            return np.zeros(n, np.int64)

    monkeypatch.setattr("veil.dp._query.discrete_laplace", Zero)


@EACH
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_refused_as_one(query, library):
    frame = pytest.importorskip(library).DataFrame({"age": [1, 2, 3]})
    book = ledger()
    with pytest.raises(TypeError, match="values: expected a column, got a frame"):
        ask(query, frame, book=book)
    assert book.spent().releases == 0


@EACH
@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1, 2, 3]], ids=str)
def test_masked_entries_are_refused_as_values(query, values):
    book = ledger()
    with pytest.raises(DataError, match=r"values: expected no masked entries, got 1 of 3.* at 1 "):
        ask(query, np.ma.masked_array(values, [False, True, False]), book=book)
    assert book.spent().releases == 0
    whole = ask(query, np.ma.masked_array(values, [False] * 3))
    assert np.array_equal(whole.value, ask(query, np.array(values)).value)


def test_masked_rows_are_not_counted_either():
    with pytest.raises(DataError, match="values: expected no masked entries"):
        ask(dp.count, np.ma.masked_array([1, 2], [True, False]), bounds=None)


@pytest.mark.parametrize(
    "mechanism",
    [
        dp.GaussianMechanism(l2_sensitivity=1.0, sigma=5.0),
        dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.5),
        dp.ExponentialMechanism(sensitivity=1.0, epsilon=0.5),
    ],
    ids=lambda m: type(m).__name__,
)
def test_no_noise_is_added_to_what_lies_behind_a_mask(mechanism):
    book = ledger()
    hidden = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    with pytest.raises(DataError, match=r"(x|scores): expected no masked entries"):
        mechanism.release(hidden, ledger=book)
    assert book.spent().releases == 0


@EACH
@pytest.mark.parametrize("missing", [None, math.nan, np.ma.masked, np.datetime64("NaT")], ids=repr)
@pytest.mark.parametrize("make", [list, tuple, lambda v: np.array(v, dtype=object)])
def test_missing_entries_of_lists_are_refused_and_named(query, missing, make):
    book = ledger()
    column = make([1, missing, 3])
    with pytest.raises(DataError, match=r"values: expected no missing values, got 1 of 3.*row 1"):
        ask(query, column, book=book)
    assert book.spent().releases == 0


@EACH
@pytest.mark.parametrize("wrong", [["a", "b"], [1, "2"], [1, b"2"], [1j, 2], [[1], [2, 3]]])
def test_columns_that_hold_no_numbers_are_refused(query, wrong):
    with pytest.raises(TypeError, match="values: expected numbers"):
        ask(query, wrong)


@EACH
def test_integers_beyond_a_float_s_range_are_refused(query):
    with pytest.raises(DataError, match="values: expected finite"):
        ask(query, [1, 10**400])


@EACH
def test_the_bits_of_bfloat16_are_not_taken_for_integers(query):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="values: expected another type than bfloat16"):
        ask(query, torch.ones(3, dtype=torch.bfloat16))


@pytest.mark.parametrize("missing", [None, math.nan, np.datetime64("NaT")], ids=repr)
def test_a_missing_category_is_none_of_its_own(missing):
    with pytest.raises(DataError, match="values: expected no missing values"):
        ask(dp.histogram, ["a", missing, "b"] * 100, bounds=None, bins=None, delta=1e-7)


@pytest.mark.skipif(STRINGS is None, reason="NumPy before 2.0")
def test_numpy_strings_of_variable_width_are_categories(noiseless):
    column = np.array(["a", "b", "a"], dtype=STRINGS())
    got = ask(dp.histogram, column, bounds=None, categories=["a", "b"])
    assert got.value.tolist() == [2, 1]
    for sentinel in (None, math.nan, "b"):
        holed = np.array(["a", sentinel], dtype=STRINGS(na_object=sentinel))
        with pytest.raises(DataError, match=r"values: expected no missing values.*row 1"):
            ask(dp.histogram, holed, bounds=None, categories=["a", "b"])


def test_categories_that_spell_a_missing_entry_are_categories(noiseless):
    column = ["None", "NA", "None"]
    got = ask(dp.histogram, column, bounds=None, categories=["None", "NA"])
    assert got.value.tolist() == [2, 1]


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_numpy_integers_are_whole_numbers(kind, noiseless):
    got = ask(dp.histogram, [1.0, 3.0, 5.0, 7.0], bins=kind(4))
    assert got.value.tolist() == [1, 1, 1, 1]
    assert dp.planned(
        dp.histogram, relation="zero-out", bounds=(0, 8), epsilon=1.0, delta=0.0, bins=kind(4)
    ) == dp.planned(
        dp.histogram, relation="zero-out", bounds=(0, 8), epsilon=1.0, delta=0.0, bins=4
    )
    kept = ask(dp.count, [1, 2, 3], patient_ids=[1, 1, 2], max_rows_per_patient=kind(1))
    assert kept.value == 2


@pytest.mark.parametrize(
    ("bins", "error"), [(4.0, TypeError), (True, TypeError), ("4", TypeError), (0, ValueError)]
)
def test_other_numbers_of_bins_are_refused(bins, error):
    with pytest.raises(error, match="bins: expected"):
        ask(dp.histogram, [1.0, 3.0], bins=bins)


@pytest.mark.parametrize("q", [0.5, np.float64(0.5), np.float32(0.5), np.array(0.5)], ids=repr)
def test_one_quantile_is_a_number_whatever_its_type(q):
    assert isinstance(ask(dp.quantiles, [1.0, 2.0, 3.0], q=q).value, float)
