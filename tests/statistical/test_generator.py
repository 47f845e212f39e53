"""SecureGenerator's samplers against their distributions, and each test against a broken one."""

import numpy as np
import pytest
from scipy import stats

from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

N = 1 << 22
SEED = bytes(range(32))
FLOATS = [np.float32, np.float64]


@pytest.fixture(scope="module", params=FLOATS, ids=["float32", "float64"])
def normal(request):
    return SecureGenerator.from_seed(SEED).normal(N, dtype=request.param, scale=1.0)


@pytest.fixture(scope="module", params=FLOATS, ids=["float32", "float64"])
def laplace(request):
    return SecureGenerator.from_seed(SEED).laplace(N, dtype=request.param, scale=1.0)


@pytest.fixture(scope="module", params=FLOATS, ids=["float32", "float64"])
def uniform(request):
    return SecureGenerator.from_seed(SEED).uniform(N, dtype=request.param)


def test_normal_moments(normal, checks):
    checks.accepts(checks.mean(normal, 0.0, 1.0), N)
    checks.accepts(checks.power(normal, 2, 1.0, 3.0), N)
    checks.accepts(checks.power(normal, 3, 0.0, 15.0), N)
    checks.accepts(checks.power(normal, 4, 3.0, 105.0), N)
    checks.rejects(checks.mean(normal + 0.01, 0.0, 1.0), N)
    checks.rejects(checks.power(1.01 * normal, 2, 1.0, 3.0), N)
    checks.rejects(checks.power(normal + 0.01, 3, 0.0, 15.0), N)
    checks.rejects(checks.power(1.01 * normal, 4, 3.0, 105.0), N)


def test_normal_distribution(normal, checks):
    checks.accepts(checks.kolmogorov(normal, stats.norm.cdf), N)
    checks.rejects(checks.kolmogorov(1.01 * normal, stats.norm.cdf), N)


def test_normal_bins(normal, checks):
    edges = stats.norm.ppf(np.arange(1, 1000) / 1000)
    even = np.full(1000, 0.001)
    counts = np.bincount(np.searchsorted(edges, normal), minlength=1000)
    broken = np.bincount(np.searchsorted(edges, 1.01 * normal), minlength=1000)
    checks.accepts(checks.chi_square(counts, even), N)
    checks.rejects(checks.chi_square(broken, even), N)


def test_normal_tail(normal, checks):
    """The mass beyond 4.5 sigma, where a short radius would be missing."""
    beyond = 2 * stats.norm.sf(4.5)
    tail = int(np.sum(np.abs(normal) > 4.5))
    checks.accepts(stats.binomtest(tail, N, beyond).pvalue, N)
    clipped = int(np.sum(np.abs(np.clip(normal, -4.4, 4.4)) > 4.5))
    checks.rejects(stats.binomtest(clipped, N, beyond).pvalue, N)


def test_normal_halves_of_a_pair_are_independent(normal, checks):
    """Cosine and sine of one pair: uncorrelated, and so are their squares."""
    half = 16 if normal.dtype == np.float32 else 8
    pairs = normal.astype(float).reshape(-1, 2, half)
    x, y = pairs[:, 0].ravel(), pairs[:, 1].ravel()
    checks.accepts(checks.mean(x * y, 0.0, 1.0), N // 2)
    checks.accepts(checks.mean((x**2 - 1) * (y**2 - 1), 0.0, 4.0), N // 2)
    checks.rejects(checks.mean(x * (y + 0.01 * x), 0.0, 1.0), N // 2)
    checks.rejects(checks.mean((x**2 - 1) * (0.99 * y**2 + 0.01 * x**2 - 1), 0.0, 4.0), N // 2)


def test_normal_runs(normal, checks):
    checks.accepts(checks.runs(normal, 0.0), N)
    checks.rejects(checks.runs(checks.stutter(normal), 0.0), N)


def test_laplace_runs(laplace, checks):
    checks.accepts(checks.runs(laplace, 0.0), N)
    checks.rejects(checks.runs(checks.stutter(laplace), 0.0), N)


def test_laplace_distribution(laplace, checks):
    checks.accepts(checks.kolmogorov(laplace, stats.laplace.cdf), N)
    checks.rejects(checks.kolmogorov(1.01 * laplace, stats.laplace.cdf), N)


def test_laplace_moments(laplace, checks):
    checks.accepts(checks.mean(laplace, 0.0, 2.0), N)
    checks.accepts(checks.power(laplace, 2, 2.0, 24.0), N)
    checks.rejects(checks.mean(laplace + 0.01, 0.0, 2.0), N)
    checks.rejects(checks.power(1.01 * laplace, 2, 2.0, 24.0), N)


def test_uniform_distribution(uniform, checks):
    assert uniform.min() >= 0.0
    assert uniform.max() < 1.0
    checks.accepts(checks.kolmogorov(uniform, lambda x: x), N)
    checks.rejects(checks.kolmogorov(uniform**1.01, lambda x: x), N)


def test_uniform_low_bits(uniform, checks):
    bits = 24 if uniform.dtype == np.float32 else 53
    low = np.ldexp(uniform.astype(float), bits).astype(np.int64) & 15
    even = np.full(16, 1 / 16)
    checks.accepts(checks.chi_square(np.bincount(low, minlength=16), even), N)
    low[::100] = 0
    checks.rejects(checks.chi_square(np.bincount(low, minlength=16), even), N)


def test_uniform_runs(uniform, checks):
    checks.accepts(checks.runs(uniform, 0.5), N)
    checks.rejects(checks.runs(checks.stutter(uniform), 0.5), N)


@pytest.mark.parametrize("high", [3, 1000])
def test_integers(high, checks):
    sample = SecureGenerator.from_seed(SEED).integers(high, N)
    even = np.full(high, 1 / high)
    checks.accepts(checks.chi_square(np.bincount(sample, minlength=high), even), N)
    checks.accepts(checks.runs(sample, high / 2), N)
    broken = sample.copy()
    broken[::100] = 0
    checks.rejects(checks.chi_square(np.bincount(broken, minlength=high), even), N)
    checks.rejects(checks.runs(checks.stutter(sample), high / 2), N)


def test_integers_above_half_the_range(checks):
    """A high of 3/4 of 2^63, where a short multiplication would favour some thirds."""
    high = 3 << 61
    sample = SecureGenerator.from_seed(SEED).integers(high, N)
    thirds = np.bincount(sample >> 61, minlength=3)
    checks.accepts(checks.chi_square(thirds, np.full(3, 1 / 3)), N)
    folded = SecureGenerator.from_seed(SEED).integers(1 << 63, N) % high
    checks.rejects(checks.chi_square(np.bincount(folded >> 61), np.full(3, 1 / 3)), N)


@pytest.mark.parametrize("q", [0.01, 0.5])
def test_bernoulli(q, checks):
    sample = SecureGenerator.from_seed(SEED).bernoulli(q, N)
    checks.accepts(stats.binomtest(int(sample.sum()), N, q).pvalue, N)
    checks.accepts(checks.runs(sample, 1), N)
    wrong = SecureGenerator.from_seed(SEED).bernoulli(q * 1.03, N)
    checks.rejects(stats.binomtest(int(wrong.sum()), N, q).pvalue, N)
    checks.rejects(checks.runs(checks.stutter(sample), 1), N)


def test_permutation(checks):
    """All 24 orders of 4 elements are equally likely."""
    n = 1 << 16
    rng = SecureGenerator.from_seed(SEED)
    orders = np.array([rng.permutation(4) for _ in range(n)])
    codes = orders[:, 0] * 16 + orders[:, 1] * 4 + orders[:, 2]
    labels, counts = np.unique(codes, return_counts=True)
    assert len(labels) == 24
    even = np.full(24, 1 / 24)
    checks.accepts(checks.chi_square(counts, even), n)
    # The classic mistake: each element swaps with any place, 4^4 ways onto 4! orders.
    naive = np.tile(np.arange(4), (n, 1))
    for i in range(4):
        j = rng.integers(4, n)
        rows = np.arange(n)
        naive[rows, i], naive[rows, j] = naive[rows, j], naive[rows, i].copy()
    codes = naive[:, 0] * 16 + naive[:, 1] * 4 + naive[:, 2]
    checks.rejects(checks.chi_square(np.unique(codes, return_counts=True)[1], even), n)
