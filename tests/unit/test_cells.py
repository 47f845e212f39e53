"""Counting values into cells: the kernel against NumPy, on every instruction set."""

import math

import numpy as np
import pytest

from veil import _core

pytestmark = pytest.mark.kernel


def count(values, low, high, cells):
    counts = np.zeros(cells, np.int64)
    outside = _core.count_cells(values, low, high, cells / (high - low), counts)
    return counts, outside


def expected(values, low, high, cells):
    inside = values[(values >= low) & (values <= high)].astype(np.float64)
    index = np.minimum((inside - low) * (cells / (high - low)), cells - 1).astype(int)
    return np.bincount(index, minlength=cells)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 9, 2047, 2048, 2049, 10_001])
@pytest.mark.parametrize("cells", [1, 7, 900, 901, 5000])
def test_counts_are_numpy_s(dtype, n, cells):
    values = np.random.default_rng(n).normal(50, 30, n).astype(dtype)
    counts, (below, above, bad) = count(values, 0.0, 100.0, cells)
    np.testing.assert_array_equal(counts, expected(values, 0.0, 100.0, cells))
    assert (below, above, bad) == (np.sum(values < 0), np.sum(values > 100), 0)


def test_ends_belong_to_the_interval_and_the_rest_is_counted_apart():
    values = np.array(
        [0.0, -0.0, 1.0, np.nextafter(1.0, 2), -5e-324, 0.5, math.nan, math.inf, -math.inf, 1e300]
    )
    counts, outside = count(values, 0.0, 1.0, 2)
    assert counts.tolist() == [2, 2]
    assert outside == (1, 2, 3)


def test_counts_are_added_to_what_is_there():
    counts = np.array([10, 20], np.int64)
    _core.count_cells(np.array([0.1, 0.9, 0.8]), 0.0, 1.0, 2.0, counts)
    assert counts.tolist() == [11, 22]


@pytest.mark.parametrize(
    ("low", "high", "scale", "cells"),
    [
        (1.0, 1.0, 1.0, 3),
        (2.0, 1.0, 1.0, 3),
        (0.0, math.inf, 1.0, 3),
        (math.nan, 1.0, 1.0, 3),
        (0.0, 1.0, 0.0, 3),
        (0.0, 1.0, math.inf, 3),
        (0.0, 1.0, 1.0, 0),
    ],
)
def test_no_interval_is_refused(low, high, scale, cells):
    with pytest.raises(ValueError, match="low, high, scale, counts: expected"):
        _core.count_cells(np.zeros(3), low, high, scale, np.zeros(cells, np.int64))


DTYPES = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first", [-100, 0, 3, 90])
@pytest.mark.parametrize("cells", [1, 40, 1000])
def test_integer_counts_are_numpy_s(dtype, first, cells):
    info = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    values = rng.integers(max(info.min, -120), min(info.max, 120), 3001, dtype, endpoint=True)
    values[:2] = info.min, info.max
    counts = np.zeros(cells, np.int64)
    outside = _core.count_integers(values, first, counts)
    wide = values.astype(object) - first
    inside = np.array([v for v in wide if 0 <= v < cells], int)
    if dtype is np.uint64 and first < 0:
        return  # the caller asks for no negative categories of unsigned values
    np.testing.assert_array_equal(counts, np.bincount(inside, minlength=cells))
    assert outside == values.size - inside.size


def test_floats_are_no_integers():
    with pytest.raises(TypeError, match="values: expected integers"):
        _core.count_integers(np.zeros(3), 0, np.zeros(3, np.int64))
