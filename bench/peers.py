"""The peers, each behind one function; a peer that is not installed skips the calling test.

Every function does the peer's own work and nothing else, on data prepared by the caller, so that it
can be timed as it stands; its docstring says which function of theirs runs. What must be prepared
first is built by `lazily` on the first call, so that naming a missing peer skips nothing else.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest


@functools.cache
def load(name: str) -> Any:
    """Import a peer's module once, or skip with the line that installs it."""
    root = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{root} is not installed ({error}); run: pip install 'veil[bench]'")


def lazily(make: Callable[[], Callable[[], Any]]) -> Callable[[], Any]:
    """A call whose peer is imported and whose inputs are built the first time it runs."""
    made = functools.cache(make)
    return lambda: made()()


class Wire(NamedTuple):
    """Bytes that one party sends and receives."""

    sent: int
    received: int


def equals(want: Any, *, rtol: float = 0.0, atol: float = 0.0) -> Callable[[Any], None]:
    """A check that a contender's result is `want`, exactly unless a tolerance is given."""

    def check(got: Any) -> None:
        if rtol == 0.0 and atol == 0.0:
            np.testing.assert_array_equal(np.asarray(got), want)
        else:
            np.testing.assert_allclose(np.asarray(got), want, rtol=rtol, atol=atol)

    return check


def gaussian(sigma: float, *, mean: float = 0.0) -> Callable[[Any], None]:
    """A check that a sample has the mean and deviation of a Gaussian, within 6 standard errors."""

    def check(got: Any) -> None:
        sample = np.asarray(got, dtype=np.float64).ravel()
        error = 6.0 * sigma / np.sqrt(sample.size)
        assert abs(sample.mean() - mean) < error, (sample.mean(), mean, error)
        # Var(s) is about sigma^2 / (2 n) for a Gaussian sample.
        assert abs(sample.std() - sigma) < error, (sample.std(), sigma, error)

    return check


def openssl_keystream(key: bytes, out: np.ndarray, *, cipher: str = "aes256-ctr") -> np.ndarray:
    """Fill `out` with EVP keystream from a zero counter block, in 16 KiB pieces."""
    ciphers = load("cryptography.hazmat.primitives.ciphers")
    if cipher == "chacha20":
        context = ciphers.Cipher(ciphers.algorithms.ChaCha20(key, bytes(16)), None)
    else:
        modes = load("cryptography.hazmat.primitives.ciphers.modes")
        context = ciphers.Cipher(ciphers.algorithms.AES(key), modes.CTR(bytes(16)))
    encryptor = context.encryptor()
    view = memoryview(out).cast("B")
    zeros = bytes(1 << 14)
    for begin in range(0, len(view), len(zeros)):
        piece = view[begin : begin + len(zeros)]
        encryptor.update_into(zeros[: len(piece)], piece)
    return out


def flower_mask(seed: bytes, count: int, modulus: int = 1 << 32) -> np.ndarray:
    """`pseudo_rand_gen` of SecAgg+: one pairwise mask (Mersenne Twister, 32-bit seed)."""
    utils = load("flwr.common.secure_aggregation.secaggplus_utils")
    return utils.pseudo_rand_gen(seed, modulus, [(count,)])[0]


def flower_quantize(values: np.ndarray, clip: float, levels: int) -> np.ndarray:
    """`quantize` of SecAgg+: clip, scale and stochastic rounding to int32."""
    return load("flwr.common.secure_aggregation.quantization").quantize([values], clip, levels)[0]


def flower_records(updates: list[np.ndarray], weights: list[float]) -> list[Any]:
    """Build, outside the timed part, what `flower_aggregate_records` takes."""
    app = load("flwr.app")
    return [
        app.RecordDict(
            {
                "arrays": app.ArrayRecord([update]),
                "metrics": app.MetricRecord({"num-examples": float(weight)}),
            }
        )
        for update, weight in zip(updates, weights, strict=True)
    ]


def flower_aggregate_records(records: list[Any]) -> np.ndarray:
    """`aggregate_arrayrecords`, which every strategy of the Message API calls."""
    utils = load("flwr.serverapp.strategy.strategy_utils")
    aggregated = utils.aggregate_arrayrecords(records, "num-examples")
    return next(iter(aggregated.values())).numpy()


def flower_aggregate(updates: list[np.ndarray], counts: list[int]) -> np.ndarray:
    """`aggregate` of the older NumPy strategies."""
    aggregate = load("flwr.server.strategy.aggregate").aggregate
    return aggregate([([update], n) for update, n in zip(updates, counts, strict=True)])[0]


def flower_split_secret(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """`create_shares` of SecAgg+ (PyCryptodome)."""
    shamir = load("flwr.common.secure_aggregation.crypto.shamir")
    return shamir.create_shares(secret, threshold, count)


def flower_combine_shares(shares: list[bytes]) -> bytes:
    """`combine_shares` of SecAgg+ (PyCryptodome)."""
    return load("flwr.common.secure_aggregation.crypto.shamir").combine_shares(shares)


def torch(threads: int = 1) -> Any:
    """The torch module, set to `threads` threads."""
    module = load("torch")
    module.set_num_threads(threads)
    return module


def torch_normal(count: int) -> Callable[[], np.ndarray]:
    """`Tensor.normal_` into one float32 tensor: not cryptographic."""

    def make():
        tensor = torch().empty(count)
        return lambda: tensor.normal_().numpy()

    return lazily(make)


def opacus_secure_noise(count: int, sigma: float = 1.0) -> Callable[[], np.ndarray]:
    """Opacus' noise in secure mode: four draws and a sum, from the operating system's entropy.

    Opacus expects a generator from torchcsprng, which has no build for current torch; torch's own
    MT19937 stands in, which is faster, so the comparison errs in the peer's favour.
    """

    def make():
        reference = torch().empty(count)
        generate = load("opacus.optimizers.optimizer")._generate_noise
        generator = torch().Generator()
        generator.seed()
        return lambda: generate(sigma, reference, generator=generator, secure_mode=True).numpy()

    return lazily(make)


def opendp_discrete_gaussian(count: int, sigma: float) -> Callable[[], np.ndarray]:
    """OpenDP's exact discrete Gaussian added to a vector of integer zeros."""
    return _opendp(count, "make_gaussian", "l2_distance", float, sigma)


def opendp_discrete_laplace(count: int, scale: float) -> Callable[[], np.ndarray]:
    """OpenDP's exact discrete Laplace added to a vector of integer zeros."""
    return _opendp(count, "make_laplace", "l1_distance", int, scale)


def opendp_float_gaussian(count: int, sigma: float) -> Callable[[], np.ndarray]:
    """OpenDP's lattice-safe Gaussian added to a vector of float zeros."""
    return _opendp(count, "make_gaussian", "l2_distance", float, sigma, atom=float)


def _opendp(count, maker, metric, distance, scale, atom=int) -> Callable[[], np.ndarray]:
    def make():
        dp = load("opendp.prelude")
        dp.enable_features("contrib")
        extra = {"nan": False} if atom is float else {}
        domain = dp.vector_domain(dp.atom_domain(T=atom, **extra))
        measurement = getattr(dp.m, maker)(domain, getattr(dp, metric)(T=distance), scale=scale)
        zeros = [atom(0)] * count
        return lambda: np.asarray(measurement(zeros))

    return lazily(make)
