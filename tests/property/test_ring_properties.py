"""mask_add and add against Python integers, Keystream against OpenSSL."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from veil import ring
from veil.random import Keystream

pytestmark = pytest.mark.kernel
BITS = st.sampled_from([32, 64])
CIPHERS = st.sampled_from(["aes256-ctr", "chacha20"])
KEYS = st.binary(min_size=32, max_size=32)
SIGNED_KEYS = st.lists(st.tuples(KEYS, st.sampled_from([1, -1])), max_size=4)


def words(bits):
    """Any words, with the ring's own edges in a quarter of the draws."""
    edge = st.sampled_from([0, 1, 2 ** (bits - 1), 2**bits - 1])
    return st.one_of(*[st.integers(0, 2**bits - 1)] * 3, edge)


@st.composite
def vectors(draw, count=1, max_size=80):
    bits = draw(BITS)
    n = draw(st.integers(0, max_size))
    lists = [draw(st.lists(words(bits), min_size=n, max_size=n)) for _ in range(count)]
    return bits, lists


def openssl(cipher, key, nonce, skip, n):
    algorithm, mode = (
        (algorithms.AES(key), modes.CTR(nonce))
        if cipher == "aes256-ctr"
        else (algorithms.ChaCha20(key, nonce), None)
    )
    return Cipher(algorithm, mode).encryptor().update(bytes(skip + n))[skip:]


@given(cipher=CIPHERS, key=KEYS, nonce=st.binary(min_size=16, max_size=16), data=st.data())
def test_keystream_is_openssls(cipher, key, nonce, data):
    if cipher == "chacha20":  # stay below the wrap of the 32-bit counter, where we refuse
        nonce = nonce[:3] + bytes([nonce[3] & 0x7F]) + nonce[4:]
    offset = data.draw(st.integers(0, 1500))
    n = data.draw(st.integers(0, 1500))
    stream = Keystream(key, nonce=nonce, cipher=cipher)
    n = min(n, max(0, stream.capacity - offset))
    if offset > stream.capacity:
        return
    stream.seek(offset)
    assert stream.bytes(n) == openssl(cipher, key, nonce, offset, n)


@given(
    vector=vectors(),
    signed_keys=SIGNED_KEYS,
    cipher=CIPHERS,
    offset=st.integers(0, 200),
    threads=st.integers(1, 2),
)
def test_mask_add_is_the_sum_in_the_ring(vector, signed_keys, cipher, offset, threads):
    bits, (values,) = vector
    size = bits // 8
    expected = list(values)
    for key, sign in signed_keys:
        stream = openssl(cipher, key, bytes(16), offset * size, len(values) * size)
        for i in range(len(values)):
            word = int.from_bytes(stream[i * size : (i + 1) * size], "little")
            expected[i] = (expected[i] + sign * word) % 2**bits
    masked = ring.mask_add(
        np.array(values, f"u{size}"),
        [key for key, _ in signed_keys],
        [sign for _, sign in signed_keys],
        offset=offset,
        cipher=cipher,
        threads=threads,
    )
    assert masked.tolist() == expected


@given(vector=vectors(), signed_keys=SIGNED_KEYS, cipher=CIPHERS)
def test_unmasking_in_any_order_gives_the_vector_back(vector, signed_keys, cipher):
    bits, (values,) = vector
    x = np.array(values, f"u{bits // 8}")
    keys, signs = [k for k, _ in signed_keys], [s for _, s in signed_keys]
    masked = ring.mask_add(x, keys, signs, cipher=cipher)
    for key, sign in reversed(signed_keys):
        ring.mask_add(masked, [key], [-sign], cipher=cipher, out=masked)
    assert masked.tolist() == values


@given(vector=vectors(), signed_keys=SIGNED_KEYS, cipher=CIPHERS, data=st.data())
@settings(max_examples=50)
def test_any_cut_into_pieces_gives_the_bits_of_one_call(vector, signed_keys, cipher, data):
    bits, (values,) = vector
    x = np.array(values, f"u{bits // 8}")
    keys, signs = [k for k, _ in signed_keys], [s for _, s in signed_keys]
    cut = data.draw(st.integers(0, len(values)))
    pieces = [
        ring.mask_add(part, keys, signs, offset=offset, cipher=cipher)
        for part, offset in ((x[:cut], 0), (x[cut:], cut))
    ]
    whole = ring.mask_add(x, keys, signs, cipher=cipher)
    assert np.concatenate(pieces).tolist() == whole.tolist()


@given(vector=vectors(count=2))
def test_add_is_the_sum_in_the_ring(vector):
    bits, (a, b) = vector
    total = ring.add(np.array(a, f"u{bits // 8}"), np.array(b, f"u{bits // 8}"))
    assert total.tolist() == [(x + y) % 2**bits for x, y in zip(a, b, strict=True)]
