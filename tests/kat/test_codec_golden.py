"""Golden bits of the codec and of packing: the same on every instruction set and thread count."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import veil
from veil.random import SecureGenerator

GOLDEN = json.loads((Path(__file__).parent / "vectors" / "codec.json").read_text())

pytestmark = pytest.mark.kernel


def inputs(dtype):
    x = (np.arange(100_003, dtype=np.float64) * 0.37 - 18_000.5) / 9_000
    if dtype == "bfloat16":
        return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return x.astype(dtype)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['dtype']}-{c['bits']}")
def test_golden_bits(case, threads):
    codec = veil.FixedPoint(
        clip=1.25, bits=case["bits"], max_summands=100, rounding=case["rounding"]
    )
    rng = SecureGenerator.from_seed(bytes(range(32))) if case["rounding"] == "stochastic" else None
    words = codec.encode(inputs(case["dtype"]), rng, threads=threads)
    packed = veil.ring.pack_bits(words, codec.ring_bits)
    assert hashlib.sha256(words.tobytes()).hexdigest() == case["words_sha256"]
    assert hashlib.sha256(packed.tobytes()).hexdigest() == case["packed_sha256"]
