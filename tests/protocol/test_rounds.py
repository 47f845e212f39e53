"""A round gives the survivors' sum exactly, whoever vanishes and whenever, while it may."""

import numpy as np
import pytest

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
    session = make_session(5, weight_max=30_000, length=33)
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
