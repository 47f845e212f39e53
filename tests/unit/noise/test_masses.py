"""The certified lower bounds against mpmath, and what they leave out."""

from fractions import Fraction

import pytest
from mpmath import mp

from veil.noise import _masses

UNIT = Fraction(1, 1 << 256)


@pytest.fixture(autouse=True)
def precision():
    with mp.workprec(420):
        yield


def real(x):
    return mp.mpf(x.numerator) / x.denominator


def discrete_gaussian(variance):
    v = real(variance)
    last = int(40 * mp.sqrt(v)) + 20
    total = 1 + 2 * mp.fsum(mp.exp(-k * k / (2 * v)) for k in range(1, last))
    return lambda m: mp.exp(-m * m / (2 * v)) / total


def rounded_gaussian(variance):
    root = mp.sqrt(2 * real(variance))
    half = mp.mpf(1) / 2
    return lambda m: (mp.erfc((m - half) / root) - mp.erfc((m + half) / root)) / 2


def discrete_laplace(scale):
    q = mp.exp(-1 / real(scale))
    return lambda m: (1 - q) / (1 + q) * q**m


def skellam(variance):
    v = real(variance)
    return lambda m: mp.exp(-v) * mp.besseli(m, v)


CASES = [
    *[(_masses.discrete_gaussian, discrete_gaussian, s * s) for s in (Fraction(1, 2), 5, 37)],
    *[(_masses.rounded_gaussian, rounded_gaussian, Fraction(s) ** 2) for s in ("0.05", "0.5", "8")],
    *[(_masses.discrete_laplace, discrete_laplace, Fraction(t)) for t in ("1/32", "3", "50")],
    *[(_masses.skellam, skellam, Fraction(v)) for v in ("1/4", "100", "5000")],
]
every_case = pytest.mark.parametrize(
    ("bounds", "mass", "parameter"),
    [(b, m, Fraction(p)) for b, m, p in CASES],
    ids=[f"{b.__name__}({p})" for b, _, p in CASES],
)


@every_case
def test_bounds_are_below_the_masses(bounds, mass, parameter):
    exact = mass(parameter)
    masses = bounds(parameter)
    for m in range(0, len(masses), 1 + len(masses) // 100):
        bound = masses[m]
        assert mp.mpf(bound) / mp.mpf(2) ** 256 <= exact(m) * (1 if m == 0 else 2), m


@every_case
def test_bounds_leave_out_less_than_2_to_the_minus_100(bounds, mass, parameter):
    left_out = 1 - sum(bounds(parameter)) * UNIT
    assert 0 <= left_out < Fraction(1, 1 << 100)


@pytest.mark.parametrize("scale", ["1/32", "3", "1000", "4294967296"])
def test_a_digit_is_a_difference_of_truncated_geometric_variables(scale):
    bits, q = 5, mp.exp(-1 / real(Fraction(scale)))
    weights = [q**i for i in range(1 << bits)]
    total = mp.fsum(weights) ** 2
    bounds = _masses.discrete_laplace_digit(Fraction(scale), bits)
    assert len(bounds) == 1 << bits
    for d, bound in enumerate(bounds):
        pairs = zip(weights, weights[d:], strict=False)
        exact = mp.fsum(a * b for a, b in pairs) / total * (1 if d == 0 else 2)
        assert 0 <= exact - mp.mpf(bound) / mp.mpf(2) ** 256 < mp.mpf(2) ** -200


@pytest.mark.parametrize(
    ("bounds", "parameters"),
    [
        (_masses.discrete_gaussian, (Fraction(660**2),)),
        (_masses.discrete_laplace, (Fraction(108),)),
        (_masses.discrete_laplace_digit, (Fraction(1 << 32), 13)),
        (_masses.skellam, (Fraction(1 << 20),)),
    ],
)
def test_the_widest_tables_are_certified_too(bounds, parameters):
    masses = bounds(*parameters)
    assert len(masses) <= 1 << 14
    assert 0 <= 1 - sum(masses) * UNIT < Fraction(1, 1 << 100)
