"""Bit packing against the ways NumPy offers: a cast where the width is a word, else bits."""

import numpy as np
import pytest

import peers
import veil

LENGTH = 1_000_000
WIDTHS = [8, 16, 20, 22, 29, 32]


def values_of(bits):
    rng = np.random.default_rng(bits)
    return rng.integers(0, 1 << bits, LENGTH, dtype=np.uint64).astype(np.uint32)


def numpy_pack(values, bits):
    if bits in (8, 16, 32):
        return values.astype(f"<u{bits // 8}").view(np.uint8)
    each = np.unpackbits(values.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    return np.packbits(each[:, :bits], bitorder="little")


def numpy_unpack(packed, bits):
    if bits in (8, 16, 32):
        return packed.view(f"<u{bits // 8}").astype(np.uint32)
    each = np.unpackbits(packed, count=LENGTH * bits, bitorder="little").reshape(-1, bits)
    wide = np.zeros((LENGTH, 32), np.uint8)
    wide[:, :bits] = each
    return np.packbits(wide, axis=1, bitorder="little").view("<u4").ravel()


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_pack(who, bits, contest):
    values = values_of(bits)
    want = numpy_pack(values, bits)
    out = np.empty_like(want)
    contest(
        f"pack_bits, 1 M u32 of {bits} bits",
        who,
        {
            "veil": lambda: veil.ring.pack_bits(values, bits, out=out),
            "numpy": lambda: numpy_pack(values, bits),
        },
        amount=LENGTH,
        unit="values",
        check=peers.equals(want),
    )


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_unpack(who, bits, contest):
    values = values_of(bits)
    packed = numpy_pack(values, bits)
    out = np.empty(LENGTH, np.uint32)
    unpack = veil.ring.unpack_bits
    contest(
        f"unpack_bits, 1 M u32 of {bits} bits",
        who,
        {
            "veil": lambda: unpack(packed, bits, LENGTH, dtype=np.uint32, out=out),
            "numpy": lambda: numpy_unpack(packed, bits),
        },
        amount=LENGTH,
        unit="values",
        check=peers.equals(values),
    )
