"""Subnormals count as zero where time must not tell values apart: the same bits everywhere."""

import numpy as np
import pytest

from veil import FixedPoint, _core, fl
from veil.dp import GaussianMechanism, LaplaceMechanism, Ledger
from veil.fl.privacy.rotation import Rotation
from veil.fl.privacy.rounding import stochastic_points
from veil.noise import DiscreteGaussian
from veil.random import SecureGenerator
from veil.secagg import Config
from veil.secagg.masking import MaskKeys, mask_and_pack

pytestmark = pytest.mark.kernel

SEED = bytes(range(32))
N = 70_001


def subnormals(dtype, n=N):
    """Subnormals of both signs and every magnitude; bfloat16 as its uint16 bits."""
    dtype = np.dtype(dtype)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    fraction = 7 if dtype == np.uint16 else np.finfo(dtype).nmant
    random = np.random.default_rng(0)
    bits = random.integers(1, 1 << fraction, n, dtype=np.uint64) >> random.integers(
        0, fraction, n, dtype=np.uint64
    )
    sign = random.integers(0, 2, n).astype(np.uint64) << np.uint64(8 * dtype.itemsize - 1)
    return (bits | sign).astype(unsigned).view(dtype)


def seeded():
    return SecureGenerator.from_seed(SEED)


def ledger():
    return Ledger(
        epsilon=10.0, delta=1e-6, unit="patient", relation="add-or-remove-one", mode="adaptive"
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bits", [2, 20, 40])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16])
def test_the_codec_gives_the_bits_of_zero(dtype, bits, rounding, threads):
    codec = FixedPoint(clip=1.0, bits=bits, max_summands=9, rounding=rounding)

    def encode(x):
        return codec.encode(x, seeded() if rounding == "stochastic" else None, threads=threads)

    np.testing.assert_array_equal(encode(subnormals(dtype)), encode(np.zeros(N, dtype)))


def test_float16_keeps_its_subnormals_which_are_ordinary_numbers():
    codec = FixedPoint(clip=2.0**-14, bits=20, max_summands=2, rounding="nearest")
    x = subnormals(np.float16)
    np.testing.assert_array_equal(codec.decode_sum(codec.encode(x), 1), x.astype(np.float64))


@pytest.mark.parametrize("weight", [None, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_masked_vector_of_subnormals_is_that_of_zeros(dtype, weight):
    codec = FixedPoint(clip=1.0, bits=20, max_summands=9, rounding="stochastic")
    config = Config.for_cohort(
        3, dropout=0, corrupt=1, adversary="honest-but-curious", min_survivors=None, codec=codec,
        length=N, weight_max=None if weight is None else 10,
    )  # fmt: skip

    def masked(x):
        out = bytearray(config.masked_bytes)
        keys = MaskKeys([SEED], [1])
        mask_and_pack(config, keys, x, weight, seeded(), out=out, threads=2)
        return bytes(out)

    assert masked(subnormals(dtype)) == masked(np.zeros(N, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "mechanism",
    [
        GaussianMechanism(l2_sensitivity=1.0, sigma=20.0),
        LaplaceMechanism(l1_sensitivity=1.0, epsilon=0.01),
    ],
    ids=["gaussian", "laplace"],
)
def test_a_release_of_subnormals_is_that_of_zeros(mechanism, dtype):
    released = [
        mechanism.release(x, ledger=ledger(), rng=seeded()).value
        for x in (subnormals(dtype, 999), np.zeros(999, dtype))
    ]
    np.testing.assert_array_equal(*released)


def test_a_site_s_rounding_takes_subnormals_for_zeros():
    x = subnormals(np.float64)
    np.testing.assert_array_equal(
        stochastic_points(x, seeded()), stochastic_points(np.zeros(N), seeded())
    )
    rotation = Rotation(length=N, seed=SEED)
    assert not rotation.apply(x).any()


def test_nothing_that_a_caller_asks_of_numpy_makes_subnormals_raise():
    x = subnormals(np.float64, 999)
    with np.errstate(all="raise"):
        stochastic_points(x, seeded())
        Rotation(length=999, seed=SEED).apply(x)
        GaussianMechanism(l2_sensitivity=1.0, sigma=20.0).release(x, ledger=ledger())


@pytest.mark.parametrize("threads", [1, 3])
def test_means_keep_subnormals_even_for_a_caller_that_flushes_them(threads):
    updates = [subnormals(np.float64), subnormals(np.float64)[::-1].copy()]
    want = fl.weighted_mean(updates, [1, 3], threads=threads)
    assert want.any()
    with _core.SubnormalsAsZero():
        got = fl.weighted_mean(updates, [1, 3], threads=threads)
    np.testing.assert_array_equal(got.view(np.uint64), want.view(np.uint64))


def test_the_mode_ends_with_its_block_and_not_before():
    least = np.full(3, 5e-324)
    with _core.SubnormalsAsZero():
        assert not (least * 1.0).any()
        with _core.SubnormalsAsZero():
            pass
        assert not (least * 1.0).any()
    assert (least * 1.0).all()
    with pytest.raises(KeyError), _core.SubnormalsAsZero():
        raise KeyError
    assert (least * 1.0).all()
    mode = _core.SubnormalsAsZero()
    with mode, pytest.raises(RuntimeError, match="in use"):
        mode.__enter__()


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_a_codec_on_whose_lattice_narrow_subnormals_matter_is_refused(dtype):
    codec = FixedPoint(clip=2.0**-94, bits=2, max_summands=2, rounding="nearest")
    assert codec.granularity == 2.0**-94
    codec.encode(np.zeros(3, dtype))
    finer = FixedPoint(clip=2.0**-95, bits=2, max_summands=2, rounding="nearest")
    with pytest.raises(ValueError, match=r"granularity of at least 2\^-94 for float32"):
        finer.encode(np.zeros(3, dtype))
    np.testing.assert_array_equal(finer.encode(np.full(3, 2.0**-95)), [1, 1, 1])


def test_a_float32_release_on_such_a_lattice_is_refused_before_anything_is_charged():
    book = ledger()
    mechanism = GaussianMechanism(l2_sensitivity=2.0**-120, sigma=2.0**-115)
    with pytest.raises(ValueError, match="pass float64 or rescale"):
        mechanism.release(np.zeros(9, np.float32), ledger=book)
    assert book.spent().releases == 0
    mechanism.release(np.zeros(9), ledger=book)
    noise = DiscreteGaussian(10.0)
    noise.add_to_lattice(np.zeros(3, np.float32), seeded(), granularity=2.0**-125)
    with pytest.raises(ValueError, match=r"2\^-125 \(float32\)"):
        noise.add_to_lattice(np.zeros(3, np.float32), seeded(), granularity=2.0**-126)
