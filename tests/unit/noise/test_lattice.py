"""Noise added on a lattice: the fused kernel against NumPy's arithmetic, on every set."""

import numpy as np
import pytest

from veil.noise import DiscreteGaussian, DiscreteLaplace
from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

SEED = bytes(range(32))
G = 2.0**-7


def seeded():
    return SecureGenerator.from_seed(SEED)


def expected(x, noise, granularity):
    points = np.rint(np.clip(x.astype(np.float64) / granularity, -(2.0**52), 2.0**52))
    return ((points + noise.sample(x.shape, seeded())) * granularity).astype(x.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 32769, 70_001])
def test_sum_is_numpy_s(n, dtype):
    x = np.random.default_rng(n).normal(scale=50, size=n).astype(dtype)
    noise = DiscreteGaussian(1000.0)
    got = noise.add_to_lattice(x, seeded(), granularity=G)
    np.testing.assert_array_equal(got, expected(x, noise, G))


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 0.5 * G, 1.5 * G, -2.5 * G, 1e-300, 5e-324, 2.0**51 * G, 2.0**60, -1e300]
)
def test_awkward_values_round_to_even_and_clamp(value):
    x = np.full(6, value)
    noise = DiscreteLaplace(3.0)
    got = noise.add_to_lattice(x, seeded(), granularity=G)
    np.testing.assert_array_equal(got, expected(x, noise, G))
    assert np.array_equal(got / G, np.rint(got / G))


@pytest.mark.parametrize("granularity", [2.0**-960, 2.0**-40, 1.0, 2.0**900])
def test_any_power_of_two_serves(granularity):
    x = np.array([3.0, -4.25, 100.0]) * granularity
    noise = DiscreteGaussian(10.0)
    got = noise.add_to_lattice(x, seeded(), granularity=granularity)
    np.testing.assert_array_equal(got, expected(x, noise, granularity))


@pytest.mark.parametrize("granularity", [0.0, 3.0, -1.0, 2.0**-1000, float("nan"), float("inf")])
def test_other_granularities_are_refused(granularity):
    with pytest.raises(ValueError, match="granularity: expected a power of two"):
        DiscreteGaussian(10.0).add_to_lattice(np.zeros(3), seeded(), granularity=granularity)


def test_threads_do_not_change_the_values():
    x = np.random.default_rng(0).normal(size=200_003)
    noise = DiscreteGaussian(1e6)
    one = noise.add_to_lattice(x, seeded(), granularity=G, threads=1)
    np.testing.assert_array_equal(noise.add_to_lattice(x, seeded(), granularity=G, threads=3), one)


def test_result_may_replace_its_input_but_not_overlap_it():
    x = np.random.default_rng(1).normal(size=5000)
    noise = DiscreteGaussian(64.0)
    fresh = noise.add_to_lattice(x, seeded(), granularity=G)
    memory = x.copy()
    noise.add_to_lattice(memory, seeded(), granularity=G, out=memory)
    np.testing.assert_array_equal(memory, fresh)
    with pytest.raises(ValueError, match="out: expected memory apart"):
        noise.add_to_lattice(memory[:100], seeded(), granularity=G, out=memory[50:150])


@pytest.mark.parametrize("dtype", [np.int64, np.float16])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="x: expected"):
        DiscreteGaussian(64.0).add_to_lattice(np.zeros(3, dtype), seeded(), granularity=G)
    with pytest.raises(TypeError, match="rng: expected"):
        DiscreteGaussian(64.0).add_to_lattice(np.zeros(3), None, granularity=G)
