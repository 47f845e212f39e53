"""Secure aggregation beside Flower's own functions: Shamir, a client's round, the server's opening.

Flower's side does the same work with the functions that its SecAgg+ calls; key agreement and
transport encryption are left out on its side and included on ours.
"""

import numpy as np
import pytest

import peers
from veil import FixedPoint
from veil.secagg import combine_shares, split_secret
from veil.secagg.config import Config
from veil.secagg.masking import MaskKeys, mask_and_pack, unmask

SIZE = 1_000_000
MASKS = 20
BITS = 22
SECRET = bytes(range(32))


def config_of(n, length=SIZE, corrupt=1):
    codec = FixedPoint(clip=8.0, bits=BITS, max_summands=n, rounding="stochastic")
    return Config.for_cohort(
        n,
        dropout=n // 10,
        corrupt=corrupt,
        adversary="honest-but-curious",
        min_survivors=None,
        codec=codec,
        length=length,
        graph="full",
    )


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_shamir_split(who, contest):
    calls = {
        "veil": lambda: len(split_secret(SECRET, threshold=51, points=range(1, 101))),
        "flower": lambda: len(peers.flower_split_secret(SECRET, 51, 100)),
    }
    contest("Shamir split, 32 bytes, t = 51, n = 100", who, calls, amount=1, unit="secret",
            check=peers.equals(100), must={"flower": 500}, aim={"flower": 2000})  # fmt: skip


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_shamir_combine(who, contest):
    shares = split_secret(SECRET, threshold=51, points=range(1, 101))
    ours = dict(zip(range(1, 52), shares, strict=False))

    def flower():
        theirs = peers.flower_split_secret(SECRET, 51, 100)[:51]
        return lambda: np.frombuffer(peers.flower_combine_shares(theirs), np.uint8)

    calls = {
        "veil": lambda: np.frombuffer(combine_shares(ours, threshold=51, length=32), np.uint8),
        "flower": peers.lazily(flower),
    }
    contest("Shamir combine, 32 bytes, t = 51, n = 100", who, calls, amount=1, unit="secret",
            check=peers.equals(np.frombuffer(SECRET, np.uint8)),
            must={"flower": 500}, aim={"flower": 2000})  # fmt: skip


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_client_encode_and_mask(who, contest):
    """Encode 1 M floats, add 20 masks; both ends give a vector of ring elements."""
    from veil.random import SecureGenerator

    config = config_of(21)
    values = np.random.default_rng(1).normal(size=SIZE).astype(np.float32)
    rng = SecureGenerator()
    entropy = np.random.default_rng(2)
    masks = MaskKeys([entropy.bytes(32) for _ in range(MASKS)], [1, -1] * (MASKS // 2))

    def flower():
        arithmetic = peers.load("flwr.common.secure_aggregation.ndarrays_arithmetic")
        seeds = [entropy.bytes(32) for _ in range(MASKS)]

        def run():
            vector = [peers.flower_quantize(values, 8.0, 1 << BITS)]
            for at, seed in enumerate(seeds):
                mask = [peers.flower_mask(seed, SIZE)]
                add = arithmetic.parameters_addition if at % 2 else (
                    arithmetic.parameters_subtraction)  # fmt: skip
                vector = add(vector, mask)
            return len(arithmetic.parameters_mod(vector, 1 << 32)[0])

        return run

    def ours():
        message = bytearray(config.masked_bytes)
        mask_and_pack(config, masks, values, None, rng, out=message, threads=1)
        return len(message) * 8 // config.codec.ring_bits

    calls = {
        "veil": ours,
        "flower": peers.lazily(flower),
    }
    contest("client: encode and 20 masks, 1 M values of 22 bits", who, calls, amount=SIZE,
            unit="value", check=peers.equals(SIZE),
            must={"flower": 12}, aim={"flower": 20})  # fmt: skip


@pytest.mark.parametrize("who", ["veil", "flower"])
def bench_server_unmask(who, contest):
    """n = 100, 10 dropped, full graph: 90 self masks, 900 pair masks, 100 secrets recovered.

    Flower's time is scaled from one tenth of the masks and of the secrets, or one pair of runs
    would take minutes; ours runs in full.
    """
    n, dropped, tenth = 100, 10, 10
    config = config_of(n)
    entropy = np.random.default_rng(3)
    count = (n - dropped) * (dropped + 1)
    masks = MaskKeys([entropy.bytes(32) for _ in range(count)], [-1] * count)
    total = np.zeros(SIZE, np.uint32)
    shares = split_secret(SECRET, threshold=51, points=range(1, 101))
    batch = [dict(zip(range(1, 91), shares[:90], strict=True))] * n

    def ours():
        from veil.secagg.shamir import combine_secrets

        combine_secrets(batch, threshold=51, length=32)
        unmask(config, total, masks, threads=1)
        return SIZE

    def flower():
        arithmetic = peers.load("flwr.common.secure_aggregation.ndarrays_arithmetic")
        theirs = peers.flower_split_secret(SECRET, 51, 100)[:51]
        seeds = [entropy.bytes(32) for _ in range(count // tenth)]

        def run():
            for _ in range(n // tenth):
                peers.flower_combine_shares(theirs)
            vector = [np.zeros(SIZE, np.int64)]
            for seed in seeds:
                vector = arithmetic.parameters_subtraction(vector, [peers.flower_mask(seed, SIZE)])
            return len(arithmetic.parameters_mod(vector, 1 << 32)[0])

        return run

    # A ratio below is against a tenth of Flower's work: ten times it is the whole.
    calls = {"veil": ours, "flower": peers.lazily(flower)}
    contest("server: unmask n = 100, 10 dropped, against a tenth of Flower's work", who, calls,
            amount=SIZE, unit="value", check=peers.equals(SIZE),
            must={"flower": 2}, aim={"flower": 4})  # fmt: skip
