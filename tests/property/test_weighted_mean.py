"""`weighted_mean` against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.fl import weighted_mean

pytestmark = pytest.mark.kernel

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
float64s = st.floats(allow_nan=False, allow_infinity=False)
weights = st.floats(min_value=0, max_value=1e6) | st.integers(1, 1000).map(float)
pairs32 = st.lists(st.tuples(float32s, weights), min_size=1, max_size=40)
pairs64 = st.lists(st.tuples(float64s, weights), min_size=1, max_size=40)


def exact(pairs):
    total = sum(Fraction(w) for _, w in pairs)
    return sum(Fraction(x) * Fraction(w) for x, w in pairs) / total


def bound(pairs):
    """The docstring's bound on the error before the rounding to the dtype."""
    total = sum(Fraction(w) for _, w in pairs)
    top = max(abs(Fraction(x)) for x, _ in pairs)
    spread = len(pairs) * max(Fraction(w) for _, w in pairs) / total
    return (1 + spread) * top / 2**50 + Fraction(1, 2**1070)


@given(pairs64.filter(lambda pairs: any(w for _, w in pairs)))
def test_float64_keeps_the_stated_bound(pairs):
    values, ws = zip(*pairs, strict=True)
    got = weighted_mean([np.float64([x]) for x in values], ws)[0]
    assert abs(Fraction(float(got)) - exact(pairs)) <= bound(pairs)
    assert abs(got) <= max(map(abs, values))


@given(pairs32.filter(lambda pairs: any(w for _, w in pairs)))
def test_float32_is_the_float64_result_rounded_once(pairs):
    values, ws = zip(*pairs, strict=True)
    got = weighted_mean([np.float32([x]) for x in values], ws)[0]
    wide = weighted_mean([np.float64([x]) for x in values], ws)[0]
    assert got == np.float32(wide)


@given(pairs64.filter(lambda pairs: any(w for _, w in pairs)), st.randoms())
def test_permutations_change_no_bit(pairs, random):
    values, ws = zip(*pairs, strict=True)
    want = weighted_mean([np.float64([x, -x]) for x in values], ws).tobytes()
    shuffled = list(pairs)
    random.shuffle(shuffled)
    values, ws = zip(*shuffled, strict=True)
    assert weighted_mean([np.float64([x, -x]) for x in values], ws).tobytes() == want
