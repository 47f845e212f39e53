"""Cryptographic float noise beside the peers' fast and secure generators."""

import numpy as np
import pytest

import peers
from veil.random import SecureGenerator

N = 1_000_000


def numpy_normal(dtype):
    generator = np.random.Generator(np.random.PCG64())
    out = np.empty(N, dtype)
    return lambda: generator.standard_normal(N, dtype=dtype, out=out)


def torch_double():
    """`Tensor.normal_` into one float64 tensor."""

    def make():
        torch = peers.torch()
        tensor = torch.empty(N, dtype=torch.float64)
        return lambda: tensor.normal_().numpy()

    return peers.lazily(make)


@pytest.mark.parametrize("who", ["veil", "torch", "numpy", "opacus"])
def bench_normal_float32(who, contest):
    rng, out = SecureGenerator(), np.empty(N, np.float32)
    contest(
        "normal, 1 M float32",
        who,
        {
            "veil": lambda: rng.normal(N, dtype=np.float32, scale=1.0, out=out, threads=1),
            "torch": peers.torch_normal(N),
            "numpy": numpy_normal(np.float32),
            "opacus": peers.opacus_secure_noise(N),
        },
        amount=N,
        unit="values",
        check=peers.gaussian(1.0),
        must={"torch": 1.5, "opacus": 10},
        aim={"torch": 3, "opacus": 20},
    )


@pytest.mark.parametrize("who", ["veil", "torch", "numpy"])
def bench_normal_float64(who, contest):
    rng, out = SecureGenerator(), np.empty(N)
    contest(
        "normal, 1 M float64",
        who,
        {
            "veil": lambda: rng.normal(N, dtype=np.float64, scale=1.0, out=out, threads=1),
            "torch": torch_double(),
            "numpy": numpy_normal(np.float64),
        },
        amount=N,
        unit="values",
        check=peers.gaussian(1.0),
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_bernoulli(who, contest):
    rng, out, q = SecureGenerator(), np.empty(N, np.bool_), 0.01
    generator = np.random.Generator(np.random.PCG64())

    def check(got):
        assert abs(got.mean() - q) < 6 * np.sqrt(q / N)

    contest(
        "Poisson sample, 1 M coins",
        who,
        {
            "veil": lambda: rng.bernoulli(q, N, out=out, threads=1),
            "numpy": lambda: generator.random(N) < q,
        },
        amount=N,
        unit="values",
        check=check,
    )


@pytest.mark.parametrize("who", ["veil", "numpy"])
def bench_permutation(who, contest):
    rng, generator = SecureGenerator(), np.random.Generator(np.random.PCG64())

    def check(got):
        assert np.array_equal(np.sort(got), np.arange(N))

    contest(
        "permutation of 1 M",
        who,
        {"veil": lambda: rng.permutation(N), "numpy": lambda: generator.permutation(N)},
        amount=N,
        unit="values",
        check=check,
    )
