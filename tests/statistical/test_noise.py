"""veil.noise's samplers against their distributions, and each test against a 1 % wrong one."""

import numpy as np
import pytest
from scipy import special, stats

from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam
from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

N = 1 << 22
SEED = bytes(range(32))


def gaussian_mass(sigma):
    def mass(k):
        weights = np.exp(-(k**2) / (2 * sigma**2))
        # Poisson summation: below 1e-16 of relative error from sigma = 1.5 on.
        total = np.sum(weights) if sigma < 2 else sigma * np.sqrt(2 * np.pi)
        return weights / total

    return mass


def rounded_mass(sigma):
    def mass(k):  # from the nearer tail, so that small masses keep their digits
        a = np.abs(k)
        return stats.norm.sf((a - 0.5) / sigma) - stats.norm.sf((a + 0.5) / sigma)

    return mass


def laplace_mass(scale):
    return lambda k: np.tanh(0.5 / scale) * np.exp(-np.abs(k) / scale)


def skellam_mass(variance):
    return lambda k: special.ive(np.abs(k), variance)


# Sampler, its parameter, its mass function, a parameter that is 1 % wrong in standard deviation.
NARROW = [
    (DiscreteGaussian, 0.5, gaussian_mass, 0.505),
    (DiscreteGaussian, 7.0, gaussian_mass, 7.07),
    (DiscreteGaussian, 100.0, gaussian_mass, 101.0),
    (DiscreteGaussian, 700.0, gaussian_mass, 707.0),
    (RoundedGaussian, 0.5, rounded_mass, 0.505),
    (RoundedGaussian, 9.0, rounded_mass, 9.09),
    (RoundedGaussian, 100.0, rounded_mass, 101.0),
    (DiscreteLaplace, 0.5, laplace_mass, 0.505),
    (DiscreteLaplace, 100.0, laplace_mass, 101.0),
    (DiscreteLaplace, 200.0, laplace_mass, 202.0),
    (Skellam, 0.25, skellam_mass, 0.255),
    (Skellam, 1e4, skellam_mass, 1.02e4),
    (Skellam, 3.0 * 2**20, skellam_mass, 3.06 * 2**20),
]
narrow = pytest.mark.parametrize(
    ("kind", "parameter", "mass", "wrong"),
    NARROW,
    ids=[f"{k.__name__}-{p:g}" for k, p, *_ in NARROW],
)
# Above, the mass function is a density to double precision, and edges are quantiles.
WIDE = [
    (DiscreteGaussian, 1e6, lambda s: stats.norm(scale=s), 1.01e6),
    (DiscreteGaussian, 2.0**31, lambda s: stats.norm(scale=s), 1.01 * 2**31),
    (RoundedGaussian, 1e6, lambda s: stats.norm(scale=s), 1.01e6),
    (DiscreteLaplace, 1e5, lambda t: stats.laplace(scale=t), 1.01e5),
    (DiscreteLaplace, 2.0**31, lambda t: stats.laplace(scale=t), 1.01 * 2**31),
]
wide = pytest.mark.parametrize(
    ("kind", "parameter", "law", "wrong"), WIDE, ids=[f"{k.__name__}-{p:g}" for k, p, *_ in WIDE]
)


def sample(noise, threads=1):
    return noise.sample(N, SecureGenerator.from_seed(SEED), threads=threads)


def support(noise):
    reach = int(70 * np.sqrt(noise.variance)) + 40
    return np.arange(-reach, reach + 1, dtype=float)


@narrow
def test_mass_function(kind, parameter, mass, wrong, checks):
    k = support(kind(parameter))
    expected = mass(parameter)(k)
    assert abs(expected.sum() - 1.0) < 1e-9
    offset = len(k) // 2

    def counts(noise, threads):
        return np.bincount(sample(noise, threads) + offset, minlength=len(k))

    for threads in (1, 2):
        checks.accepts(checks.chi_square(counts(kind(parameter), threads), expected), N)
    checks.rejects(checks.chi_square(counts(kind(wrong), 1), expected), N)


@narrow
def test_moments(kind, parameter, mass, wrong, checks):
    k = support(kind(parameter))
    p = mass(parameter)(k)
    second, fourth, eighth = (float(np.sum(k**order * p)) for order in (2, 4, 8))
    right, broken = sample(kind(parameter)), sample(kind(wrong))
    checks.accepts(checks.mean(right, 0.0, second), N)
    checks.accepts(checks.power(right, 2, second, fourth), N)
    checks.accepts(checks.power(right, 4, fourth, eighth), N)
    checks.rejects(checks.mean(right + 0.01 * np.sqrt(second), 0.0, second), N)
    checks.rejects(checks.power(broken, 2, second, fourth), N)
    checks.rejects(checks.power(broken, 4, fourth, eighth), N)


@narrow
def test_runs(kind, parameter, mass, wrong, checks):
    values = sample(kind(parameter))
    checks.accepts(checks.runs(values, 1), N)
    checks.rejects(checks.runs(checks.stutter(values), 1), N)


@wide
def test_quantiles_of_wide_noise(kind, parameter, law, wrong, checks):
    law = law(parameter)
    edges = np.floor(law.ppf(np.arange(1, 1000) / 1000)).astype(np.int64)
    expected = np.diff(law.cdf(edges + 0.5), prepend=0.0, append=1.0)

    def counts(noise, threads):
        bins = np.searchsorted(edges, sample(noise, threads))
        return np.bincount(bins, minlength=1000)

    for threads in (1, 2):
        checks.accepts(checks.chi_square(counts(kind(parameter), threads), expected), N)
    checks.rejects(checks.chi_square(counts(kind(wrong), 1), expected), N)


@wide
def test_moments_of_wide_noise(kind, parameter, law, wrong, checks):
    units = {2: 2, 4: 24, 8: 40320} if kind is DiscreteLaplace else {2: 1, 4: 3, 8: 105}
    second, fourth, eighth = (unit * parameter**order for order, unit in units.items())
    right, broken = sample(kind(parameter)), sample(kind(wrong))
    checks.accepts(checks.mean(right, 0.0, second), N)
    checks.accepts(checks.power(right, 2, second, fourth), N)
    checks.accepts(checks.power(right, 4, fourth, eighth), N)
    checks.rejects(checks.power(broken, 2, second, fourth), N)
    checks.rejects(checks.power(broken, 4, fourth, eighth), N)


@wide
def test_low_digits_of_wide_noise_are_uniform(kind, parameter, law, wrong, checks):
    """A gap or an overlap between two levels would show in the digits where they meet."""
    values = sample(kind(parameter))
    even = np.full(1 << 10, 2.0**-10)
    for shift in (0, 4):
        digits = values >> shift & 1023
        checks.accepts(checks.chi_square(np.bincount(digits, minlength=1 << 10), even), N)
    digits = values & 1023
    digits[::100] >>= 1
    checks.rejects(checks.chi_square(np.bincount(digits, minlength=1 << 10), even), N)


@wide
def test_runs_of_wide_noise(kind, parameter, law, wrong, checks):
    values = sample(kind(parameter))
    checks.accepts(checks.runs(values, 1), N)
    checks.accepts(checks.runs(values & 1, 1), N)
    checks.rejects(checks.runs(checks.stutter(values), 1), N)
    checks.rejects(checks.runs(checks.stutter(values) & 1, 1), N)
