"""veil.noise: parameters, certificates, reproducibility, refusals."""

import itertools
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam, _convolution
from veil.random import SecureGenerator

SEED = bytes(range(32))

RANGES = [
    (DiscreteGaussian, [0.5, 1, 7.3, 100.0, 660.0, 660.1, 1e4, 2.0**24, 2.0**32]),
    (RoundedGaussian, [0.05, 0.5, 10.0, 10.1, 100.0, 2.0**24, 2.0**32]),
    (DiscreteLaplace, [2.0**-5, 0.5, 100.0, 108.0, 109.0, 1e6, 2.0**32]),
    (Skellam, [0.25, 1.0, 1e4, 2.0**20, 2.0**20 + 1, 2.0**24]),
]
CASES = [(kind, parameter) for kind, parameters in RANGES for parameter in parameters]
every_case = pytest.mark.parametrize(("kind", "parameter"), CASES)


def seeded():
    return SecureGenerator.from_seed(SEED)


@every_case
def test_the_certificate_is_below_2_to_the_minus_80(kind, parameter):
    assert 0.0 < kind(parameter).tv_bound < 2.0**-80


@every_case
def test_variance(kind, parameter):
    noise = kind(parameter)
    if kind is DiscreteGaussian:
        k = np.arange(-40.0, 41.0)
        weights = np.exp(-(k**2) / (2.0 * parameter**2))
        narrow = float(np.sum(k**2 * weights) / np.sum(weights))
        want = narrow if parameter < 3 else parameter**2
    elif kind is RoundedGaussian:
        edges = (2 * np.arange(30) + 1) / (2 * parameter * math.sqrt(2))
        outside = sum((2 * k + 1) * math.erfc(edge) for k, edge in enumerate(edges))
        want = outside if parameter < 3 else parameter**2 + 1 / 12
    elif kind is DiscreteLaplace:
        want = 1 / (2 * math.sinh(0.5 / parameter) ** 2)
    else:
        want = parameter
    assert math.isclose(noise.variance, want, rel_tol=1e-8)


@every_case
@pytest.mark.kernel
def test_values_do_not_depend_on_threads(kind, parameter):
    noise = kind(parameter)
    want = noise.sample(70_001, seeded(), threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(noise.sample(70_001, seeded(), threads=threads), want)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, (3, 5)])
def test_shape_and_out(n):
    noise = DiscreteGaussian(50.0)
    want = noise.sample(n, seeded())
    assert want.dtype == np.int64
    out = np.empty(want.shape, np.int64)
    assert noise.sample(n, seeded(), out=out) is out
    np.testing.assert_array_equal(out, want)


def test_a_tensor_receives_the_same_values():
    torch = pytest.importorskip("torch")
    out = torch.empty((3, 4), dtype=torch.int64)
    assert DiscreteGaussian(50.0).sample((3, 4), seeded(), out=out) is out
    np.testing.assert_array_equal(out.numpy(), DiscreteGaussian(50.0).sample((3, 4), seeded()))


def test_out_must_fit():
    noise = DiscreteGaussian(50.0)
    with pytest.raises(TypeError, match="out: expected dtype int64"):
        noise.sample(3, seeded(), out=np.empty(3))
    with pytest.raises(ValueError, match="out: expected shape"):
        noise.sample(3, seeded(), out=np.empty(4, np.int64))
    with pytest.raises(ValueError, match="contiguous"):
        noise.sample(3, seeded(), out=np.empty(6, np.int64)[::2])


@pytest.mark.parametrize(
    ("kind", "outside"),
    [
        (DiscreteGaussian, [0.49, 2.0**32 + 1, 0.0, -1.0, math.nan, math.inf]),
        (RoundedGaussian, [0.049, 2.0**32 + 1, math.nan]),
        (DiscreteLaplace, [0.03, 2.0**32 + 1, math.nan]),
        (Skellam, [0.24, 0.0, -1.0, math.nan]),
    ],
)
def test_parameters_outside_the_range_are_refused(kind, outside):
    for parameter in outside:
        with pytest.raises(ValueError, match=r"expected .* lattice units, got"):
            kind(parameter)


def test_a_wide_skellam_names_what_to_use():
    with pytest.raises(ValueError, match=r"at most 2\*\*24 .*use DiscreteGaussian"):
        Skellam(2.0**24 + 2)


def test_only_a_secure_generator_will_do():
    with pytest.raises(TypeError, match=r"rng: expected a veil\.random\.SecureGenerator"):
        DiscreteGaussian(1.0).sample(3, np.random.default_rng(1))


def test_distributions_are_values():
    for noise in (DiscreteGaussian(3.5), RoundedGaussian(3.5), DiscreteLaplace(3.5), Skellam(3.5)):
        copy = pickle.loads(pickle.dumps(noise))
        assert copy == noise
        assert hash(copy) == hash(noise)
        assert repr(noise) in {
            "DiscreteGaussian(sigma=3.5)",
            "RoundedGaussian(sigma=3.5)",
            "DiscreteLaplace(scale=3.5)",
            "Skellam(variance=3.5)",
        }
    assert DiscreteGaussian(3.5) != RoundedGaussian(3.5)


def variances(levels):
    return [(level.shift, level.parameters[0]) for level in levels]


@pytest.mark.parametrize("sigma", [0.5, 660.0, 660.5, 1e3, 3e5, 2.0**24, 2.0**25.3, 2.0**32])
def test_discrete_gaussian_levels_add_up_and_meet_the_smoothing_condition(sigma):
    target = Fraction(sigma) ** 2
    levels = variances(_convolution.discrete_gaussian_levels(target))
    assert sum(4**shift * variance for shift, variance in levels) == target
    for (shift, base), (next_shift, _) in itertools.pairwise(levels):
        whole = sum(4 ** (s - shift) * v for s, v in levels if s >= shift)
        step = next_shift - shift
        assert base * (whole - base) / whole >= 4**step * _convolution.ETA_SQUARED


def test_the_number_of_table_reads():
    def count(sigma):
        return len(list(_convolution.discrete_gaussian_levels(Fraction(sigma) ** 2)))

    assert [count(s) for s in (660, 1 << 17, 1 << 25, 1 << 32)] == [1, 2, 3, 4]


@pytest.mark.parametrize("scale", [108.0, 108.5, 1e4, 1e6, 2.0**30, 2.0**32])
def test_discrete_laplace_levels_share_the_digits_out(scale):
    levels = list(_convolution.discrete_laplace_levels(Fraction(scale)))
    for level, after in itertools.pairwise(levels):
        level_scale, bits = level.parameters
        assert after.shift == level.shift + bits
        assert after.parameters[0] == level_scale / 2**bits
        assert bits <= _convolution.DIGIT_BITS
    assert levels[-1].parameters == (Fraction(scale) / 2 ** levels[-1].shift,)
    assert levels[-1].parameters[0] <= _convolution.DIRECT_SCALE
