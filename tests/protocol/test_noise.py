"""Sessions whose vectors carry noise: what is agreed on, what a client masks, room in the ring."""

import dataclasses
import itertools
import json

import mpmath
import numpy as np
import pytest
from reference import headroom_by_one

from veil.random import SecureGenerator
from veil.secagg import Config, NoiseShare

SHARE = NoiseShare(distribution="discrete-gaussian", sigma=50.0)
N, LENGTH = 5, 300


@pytest.fixture
def noisy(make_session):
    """A session whose clients send lattice points with noise in them, and the points."""
    session = make_session(N, length=LENGTH)
    codec = dataclasses.replace(session.config.codec, noise=SHARE.headroom(N))
    config = dataclasses.replace(session.config, codec=codec, noise=SHARE)
    again = make_session(N, length=LENGTH, config=config)
    most = (1 << (codec.bits - 1)) - 1
    rng = SecureGenerator.from_seed(bytes(32))
    for client in again.vectors:
        extremes = np.resize(np.array([most, -most, 0], np.int64), LENGTH)
        again.vectors[client] = extremes + SHARE.sampler().sample(LENGTH, rng)
    return again


def test_the_sum_of_points_and_noise_is_exact_also_at_the_ends_of_the_range(noisy):
    total = noisy.run()
    expected = sum(noisy.vectors.values()) * noisy.config.codec.granularity
    np.testing.assert_array_equal(total.total, expected)
    assert total.weight is None


def test_the_ring_has_room_for_values_and_noise():
    for n in (3, 100):
        for share in (SHARE, NoiseShare(distribution="skellam", sigma=3.0)):
            assert share.headroom(n) >= 12 * np.sqrt(n) * share.sigma


@pytest.mark.parametrize(("n", "sigma"), [(3, 0.5), (10, 1.0), (10, 2.0), (100, 3.0)])
def test_a_narrow_skellam_sum_wraps_as_seldom_as_is_said(n, sigma):
    """Its tails are heavier than a Gaussian's: 12 deviations of 3 sites leave 1.6e-14."""
    most = NoiseShare(distribution="skellam", sigma=sigma).headroom(n)
    with mpmath.workdps(50):
        v = mpmath.mpf(n * sigma**2)
        beyond = 2 * sum(mpmath.besseli(k, v) for k in range(most + 1, most + 200))
        assert mpmath.exp(-v) * beyond < mpmath.mpf(2) ** -100


@pytest.mark.parametrize("distribution", ["skellam", "discrete-gaussian"])
def test_the_room_is_the_least_that_the_bound_allows(distribution):
    """That of the search by one, from the narrowest share to the widest."""
    for n, sigma in itertools.product((3, 4, 10, 99, 1000, 65535), np.geomspace(2.67, 4096, 40)):
        for width in (sigma, sigma / 5.34 if distribution == "skellam" else sigma):
            share = NoiseShare(distribution=distribution, sigma=float(width))
            assert share.headroom(n) == headroom_by_one(share, n)


def test_a_share_wider_than_its_sampler_is_refused():
    for distribution, most in (("skellam", 2.0**12), ("discrete-gaussian", 2.0**32)):
        NoiseShare(distribution=distribution, sigma=most).sampler()
        with pytest.raises(ValueError, match=r"sigma: expected at most \d+ lattice units"):
            NoiseShare(distribution=distribution, sigma=most * (1 + 1e-15))
    for sigma in ("5", None, True, [5.0]):
        with pytest.raises(TypeError, match="sigma: expected a number"):
            NoiseShare(distribution="skellam", sigma=sigma)


def test_floats_do_not_fit_a_session_with_noise(noisy):
    """A vector that was not given its noise is refused before any mask is used."""
    replies = noisy.to_relay()
    client = next(iter(noisy.clients))
    with pytest.raises(TypeError, match="lattice points with this client's noise"):
        noisy.clients[client].mask(replies[client], np.zeros(LENGTH), context=b"model")
    noisy.clients[client].mask(replies[client], noisy.vectors[client], context=b"model")


def test_points_do_not_fit_a_session_without_noise(make_session):
    session = make_session(N, length=LENGTH)
    replies = session.to_relay()
    client = next(iter(session.clients))
    with pytest.raises(TypeError, match="expected a float32 or float64 array, got int64"):
        session.clients[client].mask(replies[client], np.zeros(LENGTH, np.int64), context=b"m")


def test_noise_is_part_of_what_all_agree_on(noisy):
    config = noisy.config
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    other = dataclasses.replace(config, noise=dataclasses.replace(SHARE, sigma=49.0))
    none = dataclasses.replace(config, noise=None)
    assert len({config.digest(), other.digest(), none.digest()}) == 3


def test_a_codec_without_room_and_weights_are_refused(noisy):
    config = noisy.config
    with pytest.raises(ValueError, match="codec: expected noise of at least"):
        dataclasses.replace(config, codec=dataclasses.replace(config.codec, noise=10))
    with pytest.raises(ValueError, match="weight_max: expected None with noise"):
        dataclasses.replace(config, weight_max=7)


@pytest.mark.parametrize("sigma", [2.66, 0.0, -1.0, float("nan"), float("inf")])
def test_a_share_that_is_too_small_is_refused(sigma):
    with pytest.raises(ValueError, match=r"sigma: expected at least 2\.67 lattice units"):
        NoiseShare(distribution="discrete-gaussian", sigma=sigma)


def test_unknown_noise_is_refused():
    with pytest.raises(ValueError, match="distribution: expected"):
        NoiseShare(distribution="uniform", sigma=5.0)
    with pytest.raises(ValueError, match="missing or unknown"):
        NoiseShare.from_dict({"sigma": 5.0})
