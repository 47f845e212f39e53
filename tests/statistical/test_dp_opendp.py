"""At the same epsilon, answers are as accurate as OpenDP's, within sampling error."""

import math

import numpy as np
import pytest

from veil import dp
from veil.random import SecureGenerator

opendp = pytest.importorskip("opendp.prelude")
opendp.enable_features("contrib", "floating-point", "honest-but-curious")

RUNS = 2000
EPSILON = 1.0
AGES = np.random.default_rng(0).integers(20, 90, 300)


def ledger():
    return dp.Ledger(
        epsilon=9.0, delta=1e-3, unit="patient", relation="add-or-remove-one", mode="adaptive"
    )


def deviation(errors):
    return math.sqrt(np.mean(np.square(errors)))


def assert_as_accurate(ours, theirs):
    """A deviation's relative standard error is at most sqrt(5 / 4 n) for Laplace errors."""
    tolerance = 5.5 * math.sqrt(2 * 5 / (4 * RUNS))
    ratio = deviation(ours) / deviation(theirs)
    assert ratio < 1 + tolerance, f"ratio {ratio:.3f} over {RUNS} runs each, alpha = 1e-6"
    return ratio


def answers(query, **more):
    rng = SecureGenerator.from_seed(bytes(32))
    return np.array(
        [
            query(
                AGES,
                **{"bounds": (0, 120), "epsilon": EPSILON, "delta": 0.0, **more},
                patient_ids=None,
                ledger=ledger(),
                rng=rng,
            ).value
            for _ in range(RUNS)
        ]
    )


def test_count():
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    theirs = space >> opendp.t.then_count() >> opendp.m.then_laplace(scale=1 / EPSILON)
    assert theirs.map(1) <= EPSILON
    column = AGES.tolist()
    peer = np.array([theirs(column) for _ in range(RUNS)]) - AGES.size
    ratio = assert_as_accurate(answers(dp.count) - AGES.size, peer)
    assert ratio > 0.8, "less noise than the peer needs at the same epsilon"


def test_sum():
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    theirs = (
        space
        >> opendp.t.then_clamp((0, 120))
        >> opendp.t.then_sum()
        >> opendp.m.then_laplace(scale=120 / EPSILON)
    )
    assert theirs.map(1) <= EPSILON
    column = AGES.tolist()
    peer = np.array([theirs(column) for _ in range(RUNS)]) - AGES.sum()
    ratio = assert_as_accurate(answers(dp.sum) - AGES.sum(), peer)
    assert ratio > 0.8


def test_gaussian_sum():
    """The peer's noise for the same zCDP as our event: sensitivity^2 / (2 sigma^2)."""
    mechanism = dp.GaussianMechanism.calibrate(epsilon=EPSILON, delta=1e-6, l2_sensitivity=120.0)
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    theirs = (
        space
        >> opendp.t.then_clamp((0, 120))
        >> opendp.t.then_sum()
        >> opendp.m.then_gaussian(scale=mechanism.sigma)
    )
    column = AGES.tolist()
    peer = np.array([theirs(column) for _ in range(RUNS)]) - AGES.sum()
    rng = SecureGenerator.from_seed(bytes(32))
    exact = float(AGES.sum())
    ours = np.array([mechanism.release(exact, ledger=ledger(), rng=rng).value for _ in range(RUNS)])
    ratio = assert_as_accurate(ours - exact, peer)
    assert ratio > 0.8


def test_mean_beats_a_noisy_sum_over_a_noisy_count():
    """The peer's way without a public size: half of epsilon for each."""
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    total = (
        space
        >> opendp.t.then_clamp((0, 120))
        >> opendp.t.then_sum()
        >> opendp.m.then_laplace(scale=240 / EPSILON)
    )
    rows = space >> opendp.t.then_count() >> opendp.m.then_laplace(scale=2 / EPSILON)
    column = AGES.tolist()
    peer = np.array([total(column) / rows(column) for _ in range(RUNS)]) - AGES.mean()
    assert_as_accurate(answers(dp.mean) - AGES.mean(), peer)


def test_histogram():
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    names = list(range(20, 90))
    theirs = (
        space
        >> opendp.t.then_count_by_categories(categories=names, null_category=False)
        >> opendp.m.then_laplace(scale=1 / EPSILON)
    )
    column = AGES.tolist()
    exact = np.bincount(AGES, minlength=90)[20:]
    peer = np.array([theirs(column) for _ in range(RUNS // 20)]) - exact
    rng = SecureGenerator.from_seed(bytes(32))
    ours = np.array(
        [
            dp.histogram(
                AGES,
                bounds=None,
                categories=range(20, 90),
                epsilon=EPSILON,
                delta=0.0,
                patient_ids=None,
                ledger=ledger(),
                rng=rng,
            ).value
            for _ in range(RUNS // 20)
        ]
    )
    assert_as_accurate((ours - exact).ravel(), peer.ravel())


def test_median():
    """The peer's report-noisy-max over the same candidates and scores."""
    candidates = list(range(0, 121))
    space = opendp.vector_domain(opendp.atom_domain(T=int)), opendp.symmetric_distance()
    try:
        scores = space >> opendp.t.then_quantile_score_candidates(candidates, alpha=0.5)
        theirs = opendp.binary_search_chain(
            lambda scale: scores >> opendp.m.then_noisy_max(opendp.max_divergence(), scale),
            d_in=1,
            d_out=EPSILON,
        )
    except (AttributeError, TypeError) as error:
        pytest.skip(f"this OpenDP has another way to a quantile: {error}")
    column = AGES.tolist()
    peer = np.array([candidates[theirs(column)] for _ in range(RUNS)])
    ours = answers(dp.quantiles, q=0.5, step=1)
    ordered = np.sort(AGES)

    def ranks(values):
        low = np.searchsorted(ordered, values, "left")
        high = np.searchsorted(ordered, values, "right")
        return np.maximum(0, np.maximum(low - 150, 150 - high))

    assert_as_accurate(ranks(ours), ranks(peer))
