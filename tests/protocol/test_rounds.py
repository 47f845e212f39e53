"""A round gives the survivors' sum exactly, whoever vanishes and whenever, while it may."""

import itertools

import numpy as np
import pytest

from veil.errors import ProtocolError, TooFewSurvivors

pytestmark = pytest.mark.kernel

ADVERSARIES = ["honest-but-curious", "malicious"]


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_sum_is_exact(make_session, adversary):
    session = make_session(5, adversary=adversary, dropout=1)
    result = session.run()
    assert result.survivors == (10, 11, 12, 13, 14)
    assert result.weight is None
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


@pytest.mark.parametrize("cipher", ["aes256-ctr", "chacha20"])
@pytest.mark.parametrize("bits", [8, 16, 24, 30, 31])
def test_every_ring_width_and_cipher(make_session, make_codec, bits, cipher):
    session = make_session(5, codec=make_codec(5, bits=bits), cipher=cipher, length=100)
    result = session.vanish(2, 12).run()
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


def test_weights_give_the_weighted_mean_and_their_sum(make_session):
    session = make_session(5, weight_max=100_000, length=33)
    result = session.vanish(2, 11).run()
    assert result.weight == sum(session.weights[i] for i in result.survivors)
    granularity = session.config.codec.granularity
    bound = granularity * len(result.survivors) * session.config.weight_max / result.weight
    assert np.abs(result.total - session.expected(result.survivors)).max() <= bound


def test_vectors_may_arrive_one_by_one(make_session):
    session = make_session(5)
    for client, message in session.mask(session.to_relay()).items():
        session.server.add_vector(client, message)
    result = session.server.finish(session.unmask(session.server.collect_vectors({})))
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


def test_a_vector_longer_than_a_block(make_session):
    session = make_session(3, length=(1 << 16) + 5, dropout=0, corrupt=0, weight_max=9)
    result = session.run()
    bound = session.config.codec.granularity * 3 * 9 / result.weight
    assert np.abs(result.total - session.expected(result.survivors)).max() <= bound


def _allowed(session, drops):
    """Whether the thresholds of the session let this pattern of dropouts finish."""
    n1 = len(session.clients) - len(drops.get(0, ()))
    try:
        limits = session.config.thresholds(n1)
    except (TooFewSurvivors, ValueError):
        return False
    n2 = n1 - len(drops.get(1, ()))
    n3 = n2 - len(drops.get(2, ()))
    signers = n3 - len(drops.get(3, ()))
    openers = signers - len(drops.get(4, ()))
    if session.config.adversary != "malicious":
        signers = n3
        openers = n3 - len(drops.get(3, ())) - len(drops.get(4, ()))
    elif signers < max(limits.quorum, limits.t):
        return False
    return n3 >= max(limits.min_survivors, limits.t) and openers >= limits.t


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("n", [3, 4, 5])
def test_every_subset_of_dropouts_at_every_round(make_session, n, adversary):
    outcomes = {True: 0, False: 0}
    for when in itertools.product([0, 1, 2, 3, 4, 99], repeat=n):
        if n == 5 and list(when) != sorted(when):
            continue  # which client vanishes when is symmetric: one of each pattern is enough
        outcomes[_run_pattern(make_session, n, adversary, when)] += 1
    assert outcomes[True] > 0
    assert outcomes[False] > 0


@pytest.mark.long
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_every_subset_of_dropouts_for_six(make_session, adversary):
    for when in itertools.product([0, 1, 2, 3, 4, 99], repeat=6):
        _run_pattern(make_session, 6, adversary, when)


def _run_pattern(make_session, n, adversary, when):
    session = make_session(
        n, adversary=adversary, corrupt=0, dropout=max(1, (n - 1) // 3), min_survivors=2, length=3,
        kem="x25519", policy={"kems": ("x25519",)},
    )  # fmt: skip
    drops: dict[int, list[int]] = {}
    for client, round_number in zip(session.clients, when, strict=True):
        session.vanish(round_number, client)
        drops.setdefault(round_number, []).append(client)
    if not _allowed(session, drops):
        with pytest.raises((ProtocolError, ValueError)):
            session.run()
        return False
    result = session.run()
    gone = {c for r in (0, 1, 2) for c in drops.get(r, ())}
    assert result.survivors == tuple(c for c in session.clients if c not in gone)
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))
    return True


@pytest.mark.parametrize("n", [8, 25])
def test_random_dropouts(make_session, n):
    _random_dropouts(make_session, n, seed=n)


@pytest.mark.long
@pytest.mark.parametrize("n", [60, 120, 200])
def test_random_dropouts_of_many(make_session, n):
    _random_dropouts(make_session, n, seed=n)


def _random_dropouts(make_session, n, seed):
    rng = np.random.default_rng(seed)
    session = make_session(n, dropout=n // 4, corrupt=1, graph="full", length=17)
    for client in rng.choice(list(session.clients), n // 5, replace=False):
        session.vanish(int(rng.integers(1, 5)), int(client))
    result = session.run()
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


@pytest.mark.long
def test_a_sparse_graph_of_a_thousand(make_session):
    session = make_session(1000, dropout=0.05, corrupt=0.05, length=64)
    assert session.config.thresholds(1000).k == 30
    gone = list(session.clients)[::25]
    result = session.vanish(2, *gone).run()
    assert len(result.survivors) == 1000 - len(gone)
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


def test_a_sparse_graph(make_session):
    session = make_session(40, dropout=0.05, corrupt=1, length=8, graph="k-regular")
    assert session.config.thresholds(40).k < 39
    result = session.vanish(2, 12).run()
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))
