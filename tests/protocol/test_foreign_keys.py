"""Keys, ciphertexts and rosters that are not what they should be end in typed errors."""

import dataclasses

import pytest
from hostile import CONTEXT, KEY, TARGET

from veil.errors import MalformedMessage, PolicyRefused, ProtocolError
from veil.secagg import Client, Config
from veil.secagg.client import mask as mask_round
from veil.secagg.messages import Advert, Relay, Roster
from veil.secagg.transcript import leaf_of


def advert(session, client, **changes):
    """A client's advert with other public keys."""
    decoded = Advert.decode(session.clients[client].advertise())
    for name, part in changes.items():
        decoded = dataclasses.replace(decoded, **{name: part(getattr(decoded, name))})
    return decoded.encode()


@pytest.mark.parametrize("pair", ["masking", "transport"])
@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_a_key_of_low_order_costs_its_sender_the_round(make_session, pair, point):
    session = make_session(5)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = advert(session, 11, **{pair: lambda keys: keys._replace(x25519=point)})
    assert 11 not in session.server.collect_keys(adverts)
    assert "low order" in str(session.server.refused[11])


@pytest.mark.parametrize("pair", ["masking", "transport"])
@pytest.mark.parametrize("mlkem", [b"", b"\xff" * 1184, bytes(1183)])
def test_a_bad_mlkem_key_costs_its_sender_the_round(make_session, pair, mlkem):
    session = make_session(5)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = advert(session, 11, **{pair: lambda keys: keys._replace(mlkem=mlkem)})
    assert 11 not in session.server.collect_keys(adverts)
    assert isinstance(session.server.refused[11], MalformedMessage)


@pytest.mark.parametrize("field", ["transport_ct", "sealed", "pair_ct", "wrapped"])
@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[:-1], lambda b: bytes(len(b))])
def test_a_spoilt_relay_wipes_the_client(make_session, field, spoil):
    session = make_session(5)
    relay = session.to_relay()
    client = session.clients[14]  # receives a contribution from everyone
    message = Relay.decode(relay[14], session.config, session.server._state.before.sid)
    peers = dict(message.peers)
    peers[11] = dataclasses.replace(peers[11], **{field: spoil(getattr(peers[11], field))})
    spoilt = Relay(message.sid, message.shared, peers).encode()
    with pytest.raises(ProtocolError):
        client.mask(spoilt, session.vectors[14], context=CONTEXT)
    assert "aborted" in repr(client)


def roster(session, **changes):
    """What the server sends the target, changed on the way."""
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    leaves = {c: leaf_of(Advert.decode(m)) for c, m in adverts.items()}
    fields = {"leaves": leaves, "order": tuple(leaves), "adverts": adverts}
    del adverts[TARGET]
    return Roster(**{name: changes.get(name, lambda x: x)(x) for name, x in fields.items()})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"leaves": lambda x: {**x, TARGET: bytes(32)}}, ProtocolError, "own keys"),
        ({"leaves": lambda x: {**x, 12: bytes(32)}}, ProtocolError, "does not match its leaf"),
        ({"adverts": lambda x: {c: m for c, m in x.items() if c != 12}}, ProtocolError, "adverts"),
        ({"adverts": lambda x: {**x, 12: x[11]}}, ProtocolError, "does not match its leaf"),
        ({"order": lambda x: (*x[:-1], 99)}, MalformedMessage, "permutation"),
        ({"order": lambda x: x[::-1]}, PolicyRefused, "graph"),
    ],
)
def test_a_roster_that_contradicts_itself_is_refused(make_session, changes, error, message):
    session = make_session(5)
    with pytest.raises(error, match=message):
        session.clients[TARGET].share(roster(session, **changes).encode())
    assert "aborted" in repr(session.clients[TARGET])


def test_an_advert_of_another_round_is_refused(make_session):
    session = make_session(5)
    late = Client(session.config, 12, None, session.clients[12]._session.policy,
                  run_id="run", round_number=2)  # fmt: skip
    session.clients[12] = late
    with pytest.raises(ProtocolError, match="another round"):
        session.clients[TARGET].share(roster(session).encode())


def test_any_error_within_a_step_wipes_the_client(make_session, monkeypatch):
    session = make_session(5)
    relay = session.to_relay()

    def fails(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(mask_round, "mask_and_pack", fails)
    client = session.clients[TARGET]
    with pytest.raises(MemoryError):
        client.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    assert "aborted" in repr(client)


def test_a_state_after_masking_holds_no_key_of_its_own(make_session):
    session = make_session(5)
    relay = session.to_relay()
    client = session.clients[TARGET]
    state = client._state
    secrets = [state.mu, state.b, *state.transport]
    client.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    held = [field.name for field in dataclasses.fields(client._state)]
    assert held == ["leaf", "sid", "order", "shared", "held", "context"]
    shares = [part for both in client._state.held.values() for part in both]
    assert not set(secrets) & set(shares)


def test_a_state_of_another_configuration_or_key_does_not_open(make_session):
    session = make_session(5)
    session.to_relay()
    saved, policy = session.clients[TARGET].save(KEY), session.clients[TARGET]._session.policy
    other = Config.from_dict({**session.config.to_dict(), "cipher": "chacha20"})
    for key, config in ((bytes(32), session.config), (KEY, other)):
        with pytest.raises(MalformedMessage, match="does not open"):
            Client.restore(saved, key, config, None, policy)
