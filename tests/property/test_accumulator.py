"""`Accumulator` against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil.errors import BoundExceeded
from veil.fl import Accumulator

pytestmark = pytest.mark.kernel

float64s = st.floats(min_value=-1e280, max_value=1e280)
weights = st.floats(min_value=0, max_value=1e6) | st.integers(1, 1000).map(float)
pairs = st.lists(st.tuples(float64s, weights), min_size=1, max_size=30).filter(
    lambda drawn: any(weight for _, weight in drawn)
)


def products(drawn):
    return [Fraction(x) * Fraction(weight) for x, weight in drawn]


def total(drawn):
    return sum(Fraction(weight) for _, weight in drawn)


def accumulated(drawn, bound):
    mean = Accumulator(1, bound=bound)
    for x, weight in drawn:
        mean.add(np.float64([x]), weight)
    return mean


@given(pairs)
def test_two_lattices_keep_the_stated_error(drawn):
    got = Fraction(float(accumulated(drawn, None).mean()[0]))
    exact = sum(products(drawn)) / total(drawn)
    top = max(map(abs, products(drawn)))
    per_addition = top * Fraction(1001, 1000) / 2**40 + Fraction(1, 2**1040)
    assert abs(got - exact) <= len(drawn) * per_addition / total(drawn) + abs(exact) / 2**50


@given(pairs)
def test_one_lattice_keeps_the_stated_error(drawn):
    sum_of_magnitudes = sum(map(abs, products(drawn)))
    bound = max(float(sum_of_magnitudes) * (1 + 1e-15), 2.0**-960)
    if bound > 2.0**960:
        return
    got = Fraction(float(accumulated(drawn, bound).mean()[0]))
    exact = sum(products(drawn)) / total(drawn)
    error = len(drawn) * Fraction(bound) * Fraction(1001, 1000) / 2**50 / total(drawn)
    assert abs(got - exact) <= error + abs(exact) / 2**50


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30), st.integers(1, 5000))
def test_the_bound_is_on_every_partial_sum(values, bound):
    mean = Accumulator(1, bound=bound)
    held = 0
    for value in values:
        if abs(held + value) > bound:
            with pytest.raises(BoundExceeded):
                mean.add(np.float32([value]), 1)
        else:
            mean.add(np.float32([value]), 1)
            held += value
    if mean.total_weight:
        assert mean.mean()[0] == held / mean.total_weight


@given(pairs, st.randoms(), st.sampled_from([None, 2.0**960]))
def test_any_tree_of_merges_gives_the_same_bits(drawn, random, bound):
    want = accumulated(drawn, bound).mean().tobytes()
    shuffled = list(drawn)
    random.shuffle(shuffled)
    parts = [Accumulator(1, bound=bound) for _ in range(3)]
    for x, weight in shuffled:
        random.choice(parts).add(np.float64([x]), weight)
    random.shuffle(parts)
    parts[0].merge(parts[1])
    parts[2].merge(parts[0])
    assert parts[2].mean().tobytes() == want
