"""SecureGenerator: its key chain, its contract, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from veil.random import SecureGenerator

pytestmark = pytest.mark.kernel

SEED = bytes(range(32))
DRAWS = {
    "normal32": lambda rng, n, **kw: rng.normal(n, dtype=np.float32, scale=1.0, **kw),
    "normal64": lambda rng, n, **kw: rng.normal(n, dtype=np.float64, scale=1.0, **kw),
    "laplace32": lambda rng, n, **kw: rng.laplace(n, dtype=np.float32, scale=1.0, **kw),
    "laplace64": lambda rng, n, **kw: rng.laplace(n, dtype=np.float64, scale=1.0, **kw),
    "uniform32": lambda rng, n, **kw: rng.uniform(n, dtype=np.float32, **kw),
    "uniform64": lambda rng, n, **kw: rng.uniform(n, dtype=np.float64, **kw),
    "integers": lambda rng, n, **kw: rng.integers(1000, n, **kw),
    "bernoulli": lambda rng, n, **kw: rng.bernoulli(0.25, n, **kw),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


def seeded():
    return SecureGenerator.from_seed(SEED)


def keystream(key, n):
    """AES-256-CTR from a zero counter block, by OpenSSL."""
    return Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(n))


def test_every_draw_has_a_key_of_its_own_and_replaces_the_generators():
    rng, key = seeded(), SEED
    for n in (1, 32, 33, 1000, 0, 70_000):
        block = keystream(key, 64)
        key = block[:32]
        assert rng.bytes(n) == keystream(block[32:], n)


def test_uniform_is_the_top_bits_of_a_word():
    words = np.frombuffer(seeded().bytes(8 * 100), np.uint64)
    np.testing.assert_array_equal(
        seeded().uniform(100, dtype=np.float64), np.ldexp((words >> 11).astype(float), -53)
    )
    words = np.frombuffer(seeded().bytes(4 * 100), np.uint32)
    np.testing.assert_array_equal(
        seeded().uniform(100, dtype=np.float32),
        np.ldexp((words >> 8).astype(np.float32), -24),
    )


@pytest.mark.parametrize("high", [1, 2, 3, 1000, (1 << 32) - 5, (1 << 63) - 1, 1 << 63])
def test_integers_are_the_wide_product_of_128_bits(high):
    data = seeded().bytes(16 * 50)
    wide = [int.from_bytes(data[16 * i : 16 * i + 16], "little") for i in range(50)]
    assert seeded().integers(high, 50).tolist() == [w * high >> 128 for w in wide]


@pytest.mark.parametrize("q", [0.0, 2.0**-64, 0.1, 0.5, 1.0 - 2.0**-53, 1.0])
def test_bernoulli_is_a_64_bit_comparison(q):
    words = np.frombuffer(seeded().bytes(8 * 1000), np.uint64).tolist()
    threshold = -(-int(q * 2**117) >> 53)  # ceil(q 2^64), exact: q has at most 117 binary places
    assert seeded().bernoulli(q, 1000).tolist() == [word < threshold for word in words]


def test_permutation_is_fisher_yates_with_the_wide_product():
    data = seeded().bytes(16 * 1500)
    order = list(range(1500))
    for step, end in enumerate(range(1500, 1, -1)):
        other = int.from_bytes(data[16 * step : 16 * step + 16], "little") * end >> 128
        order[end - 1], order[other] = order[other], order[end - 1]
    assert seeded().permutation(1500).tolist() == order


@every_draw
def test_bits_do_not_depend_on_threads(draw):
    want = draw(seeded(), 300_001, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(draw(seeded(), 300_001, threads=threads), want)


@every_draw
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 31 * 32, 2049])
def test_a_shorter_draw_is_a_prefix(draw, n):
    np.testing.assert_array_equal(draw(seeded(), n), draw(seeded(), 4096)[:n])


@every_draw
def test_shape_and_out(draw):
    flat = draw(seeded(), 12)
    np.testing.assert_array_equal(draw(seeded(), (3, 4)), flat.reshape(3, 4))
    out = np.empty((2, 6), flat.dtype)
    assert draw(seeded(), (2, 6), out=out) is out
    np.testing.assert_array_equal(out.ravel(), flat)


@every_draw
def test_a_tensor_receives_the_same_values(draw):
    torch = pytest.importorskip("torch")
    want = draw(seeded(), 12)
    out = torch.from_numpy(np.empty_like(want))
    assert draw(seeded(), 12, out=out) is out
    np.testing.assert_array_equal(out.numpy(), want)


@every_draw
def test_out_must_fit(draw):
    good = draw(seeded(), 4)
    wrong = np.int8 if good.dtype != np.int8 else np.int16
    with pytest.raises(TypeError, match="out: expected dtype"):
        draw(seeded(), 4, out=np.empty(4, wrong))
    with pytest.raises(ValueError, match="out: expected shape"):
        draw(seeded(), 4, out=np.empty(5, good.dtype))
    with pytest.raises(ValueError, match="contiguous"):
        draw(seeded(), 4, out=np.empty(8, good.dtype)[::2])
    good.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        draw(seeded(), 4, out=good)


def test_scale_multiplies():
    unit = seeded().normal(100, dtype=np.float64, scale=1.0)
    np.testing.assert_array_equal(seeded().normal(100, dtype=np.float64, scale=0.25), unit / 4)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e38])
@pytest.mark.parametrize("name", ["normal", "laplace"])
def test_scale_must_be_positive_and_in_range(name, scale):
    with pytest.raises(ValueError, match="scale: expected a number in"):
        getattr(seeded(), name)(3, dtype=np.float32, scale=scale)


def test_dtype_must_be_a_float():
    for dtype in (np.float16, np.int32, ">f4"):
        with pytest.raises(TypeError, match="dtype: expected float32 or float64"):
            seeded().uniform(3, dtype=dtype)


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_q_must_be_a_probability(q):
    with pytest.raises(ValueError, match="q: expected a probability"):
        seeded().bernoulli(q, 3)


@pytest.mark.parametrize("high", [0, -1, (1 << 63) + 1])
def test_high_must_be_in_range(high):
    with pytest.raises(ValueError, match="high: expected at"):
        seeded().integers(high, 3)


def test_sizes_must_not_be_negative():
    for call in (seeded().bytes, seeded().permutation):
        with pytest.raises(ValueError, match="n: expected at least 0"):
            call(-1)
    with pytest.raises(ValueError, match="shape: expected at least 0"):
        seeded().integers(5, (2, -1))


def test_a_draw_beyond_the_keystream_limit_is_refused():
    with pytest.raises(ValueError, match=r"at most 2\^36 random bytes, got 68719476737"):
        seeded().bytes((1 << 36) + 1)


def test_the_seed_is_32_bytes():
    for seed in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="seed: expected 32 bytes, got"):
            SecureGenerator.from_seed(seed)
    with pytest.raises(TypeError, match="seed: expected bytes"):
        SecureGenerator.from_seed(7)


def test_only_a_seeded_generator_says_so():
    assert seeded().seeded is True
    assert SecureGenerator().seeded is False


def test_entropy_differs_between_generators():
    assert SecureGenerator().bytes(32) != SecureGenerator().bytes(32)


def test_repr_shows_no_key():
    text = repr(seeded())
    assert text == "<veil.random.SecureGenerator seeded=True key=(redacted)>"


def test_pickle_and_copy_are_refused():
    for rng in (seeded(), SecureGenerator()):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(rng)
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.copy(rng)
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.deepcopy(rng)
