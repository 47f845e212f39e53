"""Keystream against OpenSSL's EVP, through `cryptography`: one 16 KiB block, and in bulk."""

import numpy as np
import pytest

import peers
from veil.random import Keystream

KEY = bytes(range(32))
SIZES = {"16 KiB": 1 << 14, "16 MiB": 1 << 24}
# In bulk OpenSSL is called on 16 KiB pieces, as it is fastest; no set-up of a key is timed.


@pytest.mark.parametrize("who", ["veil", "openssl"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cipher", ["aes256-ctr", "chacha20"])
def bench_keystream(cipher, size, who, contest):
    count = SIZES[size] // 4
    ours, theirs = np.empty(count, np.uint32), np.empty(count, np.uint32)
    stream = Keystream(KEY, cipher=cipher)
    encrypt = peers.lazily(lambda: openssl_continuing(cipher, theirs))

    want = peers.openssl_keystream(KEY, np.empty(count, np.uint32), cipher=cipher)
    contest(
        f"keystream, {cipher}, {size}",
        who,
        {"veil": lambda: stream.uint32(out=ours, threads=1), "openssl": encrypt},
        amount=SIZES[size],
        unit="B",
        check=peers.equals(want),  # of each contender's first call, at the stream's beginning
    )


def openssl_continuing(cipher, out):
    """A call that fills `out` with the next bytes of one EVP stream, key set up beforehand."""
    ciphers = peers.load("cryptography.hazmat.primitives.ciphers")
    if cipher == "chacha20":
        context = ciphers.Cipher(ciphers.algorithms.ChaCha20(KEY, bytes(16)), None)
    else:
        context = ciphers.Cipher(ciphers.algorithms.AES(KEY), ciphers.modes.CTR(bytes(16)))
    encryptor = context.encryptor()
    view, zeros = memoryview(out).cast("B"), bytes(1 << 14)

    def fill():
        for begin in range(0, len(view), len(zeros)):
            encryptor.update_into(zeros, view[begin : begin + len(zeros)])
        return out

    return fill
