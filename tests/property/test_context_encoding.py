"""The stream that `veil.secagg.context` hashes: one for each value, and none begins another."""

import importlib
import itertools
import struct

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from veil.secagg import context

module = importlib.import_module("veil.secagg.context")

NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
# Few values that look alike: pairs of structures made of them are often nearly the same.
ALIKE = [
    None, False, True, 0, 1, -1, 127, 128, -128, 255, 256, 1 << 64, -(1 << 64),
    0.0, -0.0, 1.0, 5e-324, NAN, OTHER_NAN, float("inf"), "", "0", "1", "N", "é", "e\u0301",
    "\ud800", "\ud800\udc00", "\U00010000", b"", b"0", b"1", b"N",
]  # fmt: skip
DTYPES = ["bool", "int8", "uint8", "int16", "int64", "float16", "float32", "float64"]
SHAPES = [(), (0,), (1,), (2,), (0, 3), (3, 0), (1, 2), (2, 1), (8,), (2, 4)]

arrays = st.builds(
    lambda dtype, shape, fill: np.resize(np.array(fill).astype(dtype), shape),
    st.sampled_from(DTYPES),
    st.sampled_from(SHAPES),
    st.sampled_from([[0], [1], [0, 1], [1, 0]]),
)
scalars = st.builds(lambda dtype, x: np.dtype(dtype).type(x), st.sampled_from(DTYPES),
                    st.sampled_from([0, 1]))  # fmt: skip
values = st.recursive(
    st.sampled_from(ALIKE) | arrays | scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["", "a", "b", "0", "é", "\ud800"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def stream(value):
    """All bytes that are hashed for a value."""
    parts = []
    out = module._Stream(lambda part: parts.append(bytes(part)))
    out.put(value, ("value",))
    out.flush()
    return b"".join(parts)


def meaning(value):
    """What must be told apart, by other means than the stream's."""
    if value is None or type(value) in (bool, int, str, bytes):
        return type(value).__name__, value
    if type(value) is float:
        return "float", struct.pack(">d", value)
    if isinstance(value, list | tuple):
        return "sequence", tuple(meaning(item) for item in value)
    if isinstance(value, dict):
        return "mapping", frozenset((key, meaning(item)) for key, item in value.items())
    array = np.asarray(value)
    swapped = array.astype(array.dtype.newbyteorder(">"))
    return "array", array.dtype.name, array.shape, swapped.tobytes()


@given(values, values)
def test_two_values_have_one_stream_only_if_they_are_the_same(one, other):
    assert (stream(one) == stream(other)) == (meaning(one) == meaning(other))


@given(values, values)
def test_no_stream_begins_another(one, other):
    assume(meaning(one) != meaning(other))
    assert not stream(one).startswith(stream(other))


def rearranged(value, order):
    """The same value with everything changed that does not count."""
    if isinstance(value, list | tuple):
        items = [rearranged(item, order) for item in value]
        return items if order.random() < 0.5 else tuple(items)
    if isinstance(value, dict):
        items = list(value.items())
        order.shuffle(items)
        return {key: rearranged(item, order) for key, item in items}
    if type(value) is np.ndarray:
        if order.random() < 0.5:
            value = value.astype(value.dtype.newbyteorder(">"))
        return np.flip(np.flip(value).copy("F"))
    return value


@given(values, st.randoms(use_true_random=False))
def test_order_of_keys_kind_of_sequence_and_memory_do_not_count(value, order):
    assert stream(rearranged(value, order)) == stream(value)


def places(value, path=()):
    """Paths to all values in a value, itself first."""
    yield path
    if isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from places(item, (*path, at))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    at, *rest = path
    if isinstance(value, dict):
        return {**value, at: replaced(value[at], rest, new)}
    return [replaced(item, rest, new) if i == at else item for i, item in enumerate(value)]


def found(value, path):
    for at in path:
        value = value[at]
    return value


@given(values, st.randoms(use_true_random=False), values)
def test_one_value_changed_anywhere_changes_the_stream(value, order, new):
    path = order.choice(list(places(value)))
    assume(meaning(found(value, path)) != meaning(new))
    assert stream(replaced(value, path, new)) != stream(value)


@given(st.integers(), st.integers())
def test_integers_of_any_size_are_told_apart(one, other):
    assert (stream(one) == stream(other)) == (one == other)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_floats_are_told_apart_by_their_bits(one, other):
    floats = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (one, other)]
    assert (stream(floats[0]) == stream(floats[1])) == (one == other)
    words = [np.array([bits], np.uint64).view(np.float64) for bits in (one, other)]
    assert (stream(words[0]) == stream(words[1])) == (one == other)


@given(st.text(), st.text())
def test_texts_are_told_apart_by_their_code_points(one, other):
    assert (stream(one) == stream(other)) == (one == other)


@given(st.binary(max_size=3), st.integers(0, 10_000))
def test_long_and_short_pieces_make_one_stream(piece, times):
    """Short pieces are gathered, long ones are not copied: the stream is the same."""
    content = piece * times
    expected = b"L" + struct.pack("<Q", 2) + b"B" + struct.pack("<Q", len(content)) + content
    assert stream([content, None]) == expected + b"N"


@given(st.dictionaries(st.sampled_from(["config", "fit", "metrics"]), values, max_size=3),
       st.randoms(use_true_random=False))  # fmt: skip
def test_records_may_come_in_any_order(records, order):
    names = list(records)
    order.shuffle(names)
    nothing = {"model": {}, "round": 0, "shared": {}, "settings": {}, "terms": {}}
    turned = {name: records[name] for name in names}
    assert context(instructions=turned, **nothing) == context(instructions=records, **nothing)


def taken_for_another():
    """Pairs of all that looks alike whose streams do not tell what must be told apart."""
    return [
        (one, other)
        for one, other in itertools.product(ALIKE, repeat=2)
        if (stream(one) == stream(other)) != (meaning(one) == meaning(other))
    ]


def test_no_value_is_taken_for_one_that_looks_alike():
    assert taken_for_another() == []


def test_the_comparison_finds_a_stream_without_types(monkeypatch):
    def untyped(self, value, path):
        self._put_bytes(b"S", str(value).encode("utf-8", "surrogatepass"))

    monkeypatch.setattr(module._Stream, "put", untyped)
    assert (1, "1") in taken_for_another()
