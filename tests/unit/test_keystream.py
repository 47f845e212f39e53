"""Keystream: positions, limits, refusals."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from veil.errors import StreamExhausted
from veil.random import Keystream

pytestmark = pytest.mark.kernel
KEY = bytes(range(32))
CIPHERS = ("aes256-ctr", "chacha20")
# Around one block, one register, one stride and one chunk of each instruction set and cipher.
EDGES = sorted(
    {0, 1} | {w + d for w in (16, 32, 64, 128, 256, 512, 31 * 256, 1 << 18) for d in (-1, 0, 1)}
)


@pytest.fixture(params=CIPHERS)
def cipher(request):
    return request.param


def test_reads_of_any_length_are_prefixes_of_one_stream(cipher):
    whole = Keystream(KEY, cipher=cipher).bytes(EDGES[-1])
    for n in EDGES:
        assert Keystream(KEY, cipher=cipher).bytes(n) == whole[:n], n


def test_split_reads_equal_one_read(cipher):
    whole = Keystream(KEY, cipher=cipher).bytes(5000)
    stream = Keystream(KEY, cipher=cipher)
    sizes = [1, 15, 16, 17, 0, 63, 64, 65, 511, 512, 513, 2000, 3]
    assert b"".join(stream.bytes(n) for n in sizes) == whole[: sum(sizes)]


@pytest.mark.parametrize("offset", [0, 1, 3, 15, 16, 17, 63, 64, 65, 255, 257, 4095, 65537])
def test_seek_to_any_byte(cipher, offset):
    whole = Keystream(KEY, cipher=cipher).bytes(70000)
    stream = Keystream(KEY, cipher=cipher)
    stream.seek(offset)
    assert stream.tell() == offset
    assert stream.bytes(700) == whole[offset : offset + 700]
    assert stream.tell() == offset + 700


@pytest.mark.parametrize(
    ("method", "dtype"), [("uint32", np.uint32), ("uint64", np.uint64)], ids=["u32", "u64"]
)
@pytest.mark.parametrize("offset", [0, 5])
def test_words_are_the_bytes_little_endian(cipher, method, dtype, offset):
    a, b = Keystream(KEY, cipher=cipher), Keystream(KEY, cipher=cipher)
    a.seek(offset)
    b.seek(offset)
    words = getattr(a, method)(1001)
    assert words.dtype == dtype
    expected = np.frombuffer(b.bytes(words.nbytes), np.dtype(dtype).newbyteorder("<"))
    np.testing.assert_array_equal(words, expected)


def test_out_is_filled_and_returned(cipher):
    out = np.zeros((3, 7), np.uint32)
    assert Keystream(KEY, cipher=cipher).uint32(out=out) is out
    np.testing.assert_array_equal(out.ravel(), Keystream(KEY, cipher=cipher).uint32(21))


def test_threads_change_no_bit(cipher):
    n = 3 * (1 << 18) + 77
    stream = Keystream(KEY, cipher=cipher)
    stream.seek(11)
    expected = stream.bytes(n, threads=1)
    stream.seek(11)
    assert stream.bytes(n, threads=3) == expected


def test_concurrent_reads_get_disjoint_ranges(cipher):
    stream = Keystream(KEY, cipher=cipher)
    with ThreadPoolExecutor(4) as pool:
        pieces = list(pool.map(lambda _: stream.bytes(1000), range(64)))
    whole = Keystream(KEY, cipher=cipher).bytes(64000)
    assert sorted(pieces) == sorted(whole[i : i + 1000] for i in range(0, 64000, 1000))


def test_short_nonce_is_padded_with_zeros(cipher):
    short = Keystream(KEY, nonce=b"\x01\x02", cipher=cipher).bytes(64)
    assert short == Keystream(KEY, nonce=b"\x01\x02" + bytes(14), cipher=cipher).bytes(64)


@pytest.mark.parametrize("low", [2**32 - 1, 2**32 - 20, 2**64 - 1, 2**64 - 20])
def test_aes_counter_carries_into_the_next_word(low):
    nonce = (7 * 2**64 + low).to_bytes(16, "big")
    stream = Keystream(KEY, nonce=nonce)
    expected = [
        Keystream(KEY, nonce=(7 * 2**64 + low + i).to_bytes(16, "big")).bytes(16) for i in range(64)
    ]
    assert stream.bytes(64 * 16) == b"".join(expected)


@pytest.mark.parametrize("first", [2**32 - 1, 2**32 - 7, 2**32 - 8, 2**32 - 100])
def test_chacha20_ends_before_its_counter_wraps(first):
    nonce = first.to_bytes(4, "little") + bytes(12)
    stream = Keystream(KEY, nonce=nonce, cipher="chacha20")
    assert stream.capacity == (2**32 - first) * 64
    last = [
        Keystream(KEY, nonce=i.to_bytes(4, "little") + bytes(12), cipher="chacha20").bytes(64)
        for i in range(first, 2**32)
    ]
    assert stream.bytes(stream.capacity) == b"".join(last)
    with pytest.raises(StreamExhausted, match="use a new key"):
        stream.bytes(1)


@pytest.mark.parametrize("left", [1, 15, 16, 17])
def test_aes_ends_before_its_counter_wraps(left):
    stream = Keystream(KEY, nonce=(2**128 - left).to_bytes(16, "big"))
    assert stream.capacity == 16 * left
    assert len(stream.bytes(16 * left)) == 16 * left
    with pytest.raises(StreamExhausted):
        stream.bytes(1)


def test_aes_ends_after_its_documented_limit():
    stream = Keystream(KEY)
    assert stream.capacity == 2**52
    stream.seek(2**52 - 3)
    assert len(stream.bytes(3)) == 3
    with pytest.raises(StreamExhausted):
        stream.seek(2**52 + 1)


@pytest.mark.parametrize("read", ["bytes", "uint32", "uint64"])
def test_a_refused_read_leaves_the_position(cipher, read):
    stream = Keystream(KEY, cipher=cipher)
    stream.seek(stream.capacity - 7)
    with pytest.raises(StreamExhausted):
        getattr(stream, read)(8)
    assert stream.tell() == stream.capacity - 7
    assert len(stream.bytes(7)) == 7


def test_key_is_copied():
    key = bytearray(KEY)
    stream = Keystream(key)
    key[:] = bytes(32)
    assert stream.bytes(16) == Keystream(KEY).bytes(16)


def test_repr_shows_no_key():
    text = repr(Keystream(KEY))
    assert "redacted" in text
    assert KEY.hex() not in text


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copies_and_pickles_are_refused(duplicate):
    with pytest.raises(TypeError, match="cannot be"):
        duplicate(Keystream(KEY))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((bytes(31),), ValueError, "key: expected 32 bytes, got 31"),
        ((bytes(33),), ValueError, "key: expected 32 bytes, got 33"),
        (("k" * 32,), TypeError, "key: expected bytes, got an object of type str"),
        ((KEY, bytes(17)), ValueError, "nonce: expected at most 16 bytes, got 17"),
        ((KEY, "n"), TypeError, "nonce: expected bytes"),
        ((KEY, b"", "rc4"), ValueError, "cipher: expected"),
        ((KEY, b"", 3), TypeError, "cipher: expected a string"),
    ],
)
def test_wrong_key_nonce_or_cipher(arguments, error, message):
    key, *rest = arguments
    options = dict(zip(("nonce", "cipher"), rest, strict=False))
    with pytest.raises(error, match=message) as refused:
        Keystream(key, **options)
    assert "\\x1f" not in str(refused.value)
    assert KEY.hex() not in str(refused.value)


def test_wrong_counts_and_outputs():
    stream = Keystream(KEY)
    with pytest.raises(ValueError, match="n: expected 0 or more, got -1"):
        stream.bytes(-1)
    with pytest.raises(ValueError, match="byte_offset: expected 0 or more"):
        stream.seek(-1)
    with pytest.raises(TypeError, match="n: expected a number"):
        stream.uint32()
    with pytest.raises(TypeError, match="out: expected dtype uint32"):
        stream.uint32(out=np.zeros(4, np.int32))
    with pytest.raises(TypeError, match="out: expected dtype uint64"):
        stream.uint64(out=np.zeros(4, ">u8"))
    with pytest.raises(ValueError, match="out: expected 3 elements, got 4"):
        stream.uint32(3, out=np.zeros(4, np.uint32))
    with pytest.raises(ValueError, match="C-contiguous"):
        stream.uint32(out=np.zeros(8, np.uint32)[::2])
    frozen = np.zeros(4, np.uint32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        stream.uint32(out=frozen)
    with pytest.raises(ValueError, match="threads: expected None or 1 to"):
        stream.bytes(4, threads=0)
    assert stream.tell() == 0
