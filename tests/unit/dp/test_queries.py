"""Queries: what they answer, with which error, on which columns, and what they refuse."""

import math

import numpy as np
import pytest

from veil import dp, noise
from veil.dp._query import Grid
from veil.dp.histograms import stable_threshold
from veil.errors import BudgetExceeded, DataError
from veil.random import SecureGenerator

RELATIONS = dp.RELATIONS


def ledger(relation="add-or-remove-one", **settings):
    return dp.Ledger(
        **{
            "epsilon": 8.0,
            "delta": 1e-5,
            "unit": "patient",
            "relation": relation,
            "mode": "adaptive",
            **settings,
        }
    )


def seeded(seed=0):
    return SecureGenerator.from_seed(bytes([seed]) * 32)


AGES = np.random.default_rng(0).normal(55, 18, 5000).clip(0, 119.9)
BOUNDS = (0, 120)
MOMENTS = [dp.count, dp.sum, dp.mean, dp.variance]
ALL = [*MOMENTS, dp.histogram, dp.quantiles]


def ask(query, values=AGES, *, bounds=BOUNDS, epsilon=0.5, delta=0.0, book=None, **more):
    if query is dp.histogram and not ({"bins", "categories"} & set(more)):
        more["bins"] = 6
    return query(
        values,
        bounds=bounds,
        epsilon=epsilon,
        delta=delta,
        **{"patient_ids": None, "ledger": book or ledger(), "rng": seeded(), **more},
    )


def truth(query, values):
    if query is dp.histogram:
        return np.histogram(values, bins=6, range=BOUNDS)[0]
    if query is dp.quantiles:
        return np.quantile(values, [0.25, 0.5, 0.75])
    exact = {dp.count: len, dp.sum: np.sum, dp.mean: np.mean, dp.variance: np.var}
    return exact[query](values)


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("delta", [0.0, 1e-6])
@pytest.mark.parametrize("query", MOMENTS, ids=lambda q: q.__name__)
def test_moments_are_within_their_error_bars(query, delta, relation):
    released = ask(query, delta=delta, book=ledger(relation))
    # The noise is 1.96 sigma wide; a seeded draw beyond twice that would be a mistake.
    assert abs(released.value - truth(query, AGES)) <= 2 * released.error
    assert 0 < released.error < 0.1 * abs(truth(query, AGES))
    assert released.exact_from == "input"
    assert released.relation == relation


@pytest.mark.parametrize("query", MOMENTS, ids=lambda q: q.__name__)
@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_error_bars_hold_95_percent(query, delta):
    exact = truth(query, AGES[:400])
    rng = seeded(5)
    n = 400
    inside = 0
    for _ in range(n):
        released = ask(query, AGES[:400], epsilon=1.0, delta=delta, rng=rng)
        inside += abs(released.value - exact) <= released.error
    # Binomial(400, 0.95) is within 356 .. 396 with probability 1 - 1e-4.
    assert 352 <= inside <= 399, f"{inside} of {n} answers within their 95 % error bar"


@pytest.mark.parametrize("relation", RELATIONS)
def test_quantiles_are_within_their_rank_error(relation):
    released = ask(dp.quantiles, q=[0.1, 0.5, 0.9, 0.5], book=ledger(relation))
    ranks = np.searchsorted(np.sort(AGES), released.value)
    assert np.all(np.abs(ranks - 5000 * np.array([0.1, 0.5, 0.9, 0.5])) <= released.error)
    assert released.value[1] == released.value[3]
    assert np.all(np.diff(released.value[:3]) >= 0)
    assert released.labels == (0.1, 0.5, 0.9, 0.5)


def test_quantile_of_a_point_mass_is_the_point():
    values = np.repeat([30.0, 40.0, 50.0], [100, 800, 100])
    released = ask(dp.quantiles, values, q=0.5, step=1, epsilon=2.0)
    assert released.value == 40.0


@pytest.mark.parametrize("m", [1, 2, 3, 7, 9])
def test_quantiles_cost_one_composition_per_level(m):
    released = ask(dp.quantiles, q=np.arange(1, m + 1) / (m + 1), epsilon=1.0)
    assert released.event.count == m.bit_length()
    assert released.event.ratio * released.event.count == pytest.approx(1.0)
    assert np.all(np.diff(released.value) >= 0)


@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_histogram_of_equal_bins(delta):
    released = ask(dp.histogram, delta=delta)
    exact = np.histogram(AGES, bins=6, range=BOUNDS)[0]
    assert released.value.dtype == np.int64
    assert np.all(np.abs(released.value - exact) <= 3 * released.error)
    assert released.labels == (0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0)


def noiseless(monkeypatch):
    class Zero:
        tv_bound = 1e-30
        scale = sigma = 1.0

        def __init__(self, scale):
            pass

        def sample(self, n, rng):
            return np.zeros(n, np.int64)

    monkeypatch.setattr(noise, "DiscreteLaplace", Zero)
    monkeypatch.setattr(noise, "RoundedGaussian", Zero)


def test_bins_hold_what_they_say(monkeypatch):
    noiseless(monkeypatch)
    values = np.array([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    equal = ask(dp.histogram, values, bounds=(0, 2), bins=2)
    assert equal.value.tolist() == [2, 3]  # [0, 1) and [1, 2]
    edges = ask(dp.histogram, values, bounds=None, bins=[0, 1, 3])
    assert edges.value.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("values", "categories", "expected"),
    [
        (np.array([3, 4, 4, 9], np.int64), range(3, 6), [1, 2, 0]),
        (np.array([3, 4, 4, 9], np.uint8), [5, 4], [0, 2]),
        (np.array([-3, 4, 4, 9], np.int16), [-3, 9, 4], [1, 1, 2]),
        (np.array(["a", "b", "b"]), ["b", "c", "a"], [2, 0, 1]),
        (np.array(["a", "b", "b"], object), ["b"], [2]),
        (np.array([True, False, True]), [False, True], [1, 2]),
    ],
    ids=str,
)
def test_known_categories(values, categories, expected, monkeypatch):
    noiseless(monkeypatch)
    released = ask(dp.histogram, values, bounds=None, categories=categories)
    assert released.value.tolist() == expected
    assert released.labels == tuple(categories)


def test_unknown_categories_show_the_frequent_alone():
    values = np.repeat(["flu", "rare", "covid"], [2000, 1, 900])
    book = ledger(additive_delta=5e-6)
    released = ask(dp.histogram, values, bounds=None, epsilon=1.0, delta=1e-6, bins=None, book=book)
    assert released.labels == ("covid", "flu")
    assert np.all(np.abs(released.value - [900, 2000]) <= 3 * released.error)
    assert book.spent().additive_delta == 1e-6
    with pytest.raises(BudgetExceeded, match="additive_delta="):
        ask(dp.histogram, values, bounds=None, epsilon=1.0, delta=1e-6, bins=None)


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("scale", [0.5, 2.0, 20.0])
def test_threshold_hides_the_categories_of_one_unit(most, scale):
    delta = 1e-5
    threshold = stable_threshold(most, scale, delta)
    q = math.exp(-1 / scale)

    def passes(count):
        return q ** (threshold - count) / (1 + q)

    assert most * passes(1) <= delta
    assert passes(most) <= delta
    assert passes(most) * math.exp(3 / scale) * most > delta / 2  # not needlessly high


# --- sensitivity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [(0, 120), (-3.5, 1.25), (1e-9, 2e-9), (-1e12, 1e12)])
def test_points_never_leave_the_grid(bounds):
    low, high = bounds
    grid = Grid.of(low, high, 3.0)
    edge = np.array([low, high, np.nextafter(low, high), np.nextafter(high, low)])
    for value in [*edge, low - 1e6, high + 1e6]:
        first, square = grid.sums(np.array([value]), low, high, 2)
        assert abs(first) <= grid.top
        assert 0 <= square <= grid.top
    assert grid.top * grid.granularity >= (high - low) / 2
    assert grid.top <= 2**30 + 1


def test_grid_sum_is_exact_in_any_order():
    values = np.random.default_rng(1).uniform(-5, 130, 200_001)
    grid = Grid.of(0, 120, 2.0)
    sums = grid.sums(values, 0, 120, 2)
    assert grid.sums(values[::-1], 0, 120, 2) == sums
    parts = [grid.sums(part, 0, 120, 2) for part in np.array_split(values, 7)]
    assert [sum(column) for column in zip(*parts, strict=True)] == sums
    assert sums[0] * grid.granularity + 60 * values.size == pytest.approx(
        np.clip(values, 0, 120).sum(), rel=1e-9
    )


def test_rows_per_patient_are_bounded(monkeypatch):
    noiseless(monkeypatch)
    ids = np.repeat(["a", "b", "c"], [10, 1, 3])
    values = np.repeat([100.0, 0.0, 50.0], [10, 1, 3])
    kept = {"patient_ids": ids, "max_rows_per_patient": 2}
    assert ask(dp.count, values, **kept).value == 5
    assert ask(dp.sum, values, **kept).value == pytest.approx(300.0, rel=1e-6)
    assert ask(dp.mean, values, **kept).value == pytest.approx(60.0, rel=1e-6)
    assert ask(dp.histogram, values, **kept).value.tolist() == [1, 0, 2, 0, 0, 2]


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
@pytest.mark.parametrize("relation", RELATIONS)
def test_more_rows_per_patient_cost_more_noise(query, relation):
    one = ask(query, epsilon=0.3, book=ledger(relation))
    ids = np.arange(AGES.size) // 4
    four = ask(query, epsilon=0.3, book=ledger(relation), patient_ids=ids, max_rows_per_patient=4)
    assert four.error >= 3.9 * one.error * (0.25 if query is dp.variance else 0.99)
    assert four.event == one.event


@pytest.mark.parametrize(
    ("bounds", "rows"),
    [((30, 45), 450.0), ((-45, -30), 450.0), ((-60, 60), 1200.0), ((100, 200), 2000.0)],
    ids=str,
)
def test_a_replaced_patient_may_bring_another_number_of_rows(bounds, rows):
    """Ten rows at a bound against none; with a row per patient, one bound against the other."""
    book = ledger("replace-one")
    ids = np.arange(AGES.size) // 10
    several = ask(dp.sum, bounds=bounds, book=book, patient_ids=ids, max_rows_per_patient=10)
    assert several.sensitivity == pytest.approx(rows, rel=1e-6)
    alone = ask(dp.sum, bounds=bounds, book=ledger("replace-one"))
    assert alone.sensitivity == pytest.approx(bounds[1] - bounds[0], rel=1e-6)


@pytest.mark.parametrize("query", [dp.histogram, dp.sum], ids=["histogram", "sum"])
def test_replace_one_moves_a_value_farther(query):
    add, replace = (
        ask(query, bounds=(-60, 60), book=ledger(r)).sigma
        for r in ("add-or-remove-one", "replace-one")
    )
    assert replace == pytest.approx(2 * add, rel=1e-6)


def test_row_count_is_public_under_replace_one_alone():
    assert "number of rows" in ask(dp.mean, book=ledger("replace-one")).public
    ids = np.arange(AGES.size)
    kept = {"patient_ids": ids, "max_rows_per_patient": 1}
    assert "number of rows" not in ask(dp.mean, book=ledger("replace-one"), **kept).public
    assert "number of rows" not in ask(dp.mean, book=ledger("zero-out")).public


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frame_columns_answer_as_arrays_do(query, library):
    frames = pytest.importorskip(library)
    values = np.round(AGES).astype(np.int32)
    expected = ask(query, values)
    for column in (frames.Series(values), frames.Series(values.astype(np.float64))):
        assert np.array_equal(ask(query, column).value, expected.value)
    ids = frames.Series([f"p{i % 50}" for i in range(values.size)])
    kept = {"max_rows_per_patient": 3}
    got = ask(query, frames.Series(values), patient_ids=ids, **kept)
    same = ask(query, values, patient_ids=np.arange(values.size) % 50, **kept)
    assert np.array_equal(got.value, same.value)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_text_columns_are_categories(library, monkeypatch):
    frames = pytest.importorskip(library)
    noiseless(monkeypatch)
    column = frames.Series(["a", "b", "a"])
    got = ask(dp.histogram, column, bounds=None, categories=["a", "b"])
    same = ask(dp.histogram, [1, 1, 2], bounds=None, categories=[1, 2])  # the same noise
    assert got.value.tolist() == same.value.tolist()


def test_nullable_pandas_columns_without_nulls_are_numbers():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1, 2, 3], dtype="Int64")
    assert isinstance(ask(dp.mean, column).value, float)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
def test_missing_values_are_refused(query, library):
    frames = pytest.importorskip(library)
    book = ledger()
    with pytest.raises(DataError, match="missing values, got 1 of 3"):
        ask(query, frames.Series([1.0, None, 3.0]), book=book)
    assert book.spent().releases == 0


# --- plans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("delta", [0.0, 1e-7])
@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
def test_a_planned_query_is_answered_once(query, delta, relation):
    more = {"bins": 6} if query is dp.histogram else {}
    item = dp.planned(query, relation=relation, bounds=BOUNDS, epsilon=0.5, delta=delta, **more)
    book = ledger(relation, mode="planned", epsilon=0.6)
    book.reserve([item])
    ask(query, delta=delta, book=book, **more)
    with pytest.raises(BudgetExceeded, match="not in the plan"):
        ask(query, delta=delta, book=book, **more)


def test_planned_unknown_categories_count_their_delta():
    item = dp.planned(dp.histogram, relation="zero-out", bounds=None, epsilon=0.5, delta=1e-7)
    assert item.additive_delta == 1e-7
    book = ledger("zero-out", mode="planned")
    book.reserve([item])
    values = np.repeat(["flu", "covid"], [200, 900])
    ask(dp.histogram, values, bounds=None, delta=1e-7, bins=None, book=book)


def test_only_queries_are_planned():
    with pytest.raises(ValueError, match="query: expected one of"):
        dp.planned(len, relation="zero-out", bounds=None, epsilon=1.0, delta=0.0)


def test_sum_is_not_exported():
    assert "sum" not in dp.__all__
    assert dp.sum.__module__ == "veil.dp.moments"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"values": np.array([1.0, math.nan])}, DataError, "finite"),
        ({"values": np.array([1.0, math.inf], np.float32)}, DataError, "finite"),
        ({"values": np.array([])}, DataError, "at least one row"),
        ({"values": []}, DataError, "at least one row"),
        ({"values": np.zeros((2, 2))}, DataError, "one dimension"),
        ({"values": np.array(["a", "b"])}, TypeError, "expected numbers"),
        ({"bounds": (5, 5)}, ValueError, "bounds: expected"),
        ({"bounds": (6, 5)}, ValueError, "bounds: expected"),
        ({"bounds": (0, math.inf)}, ValueError, "bounds: expected"),
        ({"bounds": (math.nan, 1)}, ValueError, "bounds: expected"),
        ({"bounds": 7}, ValueError, "bounds: expected"),
        ({"epsilon": 0.0}, ValueError, "epsilon: expected"),
        ({"epsilon": -1.0}, ValueError, "epsilon: expected"),
        ({"epsilon": math.nan}, ValueError, "epsilon: expected"),
        ({"delta": 1.0}, ValueError, "delta: expected"),
        ({"delta": -1e-9}, ValueError, "delta: expected"),
        ({"patient_ids": [1, 2]}, ValueError, "max_rows_per_patient: expected"),
        ({"max_rows_per_patient": 2}, ValueError, "max_rows_per_patient: expected None"),
        (
            {"patient_ids": np.arange(3), "max_rows_per_patient": 1},
            DataError,
            "patient_ids: expected 5000 entries",
        ),
        (
            {"patient_ids": np.full(5000, math.nan), "max_rows_per_patient": 1},
            DataError,
            "patient_ids: expected no missing values, got 5000 of 5000, the first in row 0",
        ),
        (
            {"patient_ids": np.arange(5000), "max_rows_per_patient": 0},
            ValueError,
            "max_rows_per_patient: expected at least 1",
        ),
        ({"book": "ledger"}, TypeError, "ledger: expected"),
        ({"rng": np.random.default_rng(0)}, TypeError, "rng: expected"),
    ],
    ids=str,
)
def test_bad_input_is_typed_and_charges_nothing(query, arguments, error, message):
    book = arguments.get("book") or ledger()
    with pytest.raises(error, match=message):
        ask(query, **{"book": book, **arguments})
    if isinstance(book, dp.Ledger):
        assert book.spent().releases == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"q": 0.0}, "q: expected"),
        ({"q": [0.5, 1.0]}, "q: expected"),
        ({"q": []}, "q: expected"),
        ({"step": 0.0}, "step: expected"),
        ({"step": 500.0}, "step: expected"),
        ({"step": 1e-9}, "step: expected"),
    ],
)
def test_bad_quantiles_are_refused(arguments, message):
    book = ledger()
    with pytest.raises(ValueError, match=message):
        ask(dp.quantiles, book=book, **arguments)
    assert book.spent().releases == 0


NARROW = [(0, 5e-324), (-5e-324, 5e-324), (5e-324, 1e-323), (0, 2.3e-308)]
WIDE = [(0, 1e308), (-1.7e308, 0), (-1e308, 1e308), (0, 10**400)]


@pytest.mark.parametrize(
    "bounds", NARROW + WIDE, ids=lambda b: f"{float(b[0]):g} to {str(b[1])[:6]}"
)
@pytest.mark.parametrize("query", [q for q in ALL if q is not dp.count], ids=lambda q: q.__name__)
def test_bounds_that_doubles_cannot_divide_are_refused(query, bounds):
    for delta in (0.0, 1e-6):
        book = ledger()
        with pytest.raises(ValueError, match="bounds: expected"):
            ask(query, bounds=bounds, delta=delta, book=book)
        assert book.spent().releases == 0


@pytest.mark.parametrize("bounds", [(0, 1e-200), (0, 1e200)])
def test_a_variance_whose_square_is_no_double_is_refused(bounds):
    with pytest.raises(ValueError, match="bounds: expected a width"):
        ask(dp.variance, bounds=bounds)
    assert math.isfinite(ask(dp.mean, bounds=bounds).value)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"bounds": (0, 5e-324), "step": 5e-324}, "step"),
        ({"bounds": (1e16, 1e16 + 2)}, "bounds"),
        ({"bounds": (1e16, 1e16 + 2), "step": 0.5}, "bounds"),
        ({"bounds": (0, 1), "step": 5e-324}, "step"),
        ({"bounds": (0, 1e200), "step": 5e-324}, "step"),
    ],
)
def test_points_that_doubles_cannot_tell_apart_are_refused(arguments, argument):
    with pytest.raises(ValueError, match=f"{argument}: expected"):
        ask(dp.quantiles, **arguments)


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
@pytest.mark.parametrize("epsilon", [5e-324, 1e-300, 1e-12])
def test_an_epsilon_without_a_sampler_is_refused(query, epsilon):
    with pytest.raises(ValueError, match="epsilon: expected"):
        ask(query, epsilon=epsilon)


WORDS = ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"bins": 0}, ValueError, "bins: expected"),
        ({"bins": [1.0]}, ValueError, "bounds: expected None"),
        ({"bins": [1.0], "bounds": None}, ValueError, "bins: expected"),
        ({"bins": [2.0, 1.0], "bounds": None}, ValueError, "bins: expected"),
        ({"bins": 3, "bounds": None}, ValueError, "bounds: expected"),
        ({"bins": 3, "categories": [1]}, ValueError, "expected one of them"),
        ({"categories": [1, 1], "bounds": None}, ValueError, "all distinct"),
        ({"categories": [], "bounds": None}, ValueError, "all distinct"),
        ({"categories": ["1", 1], "bounds": None, "values": WORDS}, ValueError, "count twice"),
        ({"categories": ["1", "1\0"], "bounds": None, "values": WORDS}, ValueError, "count twice"),
        ({"categories": [b"1", "1"], "bounds": None, "values": WORDS}, ValueError, "count twice"),
        ({"categories": ["a"], "bounds": None}, TypeError, "values: expected categories"),
        ({"categories": ["a"]}, ValueError, "bounds: expected None"),
        ({"bins": None, "delta": 0.0, "bounds": None}, ValueError, "delta: expected above 0"),
    ],
    ids=str,
)
def test_bad_histograms_are_refused(arguments, error, message):
    book = ledger()
    with pytest.raises(error, match=message):
        ask(dp.histogram, book=book, **arguments)
    assert book.spent().releases == 0


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.__name__)
def test_a_refused_charge_draws_nothing(query):
    rng = seeded()
    with pytest.raises(BudgetExceeded):
        ask(query, epsilon=6.0, book=ledger(epsilon=0.05), rng=rng)
    assert rng.bytes(8) == seeded().bytes(8)


def test_more_rows_than_sums_can_hold_are_refused():
    many = np.lib.stride_tricks.as_strided(np.zeros(1), (2**31 + 1,), (0,))
    with pytest.raises(DataError, match=r"at most 2\^31 rows"):
        ask(dp.mean, many)


@pytest.mark.parametrize("bounds", [(1e200, 1.1e200), (-1e270, 1e270), (-1e-200, 1e-200)])
def test_a_variance_whose_squares_no_double_holds_is_refused_before_any_charge(bounds):
    book = ledger()
    with pytest.raises(ValueError, match="bounds: expected a width whose lattice"):
        ask(dp.variance, np.zeros(9), bounds=bounds, book=book)
    assert book.spent().releases == 0


@pytest.mark.parametrize(
    "categories", [{1, 2}, {1: 2}, "ab", 5, [[1]], [None], [math.nan], [1.5], (c for c in [1])]
)
@pytest.mark.parametrize("column", [[1, 2], ["a", "b"], [True, False]], ids=str)
def test_categories_that_would_count_nothing_are_refused(categories, column):
    with pytest.raises((TypeError, ValueError), match="categories: expected"):
        ask(dp.histogram, column, bounds=None, categories=categories)


def test_categories_above_63_bits_are_counted():
    column = np.array([2**63, 2**63, 2**63 + 1], np.uint64)
    got = ask(dp.histogram, column, bounds=None, categories=[2**63, 2**63 + 1])
    assert got.value.tolist() == [2, 1]


@pytest.mark.parametrize("bins", [10**12, 10**400, ["a", "b"], [0, 10**400], [[0, 1]]], ids=repr)
def test_bins_that_cannot_be_counted_are_refused(bins):
    with pytest.raises(ValueError, match="bins: expected"):
        ask(dp.histogram, np.arange(3), bounds=(0, 1) if np.ndim(bins) == 0 else None, bins=bins)


@pytest.mark.parametrize("q", [None, [None], [[0.5]], ["0.5"], {0.5}, 10**400, 0.5j], ids=repr)
def test_what_is_no_share_is_refused_as_a_quantile(q):
    with pytest.raises((TypeError, ValueError), match="q: expected"):
        ask(dp.quantiles, np.arange(9.0), bounds=(0, 10), q=q)


@pytest.mark.parametrize("values", [{"a": [1], "b": [2]}, {1, 2}, "text", b"text"], ids=repr)
def test_a_count_of_what_is_no_table_is_refused(values):
    with pytest.raises(TypeError, match="values: expected a column or a frame"):
        ask(dp.count, values, bounds=None)


def test_a_count_of_a_single_number_is_refused():
    with pytest.raises(DataError, match="values: expected a column"):
        ask(dp.count, np.array(3), bounds=None)
