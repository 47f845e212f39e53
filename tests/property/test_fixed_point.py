"""The codec against exact fractions."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import veil
from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

codecs = st.builds(
    veil.FixedPoint,
    clip=st.floats(1e-6, 1e6),
    bits=st.integers(2, 40),
    max_summands=st.integers(1, 1000),
    rounding=st.just("nearest"),
)
SPECIAL = [0.0, -0.0, 1e-300, 5e-324, -1e-30, 1e30, -1e30, 0.5, 1.5, -2.5]


def rounded(value, codec):
    """Nearest lattice index of the clipped value, ties to even, in exact arithmetic."""
    clip = Fraction(codec.clip)
    clipped = max(-clip, min(clip, Fraction(float(value))))
    return round(clipped / Fraction(codec.granularity))


@given(codecs, st.lists(st.floats(allow_nan=False, allow_infinity=False)
                        | st.sampled_from(SPECIAL), max_size=40))  # fmt: skip
def test_nearest_is_exact_for_float64(codec, values):
    encoded = codec.encode(np.array(values))
    modulus = 1 << codec.ring_bits
    assert [int(word) for word in encoded] == [rounded(v, codec) % modulus for v in values]


@given(codecs, st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20),
       st.sampled_from([np.float32, np.float16]))  # fmt: skip
def test_narrow_floats_are_widened_exactly(codec, values, dtype):
    with np.errstate(over="ignore"):
        x = np.array(values, np.float32).astype(dtype)
    x = x[np.isfinite(x)]
    np.testing.assert_array_equal(codec.encode(x), codec.encode(x.astype(np.float64)))


@given(codecs)
def test_granularity_is_the_least_power_of_two_that_fits(codec):
    g, levels = Fraction(codec.granularity), 2 ** (codec.bits - 1) - 1
    assert math.frexp(codec.granularity)[0] == 0.5
    assert Fraction(codec.clip) <= levels * g
    assert Fraction(codec.clip) > levels * g / 2


@given(codecs)
def test_ring_is_the_narrowest_that_cannot_overflow(codec):
    most = codec.max_summands * (2**codec.bits - 1)
    assert 2 ** (codec.ring_bits - 1) <= most < 2**codec.ring_bits


@given(codecs, st.data())
def test_sums_decode_exactly(codec, data):
    count = data.draw(st.integers(1, min(codec.max_summands, 8)))
    rows = data.draw(st.lists(st.lists(st.floats(-1e7, 1e7), min_size=5, max_size=5),
                              min_size=count, max_size=count))  # fmt: skip
    total = codec.encode(np.array(rows[0]))
    for row in rows[1:]:
        total = veil.ring.add(total, codec.encode(np.array(row)))
    expected = [float(sum(rounded(row[i], codec) for row in rows) * Fraction(codec.granularity))
                for i in range(5)]  # fmt: skip
    np.testing.assert_array_equal(codec.decode_sum(total, count), expected)


@given(
    codecs,
    st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=40),
    st.binary(min_size=32, max_size=32),
)
def test_stochastic_is_floor_or_ceiling(codec, values, seed):
    stochastic = veil.FixedPoint(**{**codec.to_dict(), "rounding": "stochastic"})
    words = stochastic.encode(np.array(values), SecureGenerator.from_seed(seed))
    decoded = stochastic.decode_sum(words, 1)
    for value, got in zip(values, decoded, strict=True):
        clip, g = Fraction(codec.clip), Fraction(codec.granularity)
        exact = max(-clip, min(clip, Fraction(value))) / g
        assert Fraction(got) / g in (math.floor(exact), math.ceil(exact))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 2047, 2048, 2049, 65537])
def test_edge_lengths_and_threads_give_the_same_bits(size):
    x = np.linspace(-2, 2, size, dtype=np.float32)
    codec = veil.FixedPoint(clip=1.5, bits=20, max_summands=3, rounding="stochastic")
    runs = [codec.encode(x, SecureGenerator.from_seed(bytes(32)), threads=t) for t in (1, 2, 3)]
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])
    np.testing.assert_array_equal(
        runs[0][: size // 2],
        codec.encode(x[: size // 2].copy(), SecureGenerator.from_seed(bytes(32))),
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("at", [0, 4, 6])
def test_values_that_are_not_finite_are_refused(bad, dtype, at):
    x = np.zeros(7, dtype)
    x[at] = bad
    codec = veil.FixedPoint(clip=1.0, bits=8, max_summands=2, rounding="nearest")
    with pytest.raises(ValueError, match="finite"):
        codec.encode(x)


def test_a_total_that_is_no_sum_is_refused():
    codec = veil.FixedPoint(clip=1.0, bits=8, max_summands=10, rounding="nearest")
    total = np.array([2 * 127], np.uint32)
    assert codec.decode_sum(total, 2)[0] == 2 * 127 * codec.granularity
    with pytest.raises(ValueError, match="out of range"):
        codec.decode_sum(total, 1)
    assert codec.decode_sum(total, 1, noise=127)[0] == 2 * 127 * codec.granularity


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"clip": 0.0}, "clip"),
        ({"clip": float("inf")}, "clip"),
        ({"clip": float("nan")}, "clip"),
        ({"bits": 1}, "bits"),
        ({"bits": 49}, "bits"),
        ({"max_summands": 0}, "max_summands"),
        ({"bits": 48, "max_summands": 1 << 17}, "ring of 65 bits"),
        ({"rounding": "up"}, "rounding"),
    ],
)
def test_parameters_out_of_range_are_refused(change, named):
    good = {"clip": 1.0, "bits": 16, "max_summands": 10, "rounding": "nearest"}
    with pytest.raises(ValueError, match=named):
        veil.FixedPoint(**{**good, **change})


def test_the_generator_goes_with_stochastic_rounding_only():
    nearest = veil.FixedPoint(clip=1.0, bits=8, max_summands=2, rounding="nearest")
    stochastic = veil.FixedPoint(clip=1.0, bits=8, max_summands=2, rounding="stochastic")
    with pytest.raises(TypeError, match="rng"):
        nearest.encode(np.zeros(3), SecureGenerator())
    with pytest.raises(TypeError, match="SecureGenerator"):
        stochastic.encode(np.zeros(3))


def test_bad_outputs_are_refused():
    codec = veil.FixedPoint(clip=1.0, bits=8, max_summands=2, rounding="nearest")
    x = np.zeros(8)
    with pytest.raises(ValueError, match="shape"):
        codec.encode(x, out=np.zeros(7, np.uint32))
    with pytest.raises(TypeError, match="uint32"):
        codec.encode(x, out=np.zeros(8, np.int64))
    with pytest.raises(ValueError, match="overlapping"):
        codec.encode(x, out=x.view(np.uint32)[:8])
    locked = np.zeros(8, np.uint32)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        codec.encode(x, out=locked)


@given(codecs)
def test_records_round_trip(codec):
    assert veil.FixedPoint.from_dict(codec.to_dict()) == codec
    assert pickle.loads(pickle.dumps(codec)) == codec
    with pytest.raises(ValueError, match="unknown"):
        veil.FixedPoint.from_dict({**codec.to_dict(), "extra": 1})


@given(codecs, st.floats(0.01, 100), st.integers(1, 50), st.data())
def test_rounding_moves_a_sum_by_no_more_than_the_sensitivity(codec, c, dim, data):
    """Two sums that differ by one record, rounded as a site rounds them."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rest = rng.normal(size=dim) * codec.clip / 4
    record = rng.normal(size=dim)
    record *= c / np.linalg.norm(record)
    with_record, without = (codec.decode_sum(codec.encode(x), 1) for x in (rest + record, rest))
    moved = np.linalg.norm(with_record - without)
    assert moved <= codec.l2_sensitivity(c * (1 + 1e-12), dim, "record")
