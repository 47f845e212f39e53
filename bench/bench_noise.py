"""Exact integer noise beside OpenDP's exact samplers."""

from fractions import Fraction

import numpy as np
import pytest

import peers
from veil.noise import DiscreteGaussian, DiscreteLaplace, RoundedGaussian, Skellam, _masses
from veil.noise._table import build
from veil.random import SecureGenerator

N = 100_000


def of_variance(variance):
    """A check of a sample's mean and variance, within 6 standard errors of a Laplace sample."""

    def check(got):
        sample = np.asarray(got, dtype=np.float64)
        assert abs(sample.mean()) < 6 * np.sqrt(variance / sample.size)
        # The relative variance of a variance is 5 / n for Laplace samples, 2 / n for Gaussian ones.
        assert abs(sample.var() / variance - 1) < 6 * np.sqrt(5 / sample.size)

    return check


def draws(noise):
    rng, out = SecureGenerator(), np.empty(N, np.int64)
    return lambda: noise.sample(N, rng, out=out, threads=1)


@pytest.mark.parametrize("who", ["veil", "opendp"])
@pytest.mark.parametrize(
    ("sigma", "must", "aim"),
    [(0.5, 1000, 2000), (100.0, 1500, 4000), (2.0**16, 1000, 2000), (2.0**24, 1000, 2000)],
)
def bench_discrete_gaussian(who, sigma, must, aim, contest):
    noise = DiscreteGaussian(sigma)
    contest(
        f"discrete Gaussian, sigma = {sigma:g}, 100 k values",
        who,
        {"veil": draws(noise), "opendp": peers.opendp_discrete_gaussian(N, sigma)},
        amount=N,
        unit="values",
        check=of_variance(noise.variance),
        must={"opendp": must},
        aim={"opendp": aim},
    )


@pytest.mark.parametrize("who", ["veil", "opendp"])
@pytest.mark.parametrize("scale", [100.0, 2.0**20])
def bench_discrete_laplace(who, scale, contest):
    noise = DiscreteLaplace(scale)
    contest(
        f"discrete Laplace, scale = {scale:g}, 100 k values",
        who,
        {"veil": draws(noise), "opendp": peers.opendp_discrete_laplace(N, scale)},
        amount=N,
        unit="values",
        check=of_variance(noise.variance),
        must={"opendp": 1000} if scale == 100.0 else None,
    )


@pytest.mark.parametrize("noise", [RoundedGaussian(100.0), Skellam(1e4), Skellam(2.0**24)], ids=str)
def bench_without_a_peer(noise, contest):
    contest(
        f"{noise}, 100 k values",
        "veil",
        {"veil": draws(noise)},
        amount=N,
        unit="values",
        check=of_variance(noise.variance),
    )


@pytest.mark.parametrize(
    "levels",
    [
        (_masses.discrete_gaussian, Fraction(100**2)),
        (_masses.discrete_gaussian, Fraction(660**2)),
        (_masses.rounded_gaussian, Fraction(10**2)),
        (_masses.discrete_laplace, Fraction(100)),
        (_masses.skellam, Fraction(1 << 20)),
    ],
    ids=lambda level: f"{level[0].__name__}-{level[1]}",
)
def bench_first_use(levels, contest):
    """Tables and their certificate, not from the cache: below 50 ms."""
    masses, parameter = levels

    def check(table):
        assert table.distance < 2.0**-100

    contest(
        f"table of {masses.__name__}({parameter})",
        "veil",
        {"veil": lambda: build.__wrapped__(masses, parameter)},
        amount=1,
        unit="tables",
        check=check,
    )
