"""The codec: clip, scale, round at random and reduce to the ring, in one pass."""

import numpy as np
import pytest

import peers
import veil
from veil.random import SecureGenerator

LENGTH = 1_000_000
CLIP, BITS = 8.0, 22
rng = np.random.default_rng(0)
VALUES = rng.uniform(-10, 10, LENGTH).astype(np.float32)


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_encode(who, rounding, contest):
    codec = veil.FixedPoint(clip=CLIP, bits=BITS, max_summands=100, rounding=rounding)
    generator = SecureGenerator() if rounding == "stochastic" else None
    out = np.empty(LENGTH, np.uint32)
    # Flower's lattice starts at -clip and has `levels` steps; ours starts at 0.
    levels = int(2 * CLIP / codec.granularity)

    def flower():
        return peers.flower_quantize(VALUES, CLIP, levels)

    def check(got):
        near = codec.decode_sum(got, 1) if got is out else got * codec.granularity - CLIP
        np.testing.assert_allclose(near, np.clip(VALUES, -CLIP, CLIP), atol=codec.granularity)

    contest(
        f"FixedPoint.encode, 1 M float32 to u32, {rounding}",
        who,
        {"veil": lambda: codec.encode(VALUES, generator, out=out, threads=1), "flower": flower},
        amount=LENGTH,
        unit="values",
        check=check,
        must={"flower": 10} if rounding == "stochastic" else None,
        aim={"flower": 20} if rounding == "stochastic" else None,
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_decode(who, contest):
    codec = veil.FixedPoint(clip=CLIP, bits=BITS, max_summands=100, rounding="nearest")
    total = codec.encode(VALUES)
    unused = 32 - codec.ring_bits
    out = np.empty(LENGTH)

    def numpy():
        signed = (total << np.uint32(unused)).view(np.int32) >> unused
        return signed * codec.granularity

    contest(
        "FixedPoint.decode_sum, 1 M u32",
        who,
        {"veil": lambda: codec.decode_sum(total, 1, out=out, threads=1), "numpy": numpy},
        amount=LENGTH,
        unit="values",
        check=peers.equals(numpy()),
    )
