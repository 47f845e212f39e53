"""The Walsh-Hadamard transform: its matrix, its inverse, linearity, refusals; the rotation."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from veil import _core
from veil.fl.privacy.rotation import Rotation

pytestmark = pytest.mark.kernel
LENGTHS = st.integers(0, 12).map(lambda e: 1 << e)
DTYPES = st.sampled_from([np.float32, np.float64])


def integers(n, seed):
    """Small integers: every sum of the transform is exact in either dtype."""
    state = (np.arange(n, dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    return ((state >> np.uint64(40)) % np.uint64(401)).astype(np.int64) - 200


def transformed(x, threads=None):
    out = x.copy()
    _core.fwht(out, threads)
    return out


@given(st.integers(0, 9).map(lambda e: 1 << e), DTYPES, st.integers(0, 1 << 30))
def test_it_is_the_product_with_the_hadamard_matrix(n, dtype, seed):
    x = integers(n, seed)
    assert np.array_equal(transformed(x.astype(dtype)), scipy.linalg.hadamard(n) @ x)


@given(LENGTHS, DTYPES, st.integers(0, 1 << 30))
def test_twice_it_is_the_length_times_the_vector(n, dtype, seed):
    x = integers(n, seed).astype(dtype) % 8
    assert np.array_equal(transformed(transformed(x)), n * x)


@given(LENGTHS, DTYPES, st.integers(0, 1 << 30), st.integers(-7, 7))
def test_it_is_linear(n, dtype, seed, factor):
    x, y = integers(n, seed).astype(dtype), integers(n, seed + 1).astype(dtype)
    assert np.array_equal(transformed(x + factor * y), transformed(x) + factor * transformed(y))


@pytest.mark.parametrize("n", [1 << 15, 1 << 21])
def test_lengths_that_need_several_passes(n):
    x = integers(n, 3).astype(np.float64)
    once = transformed(x, threads=1)
    assert once.tobytes() == transformed(x, threads=2).tobytes()
    assert np.array_equal(transformed(once), n * x)


@pytest.mark.parametrize("n", [0, 3, 12, 1000])
def test_other_lengths_are_refused(n):
    with pytest.raises(ValueError, match=f"power of two of values, got {n}"):
        _core.fwht(np.zeros(n), None)


def test_other_arrays_are_refused():
    with pytest.raises(TypeError, match="x: expected dtype float64"):
        _core.fwht(np.zeros(8, np.int64), None)
    with pytest.raises(ValueError, match="writable"):
        _core.fwht(np.frombuffer(bytes(64), np.float64), None)
    with pytest.raises(ValueError, match="contiguous"):
        _core.fwht(np.zeros(16)[::2], None)


@given(st.integers(1, 300), st.binary(min_size=32, max_size=32), st.integers(0, 1 << 30))
def test_a_rotation_keeps_norms_and_comes_back(length, seed, start):
    rotation, x = Rotation(length=length, seed=seed), integers(length, start) / 7
    there = rotation.apply(x)
    assert there.shape == (rotation.padded,)
    np.testing.assert_allclose(np.linalg.norm(there), np.linalg.norm(x), rtol=1e-12)
    np.testing.assert_allclose(rotation.undo(there), x, atol=1e-11)


def test_a_rotation_spreads_one_large_value():
    spike = np.zeros(1000)
    spike[17] = 32.0
    assert np.array_equal(np.abs(Rotation(length=1000, seed=bytes(32)).apply(spike)), np.ones(1024))


def test_another_seed_is_another_rotation():
    x = np.ones(64)
    one, two = (Rotation(length=64, seed=bytes([i]) * 32).apply(x) for i in (1, 2))
    assert not np.allclose(one, two)


def test_a_rotation_refuses_bad_settings():
    with pytest.raises(ValueError, match="length"):
        Rotation(length=0, seed=bytes(32))
    with pytest.raises(ValueError, match="seed: expected 32 bytes"):
        Rotation(length=4, seed=b"short")
