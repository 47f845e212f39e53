"""Stochastic rounding is unbiased; the same test sees a bias of one in a hundred."""

import numpy as np
import pytest
from scipy import stats

import veil
from veil.random import SecureGenerator

ALPHA = 1e-6
DRAWS = 1_000_000

pytestmark = pytest.mark.kernel


def p_value_of_mean(fraction, shift=0.0):
    codec = veil.FixedPoint(clip=64.0, bits=8, max_summands=1, rounding="stochastic")
    x = np.full(DRAWS, 3.0 + fraction)
    words = codec.encode(x, SecureGenerator.from_seed(b"r" * 32))
    ups = int((codec.decode_sum(words, 1) == 4.0).sum())
    return stats.binomtest(ups, DRAWS, fraction + shift).pvalue


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.999, 2.0**-10])
def test_the_fraction_is_the_probability_of_rounding_up(fraction):
    p = p_value_of_mean(fraction)
    assert p > ALPHA, f"binomial p = {p:.2e} on {DRAWS} draws; false alarms at rate {ALPHA}"


def test_a_bias_of_one_percent_is_seen():
    assert p_value_of_mean(0.5, shift=0.01) < ALPHA


def test_lattice_points_stay():
    codec = veil.FixedPoint(clip=64.0, bits=8, max_summands=1, rounding="stochastic")
    x = np.arange(-60.0, 60.0)
    np.testing.assert_array_equal(codec.decode_sum(codec.encode(x, SecureGenerator()), 1), x)
