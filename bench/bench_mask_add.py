"""mask_add against Flower's mask, OpenSSL with NumPy, and the limit, a bare VAES loop."""

import ctypes
import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

import peers
import veil
from veil import ring

N = 1 << 20
MASKS = 20
KEYS = [bytes([j + 1]) * 32 for j in range(MASKS)]
SOURCE = Path(__file__).parent.parent / "cpp" / "bench" / "bare_vaes.cpp"
X = np.arange(N, dtype=np.uint32)


@functools.cache
def bare_vaes() -> ctypes.CDLL:
    """Compile the bare loop; it is no part of the library, so nothing else builds it."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None or "vaes" not in veil.core_info()["supported_isas"]:
        pytest.skip("the bare VAES loop needs a C++ compiler and a CPU with VAES")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "bare_vaes.so"
        flags = ["-std=c++20", "-O3", "-mavx2", "-maes", "-mvaes", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, SOURCE, "-o", library], check=True)
        return ctypes.CDLL(str(library))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def bare_add(keys):
    """The bare loop: all keystreams added to X in L1 blocks, its keys set up inside as ours are."""
    library, out, joined = bare_vaes(), np.empty_like(X), b"".join(keys)

    def run():
        np.copyto(out, X)
        library.bare_vaes_add(
            joined, ctypes.c_size_t(len(keys)), pointer(out), ctypes.c_size_t(X.nbytes)
        )
        return out

    return run


def openssl_add(keys):
    """Keystreams of OpenSSL made in memory, then added by NumPy."""
    out, mask = np.empty_like(X), np.empty_like(X)

    def run():
        np.copyto(out, X)
        for key in keys:
            np.add(out, peers.openssl_keystream(key, mask), out=out)
        return out

    return run


def ours(keys):
    out, signs = np.empty_like(X), [1] * len(keys)
    return lambda: ring.mask_add(X, keys, signs, cipher="aes256-ctr", out=out, threads=1)


@pytest.mark.parametrize("who", ["veil", "bare vaes", "openssl+numpy"])
def bench_twenty_masks(who, contest):
    contest(
        f"mask_add, 1 M u32, {MASKS} masks",
        who,
        {
            "veil": ours(KEYS),
            "bare vaes": peers.lazily(lambda: bare_add(KEYS)),
            "openssl+numpy": peers.lazily(lambda: openssl_add(KEYS)),
        },
        amount=X.nbytes * MASKS,
        unit="B",
        check=peers.equals(openssl_add(KEYS)()),
        limit="bare vaes",
        aim={"bare vaes": 0.75},
    )


@pytest.mark.parametrize("who", ["veil", "cipher alone"])
def bench_cipher_alone(who, contest):
    """Against the rounds only: the bare loop folds its blocks into a register, with no vector."""
    want = np.zeros(8, np.uint32)
    for key in KEYS:
        stream = veil.random.Keystream(key).uint32(N)
        want ^= np.bitwise_xor.reduce(stream.reshape(-1, 8), axis=0)

    def cipher_alone():
        library, folded = bare_vaes(), np.empty(8, np.uint32)

        def run():
            total = np.zeros(8, np.uint32)
            for key in KEYS:
                library.bare_vaes_cipher(key, ctypes.c_size_t(X.nbytes), pointer(folded))
                total ^= folded
            return total

        return run

    expected = {8: want, N: openssl_add(KEYS)()}
    contest(
        f"mask_add, 1 M u32, {MASKS} masks, against AES-256-CTR rounds with no vector",
        who,
        {"veil": ours(KEYS), "cipher alone": peers.lazily(cipher_alone)},
        amount=X.nbytes * MASKS,
        unit="B",
        check=lambda got: np.testing.assert_array_equal(got, expected[got.size]),
        limit="cipher alone",
        aim={"cipher alone": 0.75},
    )


@pytest.mark.parametrize("cipher", ["aes256-ctr", "chacha20"])
@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_one_mask(cipher, who, contest):
    """Ours made and added in place; Flower's made alone. A 32-bit seed gives other words than a
    256-bit key, so what is checked is that both are uniform.
    """
    vector = X.copy()

    def mask():
        return ring.mask_add(vector, KEYS[:1], [1], cipher=cipher, out=vector, threads=1)

    contest(
        f"mask_add, 1 M u32, one mask, {cipher}",
        who,
        {"veil": mask, "flower": lambda: peers.flower_mask(KEYS[0], N)},
        amount=X.nbytes,
        unit="B",
        check=uniform_words,
        must={"flower": 10} if cipher == "aes256-ctr" else None,
    )


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_one_cold_mask(who, contest):
    """A vector that is in no cache, the sum in new memory."""
    vectors = itertools.cycle([X + np.uint32(at) for at in range(32)])  # 128 MiB

    def mask():
        return ring.mask_add(next(vectors), KEYS[:1], [1], cipher="aes256-ctr", threads=1)

    contest(
        "mask_add, 1 M u32, one mask, vector out of the caches, new result",
        who,
        {"veil": mask, "flower": lambda: peers.flower_mask(KEYS[0], N)},
        amount=X.nbytes,
        unit="B",
        check=uniform_words,
        note="Bound by memory, ours alone: Flower's mask is made and not added.",
    )


def uniform_words(got):
    """N words whose mean is that of uniform ones within 6 standard errors (2^32/sqrt(12 N))."""
    words = np.asarray(got, dtype=np.float64).ravel()
    assert words.size == N
    assert abs(words.mean() - 2.0**31) < 6 * 2.0**32 / np.sqrt(12 * N)
