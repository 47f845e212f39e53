"""Subnormals take no longer than other values, where SECURITY.md says constant time.

Coarse: memcheck sees branches and addresses (cpp/tests/ct_*.cpp), but not that a CPU may take a
hundred times as long over one operand as over another.
"""

import statistics
import time

import numpy as np
import pytest

from veil import FixedPoint
from veil.dp import GaussianMechanism, LaplaceMechanism, Ledger
from veil.fl.privacy.rotation import Rotation
from veil.fl.privacy.rounding import stochastic_points
from veil.noise import DiscreteGaussian
from veil.random import SecureGenerator
from veil.secagg import Config
from veil.secagg.masking import MaskKeys, mask_and_pack

pytestmark = pytest.mark.long

N = 1 << 17
PAIRS = 21
SEED = bytes(range(32))
FLOATS = [np.float32, np.float64]


def ordinary(dtype):
    return np.random.default_rng(1).normal(0.0, 0.3, N).astype(dtype)


def subnormal(dtype):
    """Large ones, all bits of the fraction in use."""
    dtype = np.dtype(dtype)
    random = np.random.default_rng(2).integers(1, 1 << np.finfo(dtype).nmant, N, dtype=np.uint64)
    return random.astype(f"u{dtype.itemsize}").view(dtype)


def ratio(call, dtype):
    """Median over pairs of the time for subnormals over that for ordinary values."""
    few, many = ordinary(dtype), subnormal(dtype)
    call(few), call(many)
    begin = time.thread_time()
    call(few)
    repeat = max(1, round(2e-3 / max(time.thread_time() - begin, 1e-6)))

    def seconds(x):
        begin = time.thread_time()
        for _ in range(repeat):
            call(x)
        return time.thread_time() - begin

    pairs = [(seconds(few), seconds(many)) for _ in range(PAIRS)]
    return statistics.median(slow / fast for fast, slow in pairs)


def check(call, dtype):
    found = ratio(call, dtype)
    assert found < 2.0, f"subnormals take {found:.2f} times as long as other values"


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_encoding(dtype, rounding):
    codec = FixedPoint(clip=1.0, bits=20, max_summands=9, rounding=rounding)
    rng = SecureGenerator() if rounding == "stochastic" else None
    out = np.empty(N, np.uint32)
    check(lambda x: codec.encode(x, rng, out=out, threads=1), dtype)


@pytest.mark.parametrize("weight", [None, 3])
@pytest.mark.parametrize("dtype", FLOATS)
def test_encoding_under_masks(dtype, weight):
    codec = FixedPoint(clip=1.0, bits=20, max_summands=9, rounding="nearest")
    config = Config.for_cohort(
        3, dropout=0, corrupt=1, adversary="honest-but-curious", min_survivors=None, codec=codec,
        length=N, weight_max=None if weight is None else 10,
    )  # fmt: skip
    out, keys = bytearray(config.masked_bytes), MaskKeys([SEED], [1])
    check(lambda x: mask_and_pack(config, keys, x, weight, None, out=out, threads=1), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "mechanism",
    [
        GaussianMechanism(l2_sensitivity=1.0, sigma=20.0),
        LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.1),
    ],
    ids=["gaussian", "laplace"],
)
def test_a_release(mechanism, dtype):
    out = np.empty(N, dtype)

    def release(x):
        book = Ledger(
            epsilon=10.0, delta=1e-6, unit="patient", relation="add-or-remove-one", mode="adaptive"
        )
        mechanism.release(x, ledger=book, out=out)

    check(release, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_noise_on_a_lattice(dtype):
    noise, rng, out = DiscreteGaussian(100.0), SecureGenerator(), np.empty(N, dtype)
    check(lambda x: noise.add_to_lattice(x, rng, granularity=0.25, out=out, threads=1), dtype)


def test_a_site_s_rounding():
    rng = SecureGenerator()
    check(lambda x: stochastic_points(x, rng), np.float64)


def test_a_site_s_rotation():
    rotation = Rotation(length=N, seed=SEED)
    check(lambda x: rotation.apply(x, threads=1), np.float64)


@pytest.mark.parametrize("draw", ["normal", "laplace"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_draws_whose_scale_makes_them_subnormal(draw, dtype):
    rng, out = SecureGenerator(), np.empty(N, dtype)
    tiny = float(np.finfo(dtype).tiny)

    def fill(x):
        scale = tiny if abs(x[0]) < tiny else 1.0
        getattr(rng, draw)(N, dtype=dtype, scale=scale, out=out, threads=1)

    check(fill, dtype)
