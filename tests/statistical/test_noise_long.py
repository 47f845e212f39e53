"""The samplers over 2^28 fresh draws each, and each test against one that is 0.1 % wrong.

tests/statistical/test_noise.py holds the same laws over fewer, seeded draws. Here each run draws
from the operating system: it fails by chance once in a million for each check.
"""

import numpy as np
import pytest
from scipy import special, stats

from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam
from veil.random import SecureGenerator

pytestmark = pytest.mark.long

DRAWS, BATCH = 1 << 28, 1 << 22


def gaussian(sigma):
    return lambda edges: stats.norm.cdf((edges + 0.5) / sigma)


def laplace(scale):
    def below(edges):
        # P(Z <= k) of the discrete Laplace, from the nearer tail.
        r = np.exp(-1.0 / scale)
        tail = np.exp(-(np.where(edges < 0, -edges, edges + 1)) / scale) / (1.0 + r)
        return np.where(edges < 0, tail, 1.0 - tail)

    return below


def mass_sums(mass, reach):
    def below(edges):
        k = np.arange(-reach, reach + 1, dtype=float)
        sums = np.cumsum(mass(k))
        return sums[np.clip(edges.astype(int) + reach, 0, 2 * reach)] / sums[-1]

    return below


def narrow_gaussian(sigma):
    return mass_sums(lambda k: np.exp(-(k**2) / (2 * sigma**2)), int(40 * sigma) + 40)


def skellam(variance):
    reach = int(40 * np.sqrt(variance)) + 40
    return mass_sums(lambda k: special.ive(np.abs(k), variance), reach)


# Sampler, parameter, P(Z <= k), and the parameter of a standard deviation that is 0.1 % too large.
CASES = [
    (DiscreteGaussian, 0.5, narrow_gaussian, 0.5005),
    (DiscreteGaussian, 100.0, narrow_gaussian, 100.1),
    (DiscreteGaussian, 2.0**13, gaussian, 1.001 * 2**13),
    (DiscreteGaussian, 2.0**24, gaussian, 1.001 * 2**24),
    (DiscreteGaussian, 2.0**32, gaussian, 0.999 * 2**32),
    (RoundedGaussian, 0.3, gaussian, 0.3003),
    (RoundedGaussian, 100.0, gaussian, 100.1),
    (DiscreteLaplace, 3.0, laplace, 3.003),
    (DiscreteLaplace, 2.0**20, laplace, 1.001 * 2**20),
    (Skellam, 10.0, skellam, 10.02),
    (Skellam, 2.0**22, skellam, 1.002 * 2**22),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "parameter", "law", "wrong"), CASES, ids=[f"{k.__name__}-{p:g}" for k, p, *_ in CASES]
)
def test_many_draws(kind, parameter, law, wrong, checks):
    spread = np.sqrt(kind(parameter).variance)
    edges = np.unique(np.floor(np.linspace(-3.5, 3.5, 141) * spread)).astype(np.int64)
    expected = np.diff(law(parameter)(edges.astype(float)), prepend=0.0, append=1.0)

    def counts(noise):
        rng, drawn = SecureGenerator(), np.empty(BATCH, np.int64)
        total = np.zeros(len(edges) + 1, np.int64)
        for _ in range(DRAWS // BATCH):
            noise.sample(BATCH, rng, out=drawn)
            total += np.bincount(np.searchsorted(edges, drawn), minlength=len(edges) + 1)
        return total

    checks.accepts(checks.chi_square(counts(kind(parameter)), expected), DRAWS)
    checks.rejects(checks.chi_square(counts(kind(wrong)), expected), DRAWS)
