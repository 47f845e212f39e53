"""The noise and the sample of CentralDP follow their event; each test fails on a broken one."""

import hashlib

import numpy as np
import pytest

from veil.fl import CentralDP, FedAvg, LogisticRegression, Site, SiteRound, Sum
from veil.fl.layout import Layout
from veil.fl.privacy import central as mechanism
from veil.fl.privacy._noise import FloatGaussian
from veil.random import SecureGenerator

ALPHA = 1e-6
stats = pytest.importorskip("scipy.stats", reason="scipy: pip install scipy")

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


def stream(name):
    return SecureGenerator.from_seed(hashlib.sha256(name.encode()).digest())


def noise():
    """What the server's step holds beyond the sum, in units of z·C."""
    total = np.linspace(-1, 1, N)
    step = DP.release(
        Sum(total, None, ("a",)), task=TASK, params=TASK.init(None), rng=stream("noise")
    )
    return (step.total / -0.5 * (0.3 * 1000) - total) / (1.7 * 0.4)


def p_of_noise(values):
    return stats.kstest(values, "norm").pvalue


def test_noise_has_the_multiplier_of_the_event():
    p = p_of_noise(noise())
    assert p > ALPHA, f"n = {N}, KS p = {p:.2g} at alpha = {ALPHA}"


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_the_noise_test_sees_two_percent(monkeypatch, factor):
    class Off(FloatGaussian):
        def add(self, total, plan, rng):
            return total + factor * rng.normal(total.shape, dtype=np.float64, scale=plan.sigma)

    monkeypatch.setattr(mechanism, "_NOISE", Off())
    assert p_of_noise(noise()) < ALPHA


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
    )
    hits = drawn(dp, 500, rows=3)
    p = p_of_rate(hits, 0.3)
    assert p > ALPHA, f"n = {hits.size}, binomial p = {p:.2g} at alpha = {ALPHA}"
    by_row = 1 - 0.7**3
    assert p_of_rate(hits, by_row) < ALPHA
