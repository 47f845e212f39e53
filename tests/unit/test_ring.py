"""Ring sums and fused masks: edges, aliasing, refusals."""

import itertools

import numpy as np
import pytest

from veil import ring
from veil.errors import StreamExhausted
from veil.random import Keystream

pytestmark = pytest.mark.kernel
CIPHERS = ("aes256-ctr", "chacha20")
DTYPES = (np.uint32, np.uint64)
KEYS = [bytes([j]) * 32 for j in range(1, 6)]
SIGNS = [1, -1, -1, 1, 1]
# Around one cipher block, one stride of each instruction set and one cache block, in words.
EDGES = [0, 1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 31 * 64, 4095, 4096, 4097]


def stream(key, cipher, dtype, offset, n):
    itemsize = np.dtype(dtype).itemsize
    keystream = Keystream(key, cipher=cipher)
    keystream.seek(offset * itemsize)
    return np.frombuffer(keystream.bytes(n * itemsize), dtype)


def expected(vector, cipher, offset, keys=KEYS, signs=SIGNS):
    total = vector.copy()
    for key, sign in zip(keys, signs, strict=True):
        words = stream(key, cipher, vector.dtype, offset, vector.size)
        total = total + words if sign > 0 else total - words
    return total


def ramp(n, dtype):
    return np.arange(n, dtype=dtype) * dtype(0x9E3779B9)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3, 16, 1001])
def test_mask_add_adds_the_streams_at_every_length(cipher, dtype, offset):
    for n in EDGES:
        x = ramp(n, dtype)
        masked = ring.mask_add(x, KEYS, SIGNS, offset=offset, cipher=cipher)
        np.testing.assert_array_equal(masked, expected(x, cipher, offset), err_msg=str(n))


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pieces_with_offsets_give_the_bits_of_one_call(cipher, dtype):
    x = ramp(10_000, dtype)
    whole = ring.mask_add(x, KEYS, SIGNS, cipher=cipher)
    cuts = [0, 1, 8, 15, 4096, 4099, 10_000]
    pieces = [
        ring.mask_add(x[a:b], KEYS, SIGNS, offset=a, cipher=cipher)
        for a, b in itertools.pairwise(cuts)
    ]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_opposite_signs_cancel(cipher, dtype):
    x = ramp(5000, dtype)
    masked = ring.mask_add(x, KEYS, SIGNS, cipher=cipher)
    assert np.count_nonzero(masked == x) < 10
    back = ring.mask_add(masked, KEYS[::-1], [-s for s in SIGNS[::-1]], cipher=cipher)
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_of_a_cohort_cancel_in_its_sum(dtype):
    n, parties = 1000, 5
    pair_key = {(i, j): bytes([i, j]) * 16 for i in range(parties) for j in range(i + 1, parties)}
    inputs = [ramp(n, dtype) + dtype(i) for i in range(parties)]
    total = np.zeros(n, dtype)
    for i, x in enumerate(inputs):
        others = [j for j in range(parties) if j != i]
        masked = ring.mask_add(
            x,
            [pair_key[min(i, j), max(i, j)] for j in others],
            [1 if i < j else -1 for j in others],
            cipher="aes256-ctr",
        )
        ring.add(total, masked, out=total)
    np.testing.assert_array_equal(total, np.sum(inputs, axis=0, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mask_add_in_place_and_into_out(dtype):
    x = ramp(9000, dtype)
    fresh = ring.mask_add(x, KEYS, SIGNS, cipher="aes256-ctr")
    out = np.empty_like(x)
    assert ring.mask_add(x, KEYS, SIGNS, cipher="aes256-ctr", out=out) is out
    assert ring.mask_add(x, KEYS, SIGNS, cipher="aes256-ctr", out=x) is x
    np.testing.assert_array_equal(out, fresh)
    np.testing.assert_array_equal(x, fresh)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_threads_change_no_bit(cipher):
    x = ramp(100_003, np.uint32)
    one = ring.mask_add(x, KEYS, SIGNS, offset=7, cipher=cipher, threads=1)
    many = ring.mask_add(x, KEYS, SIGNS, offset=7, cipher=cipher, threads=4)
    np.testing.assert_array_equal(one, many)
    a, b = ramp(300_001, np.uint64), ramp(300_001, np.uint64)[::-1].copy()
    np.testing.assert_array_equal(ring.add(a, b, threads=1), ring.add(a, b, threads=4))


def test_no_keys_copies_the_vector():
    x = ramp(100, np.uint32)
    out = ring.mask_add(x, [], [], cipher="aes256-ctr")
    np.testing.assert_array_equal(out, x)
    assert out is not x


def test_shape_is_kept_and_arrays_of_keys_and_signs_are_taken():
    x = ramp(60, np.uint32).reshape(3, 4, 5)
    keys = np.frombuffer(b"".join(KEYS), np.uint8).reshape(5, 32)
    masked = ring.mask_add(x, keys, np.array(SIGNS, np.int8), cipher="chacha20")
    assert masked.shape == (3, 4, 5)
    np.testing.assert_array_equal(masked.ravel(), expected(x.ravel(), "chacha20", 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_wraps_around_at_every_length(dtype):
    top = np.iinfo(dtype).max
    for n in EDGES:
        a, b = np.full(n, top, dtype), ramp(n, dtype)
        np.testing.assert_array_equal(ring.add(a, b), b - dtype(1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_in_place(dtype):
    a, b = ramp(1001, dtype), ramp(1001, dtype)[::-1].copy()
    total = a + b
    assert ring.add(a, b, out=b) is b
    np.testing.assert_array_equal(b, total)
    ring.add(a, a, out=a)
    np.testing.assert_array_equal(a, ramp(1001, dtype) * dtype(2))


def test_partial_overlap_is_refused():
    memory = np.zeros(100, np.uint32)
    with pytest.raises(ValueError, match="out: expected memory apart from `vector`"):
        ring.mask_add(memory[:50], KEYS, SIGNS, cipher="aes256-ctr", out=memory[1:51])
    with pytest.raises(ValueError, match="out: expected memory apart from `b`"):
        ring.add(np.zeros(50, np.uint32), memory[:50], out=memory[49:99])
    assert not memory.any()


X = np.zeros(8, np.uint32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"vector": X.astype(np.int32)}, TypeError, "vector: expected .* got dtype int32"),
        ({"vector": [1, 2]}, TypeError, "vector: expected .* got list"),
        ({"vector": X[::2]}, ValueError, "vector: expected a C-contiguous"),
        ({"keys": [bytes(32), bytes(31)]}, ValueError, r"keys\[1\]: expected 32 bytes, got 31"),
        ({"keys": ["k" * 32, bytes(32)]}, TypeError, r"keys\[0\]: expected bytes"),
        ({"keys": bytes(64)}, TypeError, "keys: expected a list or tuple, got .* bytes"),
        ({"keys": 7}, TypeError, "keys: expected a list or tuple"),
        ({"keys": [bytes(32)]}, ValueError, "signs: expected 1 elements, got 2"),
        ({"signs": [1, 0]}, ValueError, r"signs\[1\]: expected 1 or -1, got 0"),
        ({"signs": [1, 257]}, ValueError, r"signs\[1\]: expected 1 or -1, got 257"),
        ({"signs": [1.0, 1]}, ValueError, r"signs\[0\]: expected 1 or -1, got 1.0"),
        ({"cipher": "aes"}, ValueError, "cipher: expected"),
        ({"cipher": None}, TypeError, "cipher: expected a string"),
        ({"offset": -1}, ValueError, "offset: expected 0 or more"),
        ({"out": np.zeros(7, np.uint32)}, ValueError, r"out: expected shape \(8,\), got \(7,\)"),
        ({"out": np.zeros(8, np.uint64)}, TypeError, "out: expected dtype uint32"),
        ({"threads": 0}, ValueError, "threads: expected"),
        ({"offset": 2**50}, StreamExhausted, "use a new key"),
        ({"offset": 2**50 - 7}, StreamExhausted, "use a new key"),
        ({"offset": 2**63 - 1}, StreamExhausted, "offset: expected"),
        ({"offset": 2**36 - 7, "cipher": "chacha20"}, StreamExhausted, "use a new key"),
    ],
)
def test_wrong_arguments_of_mask_add(change, error, message):
    secret = bytes(range(100, 132))
    arguments = {
        "vector": X,
        "keys": [secret, secret[::-1]],
        "signs": [1, -1],
        "cipher": "aes256-ctr",
        **change,
    }
    vector, keys, signs = (arguments.pop(name) for name in ("vector", "keys", "signs"))
    with pytest.raises(error, match=message) as refused:
        ring.mask_add(vector, keys, signs, **arguments)
    assert "defghijk" not in str(refused.value)
    assert not X.any()


def test_read_only_out_is_refused():
    out = np.zeros(8, np.uint32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        ring.mask_add(X, KEYS, SIGNS, cipher="aes256-ctr", out=out)


def test_wrong_arguments_of_add():
    with pytest.raises(TypeError, match="b: expected dtype uint32"):
        ring.add(X, X.astype(np.uint64))
    with pytest.raises(ValueError, match=r"b: expected shape \(8,\), got \(4,\)"):
        ring.add(X, X[:4].copy())
    with pytest.raises(TypeError, match="a: expected a NumPy array of uint32 or uint64"):
        ring.add(X.astype(float), X)


def test_the_last_element_of_the_stream_can_be_used():
    x = np.zeros(8, np.uint32)
    masked = ring.mask_add(x, KEYS, SIGNS, offset=2**50 - 8, cipher="aes256-ctr")
    np.testing.assert_array_equal(masked, expected(x, "aes256-ctr", 2**50 - 8))
