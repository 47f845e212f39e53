"""P-values of samples against exact distributions; a test fails below ALPHA.

Every test states its sample size, and runs its own check on a sampler that is 1 % wrong.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

ALPHA = 1e-6


def _two_sided(z):
    return float(2.0 * stats.norm.sf(abs(z)))


def mean(sample, expected, variance):
    """Z-test of the mean."""
    return _two_sided((np.mean(sample, dtype=float) - expected) / np.sqrt(variance / len(sample)))


def power(sample, order, moment, double_moment):
    """Z-test of E[x^order] = moment, for mean 0; `double_moment` is E[x^(2 order)]."""
    error = np.sqrt((double_moment - moment**2) / len(sample))
    return _two_sided((np.mean(np.asarray(sample, float) ** order) - moment) / error)


def chi_square(counts, probabilities):
    """Pearson's test of counts, neighbours merged until each bin expects at least 5."""
    total = np.sum(counts)
    observed, expected = [0.0], [0.0]
    for count, probability in zip(counts, probabilities, strict=True):
        observed[-1] += count
        expected[-1] += probability * total
        if expected[-1] >= 5.0:
            observed.append(0.0)
            expected.append(0.0)
    observed[-2] += observed.pop()
    expected[-2] += expected.pop()
    statistic = np.sum((np.array(observed) - expected) ** 2 / expected)
    return float(special.gammaincc((len(expected) - 1) / 2.0, statistic / 2.0))


def kolmogorov(sample, cdf):
    """Kolmogorov's test against a continuous distribution."""
    ordered = cdf(np.sort(np.asarray(sample, float)))
    n = len(ordered)
    grid = np.arange(n + 1) / n
    distance = max(np.max(grid[1:] - ordered), np.max(ordered - grid[:-1]))
    return float(special.kolmogorov(np.sqrt(n) * distance))


def runs(sample, cut):
    """Wald and Wolfowitz's test: runs at or above `cut` and below it, given how many of each."""
    high = np.asarray(sample) >= cut
    n, ones = len(high), int(np.sum(high))
    pairs = 2.0 * ones * (n - ones)
    expected = pairs / n + 1.0
    variance = pairs * (pairs - n) / (n * n * (n - 1.0))
    count = 1 + int(np.sum(high[1:] != high[:-1]))
    return _two_sided((count - expected) / np.sqrt(variance))


def stutter(sample, seed=1):
    """Make a sampler wrong by 1 %: one draw in a hundred repeats the one before it."""
    broken = np.array(sample)
    repeated = np.flatnonzero(np.random.default_rng(seed).random(len(broken) - 1) < 0.01)
    broken[repeated + 1] = broken[repeated]
    return broken


def accepts(p, n):
    """Assert that a p-value does not refute the sampler."""
    assert p > ALPHA, f"p = {p:.3g} on {n} samples; a right sampler fails once in {1 / ALPHA:.0e}"


def rejects(p, n):
    """Assert that a test notices a broken sampler."""
    assert p < ALPHA, f"p = {p:.3g} on {n} samples: this test would not notice"


@pytest.fixture(scope="session")
def checks():
    return SimpleNamespace(
        mean=mean,
        power=power,
        chi_square=chi_square,
        kolmogorov=kolmogorov,
        runs=runs,
        stutter=stutter,
        accepts=accepts,
        rejects=rejects,
    )
