"""What the server refuses: one bad client loses its own place in the round, nobody else's."""

import numpy as np
import pytest

from veil import FixedPoint
from veil.errors import (
    BadShares,
    ContextMismatch,
    MalformedMessage,
    ProtocolError,
    TooFewSurvivors,
)
from veil.random import SecureGenerator
from veil.secagg import Client
from veil.secagg.messages import Unmask


def finish_without(session, gone):
    result = session.run()
    assert gone not in result.survivors
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


@pytest.mark.parametrize("damage", [lambda m: b"", lambda m: m[:-1], lambda m: m + b"\0",
                                    lambda m: b"\0" * len(m)])  # fmt: skip
def test_damaged_bytes_cost_the_sender_its_round(make_session, damage):
    session = make_session(5)
    relay = session.to_relay()
    masked = session.mask(relay)
    masked[11] = damage(masked[11])
    result = session.server.finish(session.unmask(session.server.collect_vectors(masked)))
    assert result.survivors == (10, 12, 13, 14)
    assert isinstance(session.server.refused[11], MalformedMessage)
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


def test_a_damaged_advert_is_left_out(make_session):
    session = make_session(5)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = adverts[11][:-3]
    assert sorted(session.server.collect_keys(adverts)) == [10, 12, 13, 14]


def test_more_clients_than_agreed_do_not_cost_the_others_the_round(make_session):
    session, uninvited = make_session(5), make_session(5, ids=[90, 91, 92, 93, 94])
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    with pytest.raises(ProtocolError, match="at most n = 5 clients, got 6"):
        session.server.collect_keys({**adverts, 90: uninvited.clients[90].advertise()})
    session.share(session.server.collect_keys(adverts))


def test_another_clients_message_is_refused(make_session):
    session = make_session(5)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = adverts[12]
    assert 11 not in session.server.collect_keys(adverts)
    assert "got one of 12" in str(session.server.refused[11])


def test_a_second_vector_of_one_client_is_refused(make_session):
    session = make_session(5)
    masked = session.mask(session.to_relay())
    session.server.add_vector(11, masked[11])
    with pytest.raises(MalformedMessage, match="already"):
        session.server.add_vector(11, masked[11])


def test_a_vector_of_one_that_did_not_share_is_refused(make_session):
    session = make_session(5, dropout=1)
    shares = session.to_shares()
    del shares[14]
    relay = session.server.relay_shares(shares)
    session.vectors[14] = session.vectors[10]
    masked = session.mask(relay)
    with pytest.raises(MalformedMessage):
        session.server.add_vector(14, masked[10])


def test_clients_of_another_configuration_are_left_out(make_session):
    session = make_session(5)
    other = make_session(5, length=21)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = other.clients[11].advertise()
    assert 11 not in session.server.collect_keys(adverts)
    assert "configuration" in str(session.server.refused[11])


def test_different_models_are_an_error_that_names_the_minority(make_session):
    session = make_session(5)
    relay = session.to_relay()
    for client in session.clients:
        context = b"old model" if client == 13 else b"new model"
        vector = session.vectors[client]
        message = session.clients[client].mask(relay[client], vector, context=context)
        session.server.add_vector(client, message)
    with pytest.raises(ContextMismatch, match=r"\[13\]"):
        session.server.collect_vectors({})


@pytest.mark.parametrize("round_number", [0, 1, 2])
def test_too_few_messages_are_a_typed_error(make_session, round_number):
    session = make_session(5, dropout=1).vanish(round_number, 12, 13, 14)
    with pytest.raises(TooFewSurvivors):
        session.run()


def test_too_few_shares_are_a_typed_error(make_session):
    session = make_session(5).vanish(3, 12, 13, 14)
    with pytest.raises(TooFewSurvivors, match="shares"):
        session.run()


@pytest.mark.parametrize("kind", ["self_shares", "key_shares"])
def test_a_forged_share_is_found(make_session, kind):
    session = make_session(5).vanish(2, 14)
    opened = session.unmask(session.to_survivors())
    sid = session.server._state.before.before.sid
    forged = Unmask.decode(opened[10], session.config, sid)
    shares = getattr(forged, kind)
    owner = min(shares)
    shares[owner] = bytes(36)
    opened[10] = forged.encode()
    with pytest.raises(BadShares, match=f"client {owner}|do not fit"):
        session.server.finish(opened)


def test_an_unmask_message_with_both_kinds_is_left_out(make_session):
    session = make_session(5).vanish(2, 14)
    opened = session.unmask(session.to_survivors())
    sid = session.server._state.before.before.sid
    greedy = Unmask.decode(opened[10], session.config, sid)
    greedy.key_shares[11] = bytes(36)
    opened[10] = greedy.encode()
    result = session.server.finish(opened)
    assert isinstance(session.server.refused[10], MalformedMessage)
    np.testing.assert_array_equal(result.total, session.expected(result.survivors))


@pytest.mark.parametrize("call", ["relay_shares", "collect_vectors", "finish"])
def test_calls_out_of_order_are_refused(make_session, call):
    session = make_session(5)
    with pytest.raises(ProtocolError, match="out of order"):
        getattr(session.server, call)({})


@pytest.mark.parametrize(
    ("vector", "weight", "error", "message"),
    [
        (np.zeros(19, np.float32), 1, ValueError, "shape"),
        (np.zeros(20, np.int32), 1, TypeError, "float32"),
        (np.zeros(40, np.float32)[::2], 1, ValueError, "contiguous"),
        (np.full(20, np.nan, np.float32), 1, ValueError, "finite"),
        (np.full(20, np.inf, np.float32), 1, ValueError, "finite"),
        (np.zeros(20, np.float32), None, ValueError, "weight"),
        (np.zeros(20, np.float32), 0, ValueError, "weight"),
        (np.zeros(20, np.float32), 101, ValueError, "weight"),
        (np.zeros(20, np.float32), 2.0, ValueError, "weight: expected a whole number"),
    ],
)
def test_a_bad_vector_is_refused_and_the_session_goes_on(
    make_session, vector, weight, error, message
):
    session = make_session(5, weight_max=100)
    relay = session.to_relay()
    with pytest.raises(error, match=message):
        session.clients[10].mask(relay[10], vector, context=b"c", weight=weight)
    session.clients[10].mask(relay[10], session.vectors[10], context=b"c", weight=5)


def test_a_missing_generator_is_refused_and_the_session_goes_on(make_session):
    codec = FixedPoint(clip=4.0, bits=16, max_summands=5, rounding="stochastic")
    session = make_session(5, codec=codec)
    relay = session.to_relay()
    with pytest.raises(TypeError, match="rng"):
        session.clients[10].mask(relay[10], session.vectors[10], context=b"c")
    rng = SecureGenerator()
    session.clients[10].mask(relay[10], session.vectors[10], context=b"c", rng=rng)


def test_nothing_secret_is_shown(make_session):
    session = make_session(5)
    session.to_relay()
    client = session.clients[10]
    state = client._state
    shown = repr(client) + repr(state) + repr(client._session) + repr(session.server)
    for secret in (state.mu, state.b, *state.transport, state.own_share):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
    with pytest.raises(TypeError, match="save"):
        __import__("pickle").dumps(client)


def test_a_damaged_saved_state_is_refused(make_session):
    session = make_session(5)
    session.to_relay()
    saved = bytearray(session.clients[10].save(bytes(32)))
    saved[20] ^= 1
    policy = session.clients[10]._session.policy
    with pytest.raises(MalformedMessage, match="does not open"):
        Client.restore(bytes(saved), bytes(32), session.config, None, policy)
