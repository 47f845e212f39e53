"""Rounding to lattice points: unbiased, of bounded cost in sensitivity, in bounds always."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.fl.privacy.rounding import conditional_points, norm_bound, stochastic_points
from veil.random import SecureGenerator

SEED = st.binary(min_size=32, max_size=32)
VALUES = st.lists(st.floats(-1e6, 1e6) | st.integers(-9, 9).map(float), min_size=1, max_size=20)


def rng(seed=bytes(32)):
    return SecureGenerator.from_seed(seed)


@given(VALUES, SEED)
def test_a_value_goes_to_one_of_its_two_neighbours(values, seed):
    x = np.array(values)
    points = stochastic_points(x, rng(seed))
    assert points.dtype == np.int64
    assert ((points == np.floor(x)) | (points == np.ceil(x))).all()


@given(VALUES, st.lists(st.floats(-3, 3), min_size=20, max_size=20), SEED)
def test_neighbours_round_apart_by_less_than_their_distance_and_one(values, moves, seed):
    """With one draw of the randomness: what Δ = c/g + √d rests on."""
    x = np.array(values)
    y = x + np.array(moves[: x.size])
    apart = stochastic_points(x, rng(seed)) - stochastic_points(y, rng(seed))
    assert (np.abs(apart) < np.abs(x - y) + 1).all()
    # Rounding each to nearest by its own data would keep that too; independent draws do not:
    assert np.linalg.norm(apart) < np.linalg.norm(x - y) + math.sqrt(x.size)


def test_independent_draws_would_break_the_bound():
    half = np.full(100, 0.5)
    apart = stochastic_points(half, rng()) - stochastic_points(half, rng(b"1" * 32))
    assert np.linalg.norm(apart) > 5.0
    assert not (stochastic_points(half, rng()) - stochastic_points(half, rng())).any()


def test_the_norm_bound():
    assert norm_bound(10.0, 1) == pytest.approx(math.sqrt(100.25 + 10.5))
    assert norm_bound(1000.0, 4096) == pytest.approx(math.sqrt(1e6 + 1024 + 1000 + 32))


@given(st.integers(1, 200), st.floats(0.0, 1.0), SEED)
def test_the_rounded_norm_stays_below_the_bound(length, share, seed):
    clip = 3.0
    x = np.full(length, share * clip / math.sqrt(length))
    bound = norm_bound(clip, length)
    points = conditional_points(x, bound, rng(seed))
    assert math.sqrt(int(np.dot(points, points))) <= bound


def test_unconditional_rounding_exceeds_a_bound_that_conditional_rounding_keeps():
    x, bound = np.full(10, 0.3), norm_bound(np.sqrt(0.9), 10)
    seeds = [bytes([i]) * 32 for i in range(50)]
    assert max(np.linalg.norm(stochastic_points(x, rng(seed))) for seed in seeds) > bound
    assert max(np.linalg.norm(conditional_points(x, bound, rng(seed))) for seed in seeds) <= bound


def test_when_no_draw_fits_the_vector_is_cut_towards_zero():
    assert conditional_points(np.array([0.9, -2.5] * 50), 14.2, rng()).tolist() == [0, -2] * 50
