"""Bit packing against one big Python integer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veil import ring

pytestmark = pytest.mark.kernel


@st.composite
def vectors(draw):
    dtype = draw(st.sampled_from([np.uint32, np.uint64]))
    width = 8 * np.dtype(dtype).itemsize
    bits = draw(st.integers(1, width))
    top = (1 << bits) - 1
    weird = st.sampled_from([0, 1, top, top >> 1, (top >> 1) + 1])
    values = draw(st.lists(st.integers(0, top) | weird, max_size=70))
    values *= draw(st.integers(1, 4))  # long enough for whole batches of groups
    return np.array(values, dtype), bits


@given(vectors())
def test_packed_bytes_are_the_little_endian_integer(case):
    values, bits = case
    whole = sum(int(value) << (bits * at) for at, value in enumerate(values))
    expected = whole.to_bytes(-(-len(values) * bits // 8), "little")
    assert ring.pack_bits(values, bits).tobytes() == expected


@given(vectors())
def test_unpacking_inverts_packing(case):
    values, bits = case
    packed = ring.pack_bits(values, bits)
    got = ring.unpack_bits(packed, bits, len(values), dtype=values.dtype)
    np.testing.assert_array_equal(got, values)


@given(vectors(), st.integers(0, 7))
def test_any_damage_to_padding_is_refused(case, bit):
    values, bits = case
    packed = ring.pack_bits(values, bits)
    used = len(values) * bits % 8
    if used == 0 or bit < used:
        return
    packed[-1] |= 1 << bit
    with pytest.raises(ValueError, match="zero bits"):
        ring.unpack_bits(packed, bits, len(values), dtype=values.dtype)


def test_a_value_that_does_not_fit_is_never_cut():
    with pytest.raises(ValueError, match=r"below 2\^5"):
        ring.pack_bits(np.array([1, 32, 2], np.uint32), 5)


@pytest.mark.parametrize("bits", [0, 65, -1])
def test_a_width_out_of_range_is_refused(bits):
    with pytest.raises(ValueError, match="bits"):
        ring.pack_bits(np.zeros(3, np.uint64), bits)


def test_a_width_above_the_word_is_refused():
    with pytest.raises(ValueError, match="1 to 32"):
        ring.unpack_bits(np.zeros(5, np.uint8), 40, 1, dtype=np.uint32)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match="3 bytes"):
        ring.unpack_bits(np.zeros(size, np.uint8), 8, 3, dtype=np.uint32)


def test_a_foreign_count_allocates_nothing():
    with pytest.raises(ValueError, match="bytes"):
        ring.unpack_bits(np.zeros(4, np.uint8), 1, 1 << 60, dtype=np.uint64)


def test_overlap_and_wrong_types_are_refused():
    words = np.zeros(8, np.uint32)
    with pytest.raises(ValueError, match="overlapping"):
        ring.pack_bits(words, 8, out=words.view(np.uint8)[:8])
    with pytest.raises(TypeError, match="uint32 or uint64"):
        ring.pack_bits(np.zeros(3, np.int32), 8)
    with pytest.raises(TypeError, match="dtype"):
        ring.unpack_bits(np.zeros(3, np.uint8), 8, 3, dtype=np.int64)
