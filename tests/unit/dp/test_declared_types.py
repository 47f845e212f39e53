"""Nothing about a mechanism is read off the data: no lattice, no noise, no charge, no statement."""

import itertools
import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veil import dp, noise
from veil.dp import _inputs
from veil.dp._lattice import choice_lattice
from veil.errors import DataError
from veil.random import SecureGenerator


def ledger(**settings):
    return dp.Ledger(
        **{
            "epsilon": 16.0,
            "delta": 1e-5,
            "unit": "patient",
            "relation": "add-or-remove-one",
            "mode": "adaptive",
            **settings,
        }
    )


def seeded(seed=0):
    return SecureGenerator.from_seed(bytes([seed]) * 32)


GAUSSIAN = dp.GaussianMechanism(l2_sensitivity=0.1, sigma=1.0)
LAPLACE = dp.LaplaceMechanism(l1_sensitivity=0.1, epsilon=0.1)
BOTH = pytest.mark.parametrize("mechanism", [GAUSSIAN, LAPLACE], ids=["gaussian", "laplace"])


def how(released):
    """Everything that a release says but its value."""
    said = released.to_dict()
    del said["value"]
    return {**said, "type": type(released.value).__name__}


# --- scalars --------------------------------------------------------------------------------------


@BOTH
def test_a_mean_that_happens_to_be_whole_is_released_as_its_neighbour_is(mechanism):
    ages = [60, 61, 62] * 333
    whole, neighbour = statistics.mean([*ages, 61]), statistics.mean([*ages, 62])
    assert (type(whole), type(neighbour)) == (int, float)
    for one, other in [(whole, neighbour), (np.int64(61), np.float64(61.5))]:
        assert how(mechanism.release(one, ledger=ledger(), rng=seeded())) == how(
            mechanism.release(other, ledger=ledger(), rng=seeded())
        )


@BOTH
@pytest.mark.parametrize("make", [int, float, np.int64, np.uint8, np.float64, Fraction])
def test_equal_numbers_of_any_type_give_equal_releases(mechanism, make):
    if make is Fraction:
        with pytest.raises(TypeError, match="x: expected"):
            mechanism.release(make(61), ledger=ledger())
        return
    released = mechanism.release(make(61), ledger=ledger(), rng=seeded())
    expected = mechanism.release(61.0, ledger=ledger(), rng=seeded())
    assert released.value == expected.value
    assert how(released) == how(expected)


@BOTH
def test_typed_integer_arrays_too_stay_on_the_float_lattice_until_told_otherwise(mechanism):
    x = np.arange(12)
    released = mechanism.release(x, ledger=ledger(), rng=seeded())
    assert released.value.dtype == np.float64
    assert how(released) == how(mechanism.release(x + 0.5, ledger=ledger(), rng=seeded()))


@BOTH
def test_integer_noise_must_be_asked_for_and_takes_integers_alone(mechanism):
    wide = type(mechanism)(**{
        name: 10 * getattr(mechanism, name) if "sensitivity" in name else getattr(mechanism, name)
        for name in mechanism.__slots__
    })  # fmt: skip
    book = ledger()
    for x in (3, np.int32(3), np.array([3])):
        released = wide.release(x, ledger=book, integer=True)
        assert released.granularity == 1.0
        assert released.exact_from == "input"
    for x in (3.0, np.array([3.0]), np.float32(3)):
        with pytest.raises(TypeError, match="x: expected an integer type with integer=True"):
            wide.release(x, ledger=book, integer=True)
    with pytest.raises(TypeError, match="integer: expected True or False"):
        wide.release(3, ledger=book, integer=1)
    with pytest.raises(TypeError, match="integer: expected True or False"):
        wide.charge(3, label="x", integer="no")
    assert book.spent().releases == 3


@BOTH
@pytest.mark.parametrize("x", [[1, 2], [1, 2.5], (1, 2), np.array([1, 2], dtype=object)], ids=str)
def test_untyped_containers_are_no_array(mechanism, x):
    for integer in (False, True):
        with pytest.raises(TypeError):
            mechanism.release(x, ledger=ledger(), integer=integer)


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=8),
    st.integers(-80, 80),
)
def test_integers_are_rounded_to_a_lattice_as_real_numbers_are(values, exponent):
    g = math.ldexp(1.0, exponent)
    info = np.iinfo(np.int64 if min(values) < 0 else np.uint64)
    column = np.array([min(v, info.max) for v in values], info.dtype)
    got = _inputs.nearest_multiples(column, g)
    most = 2**52
    exact = [min(max(round(Fraction(int(v)) / Fraction(g)), -most), most) for v in column]
    points = np.clip(np.rint(got / g), -most, most)
    assert [int(p) for p in points] == exact


def test_python_integers_beyond_64_bits_are_clamped_as_floats_are():
    for x in (2**80, -(2**80), 10**400):
        clamped = GAUSSIAN.release(x, ledger=ledger(), rng=seeded())
        same = GAUSSIAN.release(1e300 if x > 0 else -1e300, ledger=ledger(), rng=seeded())
        assert clamped.value == same.value


# --- choices --------------------------------------------------------------------------------------


def law(scores, rate):
    """Permute-and-flip's exact distribution over integer scores."""
    p = np.exp(-rate * (max(scores) - np.asarray(scores, float)))
    found = np.zeros(len(p))
    for coins in itertools.product([False, True], repeat=len(p)):
        up = np.array(coins)
        weight = np.prod(np.where(up, p, 1 - p))
        if up.any():
            found[up] += weight / up.sum()
    return found


def loss(mechanism, first, second):
    """Largest privacy loss between two lists of scores, over the points that get coins."""
    laws = []
    for scores in (first, second):
        points, _, widened = mechanism._points(scores)
        laws.append(law(points.tolist(), mechanism.epsilon / (2.0 * widened)))
    return float(np.abs(np.log(laws[0]) - np.log(laws[1])).max())


@pytest.mark.parametrize(
    ("sensitivity", "first", "second"),
    [
        (0.001, [0, 1], [0.001, 1]),
        (0.001, [0, 0], [0.001, 0]),
        (1.0, [0, 3], [0.999, 3]),
        (1500.0, [0, 4000], [1499.5, 4000]),
        (1e9, [2**55 + 1, 2**55 + 2 * 10**9], [2.0**55 + 1e9, 2.0**55 + 2e9]),
    ],
    ids=str,
)
def test_neighbouring_scores_of_another_type_lose_no_more_than_epsilon(sensitivity, first, second):
    mechanism = dp.ExponentialMechanism(sensitivity=sensitivity, epsilon=1.0)
    with np.errstate(divide="ignore"):
        assert loss(mechanism, first, second) <= 1.0


def test_a_lattice_chosen_by_the_type_would_lose_more_than_any_epsilon(monkeypatch):
    def by_type(self, scores):
        array = np.asarray(scores)
        if array.dtype.kind == "f":
            return _points(self, scores)
        return array.astype(np.int64), 1.0, float(math.ceil(self.sensitivity))

    _points = dp.ExponentialMechanism._points
    monkeypatch.setattr(dp.ExponentialMechanism, "_points", by_type)
    mechanism = dp.ExponentialMechanism(sensitivity=0.001, epsilon=1.0)
    assert loss(mechanism, [0, 1], [0.001, 1]) > 100.0


def test_the_lattice_of_scores_is_that_of_their_sensitivity_alone():
    mechanism = dp.ExponentialMechanism(sensitivity=0.001, epsilon=1.0)
    said = [
        how(mechanism.release(scores, ledger=ledger(), rng=seeded()))
        for scores in ([0, 1], [0.001, 1], np.array([0, 1]), np.array([0, 1], np.uint8), (0.0, 1.0))
    ]
    assert all(one == said[0] for one in said)


def test_scores_in_another_type_are_chosen_alike():
    mechanism = dp.ExponentialMechanism(sensitivity=1.0, epsilon=1.0)
    scores = [5, 3, 4, 5]
    for seed in range(20):
        values = {
            mechanism.release(make, ledger=ledger(), rng=seeded(seed)).value
            for make in (scores, np.array(scores), np.array(scores, float))
        }
        assert len(values) == 1


@pytest.mark.parametrize("sensitivity", [0.3, 1.0, 1000.0, 1500.0, 1999.0, 2000.0])
@pytest.mark.parametrize("scores", [[0, 1], [0.5, 1.0], np.array([0, 1])], ids=str)
def test_choices_are_never_exact_from_the_input(sensitivity, scores):
    mechanism = dp.ExponentialMechanism(sensitivity=sensitivity, epsilon=1.0)
    assert mechanism.release(scores, ledger=ledger()).exact_from == "sum"


@settings(deadline=None)
@given(
    st.one_of(st.integers(-(2**70), 2**70), st.floats(-1e20, 1e20)),
    st.floats(0, 1),
    st.sampled_from([0.001, 1.0, 1500.0, 2.0**20, 1e9]),
)
def test_points_of_neighbouring_values_stay_within_the_widened_sensitivity(value, share, most):
    g, widened = choice_lattice(most)
    other = Fraction(value) + Fraction(share) * Fraction(most)
    # A neighbour may be of either type: the nearest float, or the integer below.
    assert widened <= 1.002 * most / g
    session = dp.SparseVector(sensitivity=most, epsilon=1.0).start(threshold=0.0, ledger=ledger())
    for neighbour in (float(other), math.floor(other)):
        if abs(Fraction(neighbour) - Fraction(value)) <= Fraction(most):
            assert abs(session._point(value) - session._point(neighbour)) <= widened


def test_values_of_any_type_are_compared_with_a_threshold_alike():
    for seed in range(10):
        answers = set()
        for make in (int, float, np.int64, np.float64, np.uint8):
            session = dp.SparseVector(sensitivity=1.0, epsilon=1.0).start(
                threshold=make(100), ledger=ledger(), rng=seeded(seed)
            )
            answers.add(tuple(session.above(make(v)) for v in (90, 95)))
            if not session.open:
                break
        assert len(answers) == 1
    for wrong in ("100", None, [1.0], 1j):
        with pytest.raises((TypeError, ValueError)):
            session.above(wrong)


# --- columns --------------------------------------------------------------------------------------


QUERIES = [dp.count, dp.sum, dp.mean, dp.variance, dp.quantiles, dp.histogram]


def ask(query, values, **more):
    if query is dp.histogram:
        more = {"bins": 4, **more}
    return query(
        values,
        **{"bounds": (0, 8), "epsilon": 1.0, "delta": 0.0, "patient_ids": None, **more},
        ledger=ledger(additive_delta=1e-6),
        rng=seeded(),
    )


@pytest.mark.parametrize("query", QUERIES, ids=lambda q: q.__name__)
def test_one_fraction_in_a_list_changes_nothing_but_its_row(query, monkeypatch):
    class Zero(noise.DiscreteLaplace):
        def sample(self, n, rng):
            return np.zeros(n, np.int64)

    monkeypatch.setattr(dp._query, "discrete_laplace", Zero)
    values = [1, 2, 3, 7, 7, 6, 2**53 + 1]
    whole, mixed = ask(query, values), ask(query, [1.0, *values[1:]])
    assert np.array_equal(whole.value, mixed.value)
    assert how(whole) == how(mixed) == how(ask(query, np.array(values)))


@pytest.mark.parametrize("odd", ["x", 2.5, True, None, math.nan, b"x"], ids=repr)
@pytest.mark.parametrize("make", [list, tuple, lambda v: np.array(v, dtype=object)])
def test_one_value_of_another_type_does_not_rename_the_categories(odd, make):
    column = make([1, 2] * 500 + [odd])
    with pytest.raises((TypeError, DataError), match="values: expected"):
        ask(dp.histogram, column, bounds=None, bins=None, delta=1e-7)


def test_lists_of_one_kind_are_categories():
    for column, names in [([1, 2] * 500, (1, 2)), (["a", "b"] * 500, ("a", "b"))]:
        released = ask(dp.histogram, column, bounds=None, bins=None, delta=1e-7)
        assert released.labels == names
