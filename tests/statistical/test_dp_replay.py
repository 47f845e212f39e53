"""Neighbouring data sets, replayed: the loss that shows does not exceed the loss that is claimed.

Each mechanism and query runs N times on two neighbours. For the event S that tells them apart best,
chosen in advance from the law of the noise, Clopper-Pearson bounds at alpha = 1e-6 must allow
P(M(D) in S) <= e^epsilon P(M(D') in S) + delta, in both directions. The same check must catch the
same code with half of its noise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import beta

from veil import dp, noise
from veil.dp import choice, moments, quantile
from veil.random import SecureGenerator

ALPHA = 1e-6
RUNS = 1500
MANY = 4_000  # a Gaussian's loss shows in rarer events
ADD = "add-or-remove-one"
REPLACE = "replace-one"


def least(hits, runs):
    return beta.ppf(ALPHA, hits, runs - hits + 1) if hits else 0.0


def most(hits, runs):
    return beta.ppf(1 - ALPHA, hits + 1, runs - hits) if hits < runs else 1.0


def violation(here, there, epsilon, delta):
    """Most by which a lower bound exceeds what (epsilon, delta) allows; above 0 is a proof."""
    n, m = len(here), len(there)
    a, b = int(np.sum(here)), int(np.sum(there))
    factor = math.exp(epsilon)
    return max(
        least(x, nx) - factor * most(y, ny) - delta
        for x, nx, y, ny in [(a, n, b, m), (b, m, a, n), (n - a, n, m - b, m), (m - b, m, n - a, n)]
    )


@dataclass(frozen=True)
class Case:
    """A run on either neighbour that tells whether its answer lies in S."""

    epsilon: float
    delta: float
    run: Callable[[bool, SecureGenerator], bool]
    runs: int = RUNS


def ledger(relation=ADD):
    return dp.Ledger(
        epsilon=9.0,
        delta=1e-2,
        unit="patient",
        relation=relation,
        mode="adaptive",
        additive_delta=5e-3,
    )


def released(mechanism, value, rng):
    # 0 and 1 are integers by this test's word, not by their type.
    more = {"integer": True} if isinstance(value, int) else {}
    return mechanism.release(value, ledger=ledger(), rng=rng, **more).value


# One unit more: its age is 120, in the last bin; replaced: 0 becomes 120.
AGES = np.array([30.0, 50.0, 60.0, 60.0, 61.0, 75.0, 80.0, 0.0])
MORE = np.append(AGES, 120.0)
OTHER = np.append(AGES[:-1], 120.0)


def query(function, accept, *, epsilon, delta, relation, runs=RUNS, **more):
    def run(neighbour, rng):
        other = OTHER if relation == REPLACE else MORE
        answer = function(
            other if neighbour else AGES,
            **{"bounds": (0, 120), **more},
            epsilon=epsilon,
            delta=delta,
            patient_ids=None,
            ledger=ledger(relation),
            rng=rng,
        )
        return accept(answer)

    return Case(epsilon, delta, run, runs)


def mechanism(build, here, there, accept, epsilon, delta, runs=RUNS):
    made = build()

    def run(neighbour, rng):
        return accept(released(made, there if neighbour else here, rng))

    return Case(epsilon, delta, run, runs)


def gaussian():
    return dp.GaussianMechanism.calibrate(epsilon=2.0, delta=1e-2, l2_sensitivity=1.0)


def laplace():
    return dp.LaplaceMechanism(l1_sensitivity=1.0, epsilon=1.0)


def choose():
    return dp.ExponentialMechanism(sensitivity=1.0, epsilon=2.0)


def first_answer(neighbour, rng):
    session = dp.SparseVector(sensitivity=1.0, epsilon=4.0).start(
        threshold=0.0, ledger=ledger(), rng=rng
    )
    shift = 1.0 if neighbour else 0.0
    return session.above(-1.0 + shift)


def moment(function, here, there, accept, *, relation, runs=MANY):
    """Data whose noiseless sums lie one unit's contribution apart, on either side of S."""

    def run(neighbour, rng):
        answer = function(
            there if neighbour else here,
            bounds=(0, 120),
            epsilon=3.0,
            delta=0.0,
            patient_ids=None,
            ledger=ledger(relation),
            rng=rng,
        )
        return accept(answer.value)

    return Case(3.0, 1e-9, run, runs)


def unknown_categories(neighbour, rng):
    released = dp.histogram(
        np.array(["flu"] * (51 if neighbour else 50)),
        bounds=None,
        epsilon=1.0,
        delta=1e-6,
        patient_ids=None,
        ledger=ledger(),
        rng=rng,
    )
    return released.value[0] >= 51


MIDDLE = np.full(20, 60.0)

# S: the half line on the far side of the shifted value, where the ratio of the densities is largest
# and the probability still near a half.
CASES = {
    "gaussian float": mechanism(gaussian, 0.0, 1.0, lambda v: v >= 1.12, 2.0, 1e-2, MANY),
    "gaussian integer": mechanism(gaussian, 0, 1, lambda v: v >= 2, 2.0, 1e-2, MANY),
    "laplace float": mechanism(laplace, 0.0, 1.0, lambda v: v >= 1.0, 1.0, 1e-9),
    "laplace integer": mechanism(laplace, 0, 1, lambda v: v >= 1, 1.0, 1e-9),
    "gaussian vector": mechanism(
        gaussian, np.zeros(4), np.full(4, 0.5), lambda v: v.sum() / 2 >= 1.12, 2.0, 1e-2, MANY
    ),
    "permute and flip": mechanism(
        choose, np.array([1, 0]), np.array([0, 1]), lambda v: v == 0, 2.0, 1e-9
    ),
    "sparse vector": Case(4.0, 1e-9, first_answer, 4000),
    "count": query(dp.count, lambda a: a.value >= 9, epsilon=1.0, delta=0.0, relation=ADD),
    "count, gaussian": query(
        dp.count,
        lambda a: a.value >= 10,
        epsilon=2.0,
        delta=1e-2,
        relation=ADD,
        runs=MANY,
    ),
    "sum": query(dp.sum, lambda a: a.value >= 536.0, epsilon=1.0, delta=0.0, relation=ADD),
    "sum, replaced": query(
        dp.sum, lambda a: a.value >= 536.0, epsilon=1.0, delta=0.0, relation=REPLACE
    ),
    "mean, replaced": query(
        dp.mean, lambda a: a.value >= 67.0, epsilon=1.0, delta=0.0, relation=REPLACE
    ),
    # All of the deviations' share, as the sign of the mean's deviation is that of their sum.
    "mean": moment(
        dp.mean,
        np.array([60.0] * 7 + [0.0]),
        np.array([60.0] * 7 + [0.0, 120.0]),
        lambda v: v >= 60.0,
        relation=ADD,
    ),
    "variance, replaced": moment(
        dp.variance,
        MIDDLE,
        np.append(MIDDLE[1:], 120.0),
        lambda v: v >= 171.0,
        relation=REPLACE,
        runs=2_500,
    ),
    "histogram of unknown categories": Case(1.0, 1e-6, unknown_categories),
    "histogram": query(
        dp.histogram, lambda a: a.value[-1] >= 1, epsilon=1.0, delta=0.0, relation=ADD, bins=4
    ),
    "histogram, replaced": query(
        dp.histogram,
        lambda a: a.value[-1] >= 1 and a.value[0] <= 0,
        epsilon=1.0,
        delta=0.0,
        relation=REPLACE,
        bins=4,
    ),
}


def replay(case, seed):
    rng = SecureGenerator.from_seed(bytes([seed]) * 32)
    return [
        np.array([case.run(neighbour, rng) for _ in range(case.runs)])
        for neighbour in (True, False)
    ]


@pytest.mark.parametrize("name", CASES)
def test_loss_is_within_the_claim(name):
    case = CASES[name]
    excess = violation(*replay(case, 1), case.epsilon, case.delta)
    assert excess <= 0, (
        f"{name}: {excess:.4f} above the claim, {case.runs} runs each, alpha = {ALPHA}"
    )


def halved(monkeypatch):
    """Give every mechanism half of its noise."""
    for kind in ("DiscreteGaussian", "RoundedGaussian", "DiscreteLaplace"):
        true = getattr(noise, kind)
        monkeypatch.setattr(noise, kind, lambda scale, true=true: true(scale / 2))
    flip = choice.permute_and_flip
    for user in (choice, quantile):
        monkeypatch.setattr(user, "permute_and_flip", lambda s, rate, rng: flip(s, 2 * rate, rng))


# The first answer of a sparse vector session, a choice between two, and two sums of which these
# neighbours move one by its reach (0.6 of epsilon) and one by half (of 0.4) never spend all of it:
# what catches them is the claim that their noise really supports.
WEAK = {
    "sparse vector": lambda: sparse_vector_loss(),
    "permute and flip": lambda: flip_loss(),
    "variance, replaced": lambda: 3.0 * (0.6 + 0.4 / 2),
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in WEAK])
def test_the_same_check_catches_half_the_noise(name, monkeypatch):
    halved(monkeypatch)
    case = CASES[name]
    assert violation(*replay(case, 2), case.epsilon, case.delta) > 0


@pytest.mark.parametrize("name", sorted(WEAK))
def test_half_the_noise_shows_in_choices(name, monkeypatch):
    """The exact loss of S bounds what the true code shows, and not what half the noise shows."""
    case = CASES[name]
    exact = WEAK[name]()
    assert violation(*replay(case, 3), exact, 1e-9) <= 0
    halved(monkeypatch)
    assert violation(*replay(case, 3), exact, 1e-9) > 0


def flip_loss():
    """Log ratio of choosing index 0 from [1, 0] and from [0, 1], rate 1."""
    p = math.exp(-1.0)
    return math.log((1 - p / 2) / (p / 2))


def sparse_vector_loss():
    """Log ratio of a first "above" at 0 and at -1 below the threshold, by the noise's exact law."""
    first = 1.0 / (1.0 + 2.0 ** (2.0 / 3.0))
    steps = 50
    k = np.arange(-40 * steps, 40 * steps + 1)

    def law(scale):
        weights = np.exp(-np.abs(k) / (scale * steps))
        return weights / weights.sum()

    # value noise - threshold noise >= gap
    difference = np.convolve(law(0.5 / (1.0 - first)), law(0.25 / first))
    tail = difference[::-1].cumsum()[::-1]
    middle = len(difference) // 2
    return math.log(tail[middle] / tail[middle + steps])


def quantile_case(q, relation):
    here = np.array([10.0] * 5 + [90.0] * 5)
    other = np.append(here[1:] if relation == REPLACE else here, [90.0])
    median = lambda a: (a.value if np.ndim(a.value) == 0 else a.value[0]) >= 50  # noqa: E731

    def run(neighbour, rng):
        return median(
            dp.quantiles(
                other if neighbour else here,
                bounds=(0, 100),
                step=100.0,
                q=q,
                epsilon=3.0,
                delta=0.0,
                patient_ids=None,
                ledger=ledger(relation),
                rng=rng,
            )
        )

    return Case(3.0, 1e-9, run)


@pytest.mark.parametrize("relation", [ADD, REPLACE])
@pytest.mark.parametrize("q", [0.5, (0.3, 0.5, 0.7)], ids=["one level", "two levels"])
def test_quantiles_lose_no_more_than_claimed(q, relation):
    case = quantile_case(q, relation)
    assert violation(*replay(case, 4), case.epsilon, case.delta) <= 0


@pytest.mark.parametrize("relation", [ADD, REPLACE])
def test_half_the_noise_shows_in_quantiles(relation, monkeypatch):
    """One row moves one score by 1 at the rate of half of epsilon: the loss of S exactly."""
    case = quantile_case(0.5, relation)
    assert violation(*replay(case, 5), case.epsilon / 2, case.delta) <= 0
    halved(monkeypatch)
    assert violation(*replay(case, 5), case.epsilon / 2, case.delta) > 0


def rows_case():
    """A patient with one row at the lower bound, or another with ten at the upper one."""
    others = np.full(20, 37.0)
    tables = [np.append(others, [30.0]), np.append(others, [45.0] * 10)]

    def run(neighbour, rng):
        values = tables[neighbour]
        answer = dp.sum(
            values,
            bounds=(30, 45),
            epsilon=1.0,
            delta=0.0,
            patient_ids=np.minimum(np.arange(values.size), 20),
            max_rows_per_patient=10,
            ledger=ledger(REPLACE),
            rng=rng,
        )
        return answer.value >= tables[1].sum()

    return Case(1.0, 1e-9, run)


def test_a_sum_hides_how_many_rows_a_replaced_patient_has():
    case = rows_case()
    assert violation(*replay(case, 6), case.epsilon, case.delta) <= 0


def test_a_sum_that_forgets_the_number_of_rows_shows_it(monkeypatch):
    monkeypatch.setattr(moments, "rows_are_public", lambda *of: True)
    case = rows_case()
    assert violation(*replay(case, 6), case.epsilon, case.delta) > 0


def test_unknown_categories_hide_one_unit():
    """A category of a single patient is shown with probability at most delta."""
    values = np.array(["flu"] * 50 + ["one"])
    shown = sum(
        "one"
        in dp.histogram(
            values,
            bounds=None,
            epsilon=2.0,
            delta=2e-3,
            patient_ids=None,
            ledger=ledger(),
            rng=SecureGenerator.from_seed(i.to_bytes(32, "little")),
        ).labels
        for i in range(RUNS)
    )
    assert least(shown, RUNS) <= 2e-3
