"""The noise and the sample of CentralDP follow their event; each test fails on a broken one."""

import hashlib
import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import beta

from veil.dp import privacy_profile
from veil.fl import CentralDP, FedAvg, LogisticRegression, Site, SiteRound, Sum
from veil.fl.layout import Layout
from veil.fl.privacy import central as mechanism
from veil.fl.privacy._noise import LatticeGaussian
from veil.random import SecureGenerator

ALPHA = 1e-6

N = 500_000
DP = CentralDP(
    noise_multiplier=1.7,
    max_grad_norm=0.4,
    sampling_probability=0.3,
    population=1000,
    rounds=1,
    unit="record",
)
TASK = LogisticRegression(features=N - 1, learning_rate=0.5, epochs=1, batch_size=None)
ROOT = math.sqrt(N)


def stream(name):
    return SecureGenerator.from_seed(hashlib.sha256(name.encode()).digest())


def noise():
    """What the server's step holds beyond the sum, over the σ that the event asks for."""
    total = np.linspace(-1, 1, N)
    step = DP.release(
        Sum(total, None, ("a",)), task=TASK, params=TASK.init(None), rng=stream("noise")
    )
    granularity = 2.0 ** math.floor(math.log2(0.4 / (1000 * ROOT)))
    assert granularity < 1.7 * 0.4 / 64
    widened = 0.4 + granularity * ROOT
    return (step.total / -0.5 * (0.3 * 1000) - total) / (1.7 * widened)


def p_of_moments(values, checks):
    return [checks.power(values, 2, 1.0, 3.0), checks.power(values, 4, 3.0, 105.0)]


class Scaled(LatticeGaussian):
    """Noise of another width than was planned."""

    def __init__(self, factor):
        self.factor = factor

    def add(self, total, plan, rng):
        zero = super().add(np.zeros_like(total), plan, rng)
        return total + self.factor * zero


def test_noise_has_the_multiplier_of_the_event(checks):
    values = noise()
    for p in p_of_moments(values, checks):
        checks.accepts(p, N)
    checks.accepts(checks.mean(values, 0.0, 1.0), N)
    checks.accepts(checks.runs(values, 0.0), N)
    checks.rejects(checks.mean(values + 0.01, 0.0, 1.0), N)
    checks.rejects(checks.runs(checks.stutter(values), 0.0), N)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_noise_test_sees_one_percent(monkeypatch, factor, checks):
    monkeypatch.setattr(mechanism, "_NOISE", Scaled(factor))
    for p in p_of_moments(noise(), checks):
        checks.rejects(p, N)


class Counts:
    """One-hot gradients: the site's sum shows who was drawn."""

    learning_rate = 1.0

    def record_gradients(self, params, x, y):
        return np.eye(len(params["w"]))[x[:, 0].astype(int)]

    def penalty_gradient(self, params):
        return np.zeros_like(params["w"])


def drawn(dp, rounds, *, patients=200, rows=1):
    ids = np.repeat(np.arange(patients), rows)
    x, y = ids[:, None].astype(float), np.zeros(len(ids))
    site = Site(id="a", x=x, y=y, x_test=x[:0], y_test=y[:0], patients=ids if rows > 1 else None)
    layout = Layout.of({"w": np.zeros(patients)})
    hits = np.zeros((rounds, patients), bool)
    for i in range(rounds):
        work = SiteRound(Counts(), site, layout, np.zeros(patients), {}, {}, {}, stream(f"{i}"))
        hits[i] = dp.contribute(FedAvg(), work).vector > 0
    return hits


def p_of_rate(hits, q):
    return stats.binomtest(int(hits.sum()), hits.size, q).pvalue


def test_each_patient_is_drawn_with_probability_q():
    hits = drawn(DP, 500)
    p = p_of_rate(hits, 0.3)
    assert p > ALPHA, f"n = {hits.size}, binomial p = {p:.2g} at alpha = {ALPHA}"
    sizes = hits.sum(axis=1)
    ratio = sizes.var(ddof=1) / (200 * 0.3 * 0.7)
    low, high = stats.chi2.ppf([ALPHA / 2, 1 - ALPHA / 2], 499) / 499
    assert low < ratio < high, f"variance of {len(sizes)} batch sizes is {ratio:.3f} times binomial"


def test_the_rate_test_sees_five_percent():
    assert p_of_rate(drawn(DP, 500), 0.3 * 1.05) < ALPHA


def test_patients_and_not_rows_are_drawn():
    dp = CentralDP(
        noise_multiplier=1.7,
        max_grad_norm=0.4,
        sampling_probability=0.3,
        population=200,
        rounds=1,
        unit="patient",
        max_rows_per_patient=3,
    )
    hits = drawn(dp, 500, rows=3)
    p = p_of_rate(hits, 0.3)
    assert p > ALPHA, f"n = {hits.size}, binomial p = {p:.2g} at alpha = {ALPHA}"
    by_row = 1 - 0.7**3
    assert p_of_rate(hits, by_row) < ALPHA


# One patient more, replayed: the loss that shows is at most the one that the event claims.

ONE = CentralDP(
    noise_multiplier=1.0,
    max_grad_norm=1.0,
    sampling_probability=0.5,
    population=1,
    rounds=1,
    unit="record",
)
EPSILON, RUNS = 0.5, 4_000


def violation(here, there, delta):
    """Most by which a Clopper-Pearson lower bound exceeds what (ε, δ) allows."""

    def least(hits):
        return beta.ppf(ALPHA, hits, RUNS - hits + 1) if hits else 0.0

    def most(hits):
        return beta.ppf(1 - ALPHA, hits + 1, RUNS - hits) if hits < RUNS else 1.0

    a, b = int(np.sum(here)), int(np.sum(there))
    pairs = [(a, b), (b, a), (RUNS - a, RUNS - b), (RUNS - b, RUNS - a)]
    return max(least(x) - math.exp(EPSILON) * most(y) - delta for x, y in pairs)


def replayed(neighbour):
    """Whether each noisy sum of one more patient, or none, lies where the two differ most."""
    site = Site(id="a", x=np.zeros((1, 1)), y=np.zeros(1), x_test=np.zeros((0, 1)),
                y_test=np.zeros(0), patients=None)  # fmt: skip
    layout, params = Layout.of({"w": np.zeros(1)}), {"w": np.zeros(1)}
    rng = stream(f"replay {neighbour}")
    q, z = ONE.sampling_probability, ONE.noise_multiplier
    threshold = z**2 * math.log((math.exp(EPSILON) - 1 + q) / q) + 0.5
    hits = np.zeros(RUNS, bool)
    for i in range(RUNS):
        vector = np.zeros(1)
        if neighbour:
            work = SiteRound(Counts(), site, layout, vector, {}, {}, {}, rng)
            vector = ONE.contribute(FedAvg(), work).vector
        step = ONE.release(Sum(vector, None, ("a",)), task=Counts(), params=params, rng=rng)
        hits[i] = -step.total[0] * q > threshold
    return hits


def test_a_patient_more_shows_no_more_than_the_event_claims():
    (delta,) = privacy_profile(ONE.event(), epsilons=[EPSILON], relation="add-or-remove-one")
    excess = violation(replayed(True), replayed(False), delta)
    assert excess <= 0, f"n = {RUNS}, alpha = {ALPHA}: loss above the claim by {excess:.3g}"


def test_the_replay_catches_half_the_noise(monkeypatch):
    (delta,) = privacy_profile(ONE.event(), epsilons=[EPSILON], relation="add-or-remove-one")
    monkeypatch.setattr(mechanism, "_NOISE", Scaled(0.5))
    assert violation(replayed(True), replayed(False), delta) > 0
