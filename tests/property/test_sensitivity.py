"""Sensitivity is enumerated: what one unit moves, against what the noise and the charge allow.

For each query, relation, number of rows per patient, sign of the bounds and dtype, a unit's rows
are put together from extreme values, of every number from none to the most that are kept. The
integers that get noise are caught on the way, and the largest privacy loss between two neighbours,
by the noise really used, must not exceed that of the event really charged.
"""

import itertools
import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from veil import dp, noise
from veil.dp import _halving, choice, moments, quantile
from veil.dp._query import Noise

RELATIONS = dp.RELATIONS
ADD, REPLACE = "add-or-remove-one", "replace-one"
SIGNS = {
    "around 0": (-2.0, 3.0),
    "above 0": (30.0, 45.0),
    "far above 0": (100.0, 102.0),
    "below 0": (-45.0, -30.0),
    "from 0": (0.0, 7.3),
    "to 0": (-1e-3, 0.0),
}
TYPES = ["f8", "f4", "f2", "i8", "i2", "u1", "?"]
ROWS = [None, 1, 3]  # None: each row is its own patient
TIGHT = 1e-9  # relative; scales and events are doubles
SPAN = 12 << 10  # noisy ranks that a script answers with: twelve rows either way


@dataclass(frozen=True)
class Caught:
    """Integers on their way to noise, or scores on their way to a choice."""

    points: np.ndarray
    scale: float  # of the noise, or 1 over the rate of the coins
    kind: str  # "laplace", "gaussian" or "choice"


@dataclass
class Tap:
    """Stands where noise is added; script(i, n) answers the i-th of the draws among n."""

    script: object = None
    caught: list = field(default_factory=list)

    def add(self, drawn, exact, rng):
        points = np.array(exact, np.int64)
        self.caught.append(Caught(points, drawn.scale, "gaussian" if drawn.gaussian else "laplace"))
        if self.script is None:
            return points
        return np.array([self.script(len(self.caught), 2 * SPAN + 1) - SPAN])

    def choose(self, points, rate, rng):
        self.caught.append(Caught(points.copy(), 1.0 / rate, "choice"))
        return self.script(len(self.caught), points.size)


class NoTable:
    """Samplers whose tables nobody needs here."""

    tv_bound = 1e-30

    def __init__(self, scale):
        self.scale = scale


@pytest.fixture(autouse=True)
def tap(monkeypatch):
    made = Tap()
    monkeypatch.setattr(noise, "DiscreteLaplace", NoTable)
    monkeypatch.setattr(noise, "RoundedGaussian", NoTable)
    monkeypatch.setattr(Noise, "add", lambda drawn, exact, rng: made.add(drawn, exact, rng))
    monkeypatch.setattr(quantile, "permute_and_flip", made.choose)
    return made


def ledger(relation, mode="adaptive"):
    return dp.Ledger(
        epsilon=8.0,
        delta=1e-4,
        unit="patient",
        relation=relation,
        mode=mode,
        **({"additive_delta": 1e-5} if mode == "adaptive" else {}),
    )


# --- units and their neighbours -------------------------------------------------------------------


def extremes(bounds, dtype):
    """Values of the type at the bounds, between, beyond, and at 0."""
    low, high = bounds
    wanted = [low, high, (low + high) / 2, low - 50.0, high + 50.0, 0.0]
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        wanted = [min(max(math.floor(v), info.min), info.max) for v in wanted] + [math.ceil(high)]
    return np.unique(np.array(wanted).astype(dtype))


def contributions(values, rows):
    """Every multiset of at most `rows` values; one value, where a row is a patient."""
    sizes = [1] if rows is None else range(rows + 1)
    for size in sizes:
        yield from itertools.combinations_with_replacement(values.tolist(), size)
    if rows is not None:
        yield (values[0], values[-1]) * rows  # more than are kept


def caught(query, column, unit, rows, relation, tap):
    """The integers of the table with one more unit, and its release."""
    values = np.array([*column, *unit], dtype=column.dtype)
    ids = None
    if rows is not None:
        ids = np.array([*range(len(column)), *[len(column)] * len(unit)])
    tap.caught = []
    released = query(values, patient_ids=ids, max_rows_per_patient=rows, ledger=ledger(relation))
    return tap.caught, released


def losses(draws):
    """Privacy losses of one draw between all pairs of runs, squared for Gaussian noise.

    Of choices by permute-and-flip: twice the largest move of a score, times the rate.
    """
    (scale,) = {draw.scale for draw in draws}  # the noise must not tell neighbours apart
    (kind,) = {draw.kind for draw in draws}
    points = np.array([draw.points for draw in draws], float) / scale
    moves = np.abs(points[:, None] - points[None])
    if kind == "gaussian":
        return np.sum(moves**2, axis=-1), kind
    return (2.0 * moves.max(axis=-1) if kind == "choice" else moves.sum(axis=-1)), kind


def worst(query, column, values, rows, relation, tap):
    """Largest loss over all neighbours, over the loss of the event that was charged."""
    units = list(contributions(values, rows))
    if relation != REPLACE:
        units.insert(0, ())
    runs = [caught(query, column, unit, rows, relation, tap) for unit in units]
    ((charged, _),) = {(released.event, released.slack) for _, released in runs}
    of_draws = [losses(draws) for draws in zip(*(draws for draws, _ in runs), strict=True)]
    total = sum(loss for loss, _ in of_draws)
    if of_draws and of_draws[0][1] == "gaussian":
        total = np.sqrt(total)
    pairs = total if relation == REPLACE else total[0]
    return float(np.max(pairs)) / (charged.ratio * charged.count)


# --- every query ----------------------------------------------------------------------------------


def ask(function, bounds, delta=0.0, **more):
    return partial(function, bounds=bounds, epsilon=1.0, delta=delta, **more)


def column_of(values):
    return np.resize(values[:: max(1, values.size - 1)], 3)


def cases():
    """Signs of the bounds and deltas, each with doubles and with one more type in turn."""
    others = itertools.cycle(TYPES[1:])
    for sign, delta in itertools.product(SIGNS, [0.0, 1e-6]):
        for dtype in (TYPES[0], next(others)):
            yield sign, SIGNS[sign], delta, dtype


MOMENTS = [dp.count, dp.sum, dp.mean, dp.variance]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("function", MOMENTS, ids=lambda f: f.__name__)
def test_no_unit_moves_a_moment_farther_than_is_charged(function, relation, rows, tap):
    for sign, bounds, delta, dtype in cases():
        values = extremes(bounds, dtype)
        query = ask(function, bounds, delta)
        ratio = worst(query, column_of(values), values, rows, relation, tap)
        assert ratio <= 1 + TIGHT, f"{sign}, {dtype}, delta {delta}: {ratio:.3f} of the charge"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("relation", RELATIONS)
def test_no_unit_moves_a_histogram_farther_than_is_charged(relation, rows, tap):
    for sign, (low, high), delta, dtype in cases():
        values = extremes((low, high), dtype)
        queries = [
            ask(dp.histogram, (low, high), delta, bins=3),
            ask(dp.histogram, None, delta, bins=[low, (low + high) / 2, high]),
        ]
        if np.dtype(dtype).kind in "iub":
            queries.append(ask(dp.histogram, None, delta, categories=values[::2].tolist()))
        for query in queries:
            ratio = worst(query, column_of(values), values, rows, relation, tap)
            assert ratio <= 1 + TIGHT, f"{sign}, {dtype}, {query}: {ratio:.3f} of the charge"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("relation", RELATIONS)
def test_no_unit_moves_unknown_categories_farther_than_is_charged(relation, rows, tap):
    """Of categories that others have too; the next test is about those of one unit alone."""
    query = ask(dp.histogram, None, 1e-6)
    for words in (np.array(["flu", "gout", "mumps"]), np.arange(3, dtype="i2"), np.arange(2) > 0):
        ratio = worst(query, words, words, rows, relation, tap)
        assert 0 < ratio <= 1 + TIGHT


def sizes_of(rows):
    """Every way in which at most `rows` rows make categories: their counts."""
    for kinds in range(1, rows + 1):
        for counts in itertools.combinations_with_replacement(range(1, rows + 1), kinds):
            if sum(counts) <= rows:
                yield counts


@pytest.mark.parametrize("rows", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("relation", RELATIONS)
def test_categories_of_one_unit_are_shown_with_what_was_charged_for_it(relation, rows):
    book = ledger(relation)
    ids = None if rows is None else np.arange(3)
    released = dp.histogram(
        np.array(["flu"] * 3),
        bounds=None,
        epsilon=1.0,
        delta=1e-6,
        patient_ids=ids,
        max_rows_per_patient=rows,
        ledger=book,
    )
    threshold = int(re.search("at least ([0-9]+)", released.mechanism)[1])
    decay = math.exp(-1.0 / released.sigma)

    def shown(counts):
        return sum(decay ** (threshold - count) / (1 + decay) for count in counts)

    one = max(shown(counts) for counts in sizes_of(rows or 1))
    units = 2 if relation == REPLACE else 1  # the one that goes, and the one that comes
    assert units * one <= book.spent().additive_delta * (1 + TIGHT)


QUANTILES = [(0.5,), (0.93,), (0.25, 0.5, 0.75), (0.1, 0.2, 0.9), (0.01, 0.4, 0.5, 0.6, 0.99)]


def scripts():
    """Answers of the draws, which both neighbours must be asked about alike."""
    yield lambda i, n: n // 2
    yield lambda i, n: 0 if i % 2 else n - 1
    for seed in range(6):
        yield lambda i, n, seed=seed: (7919 * (i + 1) * (seed + 1) + 31 * seed) % n


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("q", QUANTILES, ids=str)
def test_no_unit_moves_quantiles_farther_than_is_charged(q, relation, rows, tap):
    for (sign, script), dtype in zip(
        itertools.product(SIGNS, scripts()), itertools.cycle(TYPES), strict=False
    ):
        tap.script = script
        low, high = SIGNS[sign]
        values = extremes((low, high), dtype)
        query = ask(dp.quantiles, (low, high), q=q, step=(high - low) / 5)
        column = np.repeat(column_of(values), 3)
        ratio = worst(query, column, values[:4], rows, relation, tap)
        assert ratio <= 1 + TIGHT, f"{sign}, {dtype}: {ratio:.3f} of the charge"


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("relation", RELATIONS)
def test_what_is_planned_is_what_is_charged(relation, rows, tap):
    tap.script = lambda i, n: n // 2
    asked = [(f, {"bounds": b}) for f in MOMENTS for b in SIGNS.values()]
    asked += [(dp.histogram, {"bounds": (0, 1), "bins": 3})]
    asked += [(dp.quantiles, {"bounds": (0, 1), "q": q}) for q in QUANTILES]
    ids = None if rows is None else np.zeros(3, int)
    for (query, more), delta in itertools.product(asked, [0.0, 1e-6]):
        fixed = {**more, "epsilon": 0.5, "delta": delta, "max_rows_per_patient": rows}
        item = dp.planned(query, relation=relation, **fixed)
        released = query(np.arange(3.0), patient_ids=ids, ledger=ledger(relation), **fixed)
        assert (item.event, item.slack) == (released.event, released.slack)


# --- what the check would see ---------------------------------------------------------------------


def test_the_check_sees_a_sum_that_forgets_the_number_of_rows(tap, monkeypatch):
    bounds = SIGNS["above 0"]
    values = np.array(bounds)
    args = ask(dp.sum, bounds), values, values, 10, REPLACE, tap
    assert worst(*args) == pytest.approx(1.0, rel=1e-6)
    # As it was: the sum of as many rows as before, from low to high each.
    monkeypatch.setattr(moments, "rows_are_public", lambda *of: True)
    assert worst(*args) == pytest.approx(3.0, rel=1e-6)  # 10 * 45 of 10 * (45 - 30)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("function", [*MOMENTS, dp.histogram], ids=lambda f: f.__name__)
def test_the_check_sees_half_the_noise(function, relation, tap, monkeypatch):
    values = extremes((-2.0, 2.0), "f8")
    more = {"bins": 3} if function is dp.histogram else {}
    args = ask(function, (-2.0, 2.0), **more), column_of(values), values, 2, relation, tap
    assert worst(*args) <= 1 + TIGHT
    laplace = Noise.laplace
    monkeypatch.setattr(Noise, "laplace", lambda scale: laplace(scale / 2))
    assert worst(*args) > 1.1


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("q", QUANTILES, ids=str)
def test_the_check_sees_quantiles_of_half_the_reach(q, relation, tap, monkeypatch):
    tap.script = lambda i, n: n // 2
    values = np.array([-2.0, 0.0, 2.0])
    query = ask(dp.quantiles, (-2.0, 2.0), q=q, step=1.0)
    args = query, np.repeat(values, 3), values, 2, relation, tap
    assert worst(*args) <= 1 + TIGHT
    reach = _halving._reach
    monkeypatch.setattr(_halving, "_reach", lambda *of: reach(*of) // 2)
    assert worst(*args) > 1.1


# --- mechanisms: integers on the lattice of a sensitivity -----------------------------------------


def distance_of(here, there, order):
    """The exact distance of two lists of floats, rounded up."""
    moves = [abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(here, there, strict=True)]
    exact = sum(moves) if order == 1 else math.sqrt(sum(m * m for m in moves))
    return math.nextafter(float(exact), math.inf)


def points_of(mechanism, x, monkeypatch):
    """The integers that a mechanism adds its noise to."""
    with monkeypatch.context() as patch:
        for kind in ("DiscreteGaussian", "DiscreteLaplace"):
            patch.setattr(noise, kind, Silent)
        released = mechanism.release(x, ledger=ledger(ADD), rng=None)
    points = np.asarray(released.value, np.float64) / released.granularity
    assert np.array_equal(points, np.rint(points))
    return points, released


class Silent(NoTable):
    """Rounds to the lattice and adds nothing."""

    def __init__(self, scale):
        self.scale = self.sigma = scale

    def add_to_lattice(self, x, rng, *, granularity, out):
        out[...] = np.rint(x / granularity) * granularity


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    order=st.sampled_from([1, 2]),
    center=st.floats(-1e6, 1e6),
    moves=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=6),
)
def test_rounding_to_the_lattice_moves_no_farther_than_the_widened_sensitivity(
    order, center, moves, monkeypatch
):
    here = np.full(len(moves), center)
    there = here + np.array(moves)
    sensitivity = distance_of(here, there, order)
    assume(sensitivity > 1e-3)
    if order == 1:
        mechanism = dp.LaplaceMechanism(l1_sensitivity=sensitivity, epsilon=0.5)
    else:
        mechanism = dp.GaussianMechanism(l2_sensitivity=sensitivity, sigma=9 * sensitivity)
    (one, released), (other, _) = (points_of(mechanism, x, monkeypatch) for x in (here, there))
    moved = np.linalg.norm(one - other, order)
    widened = released.widened_sensitivity / released.granularity
    assert moved <= widened * (1 + TIGHT)
    # The event takes the widened sensitivity, over noise of at most the sigma that is drawn.
    assert released.event.sensitivity == pytest.approx(widened)
    assert released.event.sigma <= released.sigma / released.granularity * (1 + TIGHT)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    scores=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6),
    sensitivity=st.floats(1e-3, 1e3),
    signs=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=6, max_size=6),
)
def test_scores_on_their_lattice_move_no_farther_than_the_coins_allow(
    scores, sensitivity, signs, monkeypatch
):
    here = np.array(scores)
    there = here + sensitivity * np.array(signs[: here.size])
    assume(np.max(np.abs(there - here)) > 0)
    sensitivity = max(distance_of([a], [b], 1) for a, b in zip(here, there, strict=True))
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(choice, "permute_and_flip", lambda p, rate, _: seen.append((p, rate)) or 0)
        for x in (here, there):
            dp.ExponentialMechanism(sensitivity=sensitivity, epsilon=0.5).release(
                x, ledger=ledger(ADD)
            )
    (one, rate), (other, same) = seen
    assert rate == same
    assert 2.0 * rate * float(np.max(np.abs(one - other))) <= 0.5 * (1 + TIGHT)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=st.floats(-1e4, 1e4), move=st.floats(1e-3, 1e3), threshold=st.floats(-1e4, 1e4))
def test_values_of_a_session_move_no_farther_than_its_noise_allows(
    value, move, threshold, monkeypatch
):
    sensitivity = distance_of([value], [value + move], 1)
    seen = []

    class Listening(Silent):
        def sample(self, n, rng):
            seen.append(self.scale)
            return np.zeros(n, np.int64)

    with monkeypatch.context() as patch:
        patch.setattr(noise, "DiscreteLaplace", Listening)
        session = dp.SparseVector(sensitivity=sensitivity, epsilon=0.5).start(
            threshold=threshold, ledger=ledger(ADD)
        )
        moved = abs(session._point(value) - session._point(value + move))
        session.above(value)
    of_threshold, of_value = seen
    # A session spends its threshold's share once, and twice a value's move on the one "above".
    assert moved / of_threshold + 2.0 * moved / of_value <= 0.5 * (1 + TIGHT)
