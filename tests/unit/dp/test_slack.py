"""What a sampler's distance from its event costs, and ledgers of a large epsilon."""

import math

import numpy as np
import pytest

from veil import dp
from veil.dp import _slack, accounting
from veil.errors import BudgetExceeded

ADD = "add-or-remove-one"


def ledger(epsilon, mode="adaptive", delta=1e-6):
    return dp.Ledger(epsilon=epsilon, delta=delta, unit="patient", relation=ADD, mode=mode)


# --- ledgers of a large epsilon -------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [60.0, 100.0, 700.0, 1e4])
def test_a_ledger_of_large_epsilon_answers_queries(epsilon):
    book = ledger(epsilon)
    released = dp.mean(
        np.arange(100.0), bounds=(0, 100), epsilon=1.0, delta=0.0, patient_ids=None, ledger=book
    )
    noise = dp.GaussianMechanism.calibrate(epsilon=5.0, delta=1e-8, l2_sensitivity=1.0)
    noise.release(np.zeros(64), ledger=book)
    assert book.spent().releases == 2
    assert released.slack > 0.0
    # What they cost is far below what was kept for it.
    assert 0.0 < book._book.slack_cost < 1e-4 * book.settings.delta


def test_at_the_epsilon_of_all_runs_the_same_slack_would_be_refused(monkeypatch):
    monkeypatch.setattr("veil.dp._filter.cost_of_run", lambda *_: math.inf)
    book = ledger(60.0)
    with pytest.raises(BudgetExceeded, match="slack"):
        dp.count(np.ones(9), bounds=None, epsilon=1.0, delta=0.0, patient_ids=None, ledger=book)


def test_a_single_release_that_spends_too_much_for_its_slack_is_refused_by_name():
    book = ledger(700.0)
    with pytest.raises(BudgetExceeded, match="smaller epsilon each"):
        book.charge(dp.Event.pure(epsilon=80.0), slack=1e-31, label="all at once")
    assert book.spent().releases == 0
    book.charge(dp.Event.pure(epsilon=20.0), slack=1e-31, count=30, label="in parts")


def test_a_plan_of_large_epsilon_is_admitted_by_what_each_run_spends():
    event = dp.Event.gaussian(sigma=1.0, sensitivity=1.0, sampling_probability=0.5, count=2000)
    assert dp.epsilon(event, delta=1e-6, relation=ADD) > 100.0
    assert dp.epsilon(event, delta=1e-6, relation=ADD, slack=2000e-31) > 100.0
    ledger(700.0, "planned").reserve([dp.Charge("train", event, 1e-31)])


def test_slack_of_a_small_epsilon_costs_as_before():
    event = dp.Event.pure(epsilon=0.5)
    assert ledger(2.0).settings.filter.slack_cost(event, 1e-20) == pytest.approx(
        1e-20 * (1 + math.exp(2.0))
    )


# --- the inequality -------------------------------------------------------------------------------


def hockey_stick(p, q, epsilon):
    return float(np.maximum(p - math.exp(epsilon) * q, 0.0).sum())


def near(rng, p, distance):
    """Return a distribution within a total-variation distance of p that starves its tail."""
    taken = np.zeros_like(p)
    order = np.argsort(p)
    left = distance
    for i in order:
        taken[i] = min(p[i], left)
        left -= taken[i]
    given = rng.dirichlet(np.ones(p.size)) * taken.sum()
    return p - taken + given


def composed(runs):
    out = np.ones(1)
    for one in runs:
        out = np.multiply.outer(out, one).reshape(-1)
    return out


@pytest.mark.parametrize("seed", range(20))
def test_no_composition_of_inexact_samplers_exceeds_the_bound(seed):
    """Six runs of five outcomes, drawn otherwise than they say: every transcript enumerated."""
    rng = np.random.default_rng(seed)  # of the test's inputs, not of noise
    spread = rng.uniform(0.5, 3.0)
    p = [rng.dirichlet(np.ones(5)) ** spread for _ in range(6)]
    p = [x / x.sum() for x in p]
    q = [np.roll(x, 1) for x in p]
    slack = 10.0 ** rng.uniform(-4, -2)
    real_p, real_q = [near(rng, x, slack) for x in p], [near(rng, x, slack) for x in q]
    ideal, real = (composed(p), composed(q)), (composed(real_p), composed(real_q))
    own = [np.linspace(0, 12, 200) for _ in p]
    cost = sum(
        slack + min(math.exp(e) * slack + hockey_stick(a, b, e) for e in grid)
        for a, b, grid in zip(p, q, own, strict=True)
    )
    for epsilon in (0.0, 1.0, 3.0, 8.0):
        excess = hockey_stick(*real, epsilon) - hockey_stick(*ideal, epsilon)
        assert excess <= cost * (1 + 1e-9)
        assert excess <= 6 * slack * (1 + math.exp(epsilon)) * (1 + 1e-9)


def test_the_cost_of_a_starved_tail_is_reached_within_a_factor():
    """A bound by the run's own loss alone, s (1 + e^e), would be too small without its d."""
    p, q = np.array([0.5, 0.5 - 1e-6, 1e-6]), np.array([0.5, 0.5 - 1e-9, 1e-9])
    starved = np.array([0.5 + 1e-9, 0.5 - 1e-9, 0.0])
    excess = hockey_stick(p, starved, math.log(1e3)) - hockey_stick(p, q, math.log(1e3))
    assert excess == pytest.approx(1e-6, rel=1e-3)
    bound = 1e-9 + min(
        math.exp(e) * 1e-9 + hockey_stick(p, q, e) for e in np.linspace(0.0, 10.0, 400)
    )
    assert excess <= bound <= 2.0 * excess


@pytest.mark.parametrize(
    "event",
    [
        dp.Event.gaussian(sigma=2.0, sensitivity=1.0),
        dp.Event.gaussian(sigma=2.0, sensitivity=1.0, sampling_probability=0.1),
        dp.Event.pure(epsilon=1.5),
        dp.Event.discrete_laplace(scale=10.0, sensitivity=15),
        dp.Event.discrete_gaussian(sigma=2.0, sensitivity=1.0),
        dp.Event.skellam(variance=900.0, sensitivity=10.0, l1_sensitivity=20.0),
    ],
    ids=lambda event: f"{event.kind} {event.sampling_probability}",
)
def test_cost_of_a_run_is_by_an_epsilon_that_the_run_satisfies(event):
    slack = 1e-9
    cost = _slack.cost_of_run(event, slack, ADD)
    e = math.log(cost / slack - 2.0)
    spent = accounting.epsilon(event, delta=slack, relation=ADD)
    assert e >= spent * (1.0 - 1e-3) or event.kind in ("pure", "discrete-laplace")
    assert _slack.cost_of_runs([event, event.repeat(3)], 4 * slack, ADD) >= 4 * cost * (1 - 1e-9)


@pytest.mark.parametrize("additive", [0.0, 1e-9])
@pytest.mark.parametrize("slack", [math.nan, -1.0])
def test_slack_that_is_no_distance_is_refused(slack, additive):
    with pytest.raises(ValueError, match=r"^slack, additive_delta: expected"):
        dp.epsilon(
            dp.Event.pure(epsilon=1.0),
            delta=1e-6,
            relation=ADD,
            slack=slack,
            additive_delta=additive,
        )
