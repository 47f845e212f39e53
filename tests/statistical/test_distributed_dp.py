"""The noise in sums of sites: what the event says, whoever drops out and whoever colludes.

The values of a sum are independent, so that a round of many values is as good as many rounds; the
long test runs 2,000 rounds of the protocol. Each test is shown to fail on a broken mechanism.
"""

import dataclasses
import hashlib
import math

import numpy as np
import pytest
from scipy import stats

from veil.fl import CentralDP, DistributedDP, LogisticRegression, Site, SiteRound
from veil.fl.layout import Layout
from veil.fl.privacy import central as central_mechanism
from veil.random import SecureGenerator

VALUES = 5_000
ROUNDS = 10
N = VALUES * ROUNDS
SITES = "abcd"
CORRUPT = 1
PLAN = DistributedDP(
    noise_multiplier=1.3,
    max_norm=0.4,
    unit="record",
    rounds=ROUNDS,
    size=VALUES,
    sites=len(SITES),
    min_survivors=3,
    max_corrupt=CORRUPT,
    sampling_probability=0.5,
    population=8,
)


def stream(*name):
    return SecureGenerator.from_seed(hashlib.sha256(repr(name).encode()).digest())


class Flat(LogisticRegression):
    """A task whose gradients are zero: a sum holds the noise alone."""

    def record_gradients(self, params, x, y):
        return np.zeros((len(x), VALUES))


TASK = Flat(features=VALUES - 1, learning_rate=1.0, epochs=1, batch_size=None)
LAYOUT = Layout.of(TASK.init(None))


def points(plan, site, number, *, size=VALUES):
    """What a site masks, in lattice units."""
    x = np.zeros((2, 1))
    data = Site(id=site, x=x, y=np.array([0, 1]), x_test=x, y_test=np.array([0, 1]), patients=None)
    layout = Layout.of({"w": np.zeros(size)})
    work = SiteRound(
        _task(size), data, layout, np.zeros(size), {}, {}, {}, stream(site, number, size)
    )
    return plan.contribute(None, work).vector


def _task(size):
    class Zero(Flat):
        def record_gradients(self, params, x, y):
            return np.zeros((len(x), size))

    return Zero(features=size, learning_rate=1.0, epochs=1, batch_size=None)


def opened(plan, number, *, gone, silent=()):
    """A round of the protocol: the sum as the server opens it, in lattice units, and the shares."""
    sums = plan.secure_sum(
        adversary="honest-but-curious", dropouts=lambda _: dict.fromkeys(gone, 2)
    )
    layout = Layout.of({"w": np.zeros(plan.size)})
    sums.open(plan.upload_layout(layout), list(SITES), round=number, context=b"model")
    sent = {site: points(plan, site, number, size=plan.size) for site in SITES}
    for site in silent:
        sent[site][:] = 0
    for site, vector in sent.items():
        sums.add(site, vector, None)
    total = sums.close()
    assert set(total.survivors) == set(SITES) - set(gone)
    return total.total / plan.shares.granularity, sent


def noise_of_sums(plan, *, gone, silent=(), rounds=ROUNDS):
    """The noise of sums, over the standard deviation that its event and the survivors say."""
    survivors = len(SITES) - len(gone)
    shares = plan.shares
    event = math.hypot(plan.event().sigma * shares.sensitivity, math.sqrt(3.5467))
    expected = math.sqrt(survivors / plan.honest) * event
    sums = [opened(plan, number, gone=gone, silent=silent)[0] for number in range(1, rounds + 1)]
    return np.concatenate(sums) / expected


ALLOWED = [(), ("c",)]


@pytest.mark.parametrize("gone", ALLOWED, ids=["everyone", "one dropped"])
def test_the_noise_of_a_sum_is_the_events(gone, checks):
    values = noise_of_sums(PLAN, gone=gone)
    checks.accepts(checks.kolmogorov(values, stats.norm.cdf), N)
    checks.accepts(checks.power(values, 2, 1.0, 3.0), N)


@pytest.mark.parametrize("gone", ALLOWED, ids=["everyone", "one dropped"])
def test_a_site_without_its_noise_is_seen(gone, checks):
    values = noise_of_sums(PLAN, gone=gone, silent=("a",))
    checks.rejects(checks.kolmogorov(values, stats.norm.cdf), N)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("gone", ALLOWED, ids=["everyone", "one dropped"])
def test_the_noise_of_2000_rounds_is_the_events(gone, checks):
    plan = dataclasses.replace(PLAN, size=25, rounds=2000)
    values = noise_of_sums(plan, gone=gone, rounds=2000)
    checks.accepts(checks.kolmogorov(values, stats.norm.cdf), values.size)
    checks.accepts(checks.power(values, 2, 1.0, 3.0), values.size)


def multiplier_is_enough(plan, gone, checks):
    """P-value of "what the honest leave has noise multiplier z": small if it has less.

    The server opens the fewest survivors allowed; the colluder is one of them and takes what it
    sent out of the sum.
    """
    left = []
    for number in range(1, ROUNDS + 1):
        total, sent = opened(plan, number, gone=gone)
        left.append(total - sent["a"])
    values = np.concatenate(left) / (plan.noise_multiplier * plan.shares.sensitivity)
    return checks.power(values, 2, max(1.0, np.mean(values**2)), 3.0)


def test_server_and_colluders_together_face_the_events_noise(checks):
    checks.accepts(multiplier_is_enough(PLAN, ("c",), checks), N)


def test_shares_that_count_on_colluders_leave_too_little(checks):
    """The plan that trusts all survivors: one of them colludes, and the rest is too quiet."""
    trusting = dataclasses.replace(PLAN, max_corrupt=0)
    checks.rejects(multiplier_is_enough(trusting, ("c",), checks), N)


def test_the_variance_is_s_over_m_times_that_of_a_trusted_server():
    """What it costs to trust nobody, within 5 %: with N values the ratio is known to 0.9 %."""
    central = CentralDP(
        noise_multiplier=PLAN.noise_multiplier,
        max_grad_norm=PLAN.max_norm,
        sampling_probability=0.5,
        population=8,
        rounds=1,
        unit="record",
    )
    plan = central._plan(VALUES)
    one = [
        central_mechanism._NOISE.add(np.zeros(VALUES), plan, stream("central", i))
        for i in range(ROUNDS)
    ]
    trusted = np.var(np.concatenate(one))
    for gone in ALLOWED:
        sums = [opened(PLAN, number, gone=gone)[0] for number in range(1, ROUNDS + 1)]
        measured = np.var(np.concatenate(sums)) * PLAN.shares.granularity**2
        survivors = len(SITES) - len(gone)
        assert measured / trusted == pytest.approx(survivors / PLAN.honest, rel=0.05)


def test_skellam_shares_add_up_to_the_events_variance(checks):
    plan = DistributedDP(
        noise_multiplier=1.3, max_norm=0.4, unit="site", rounds=1, size=VALUES, sites=4,
        min_survivors=3, max_corrupt=CORRUPT, sampling_probability=None, population=None,
        distribution="skellam",
    )  # fmt: skip
    draws = [plan.share.sampler().sample(VALUES, stream("skellam", i)) for i in range(2 * ROUNDS)]
    values = np.concatenate([a + b for a, b in zip(draws[::2], draws[1::2], strict=True)])
    mu = plan.event().sigma ** 2  # of the two honest shares
    checks.accepts(checks.power(values, 2, mu, mu + 3 * mu**2), N)
    checks.rejects(checks.power(values, 2, 0.9 * mu, 0.9 * mu + 3 * (0.9 * mu) ** 2), N)
