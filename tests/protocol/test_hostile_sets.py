"""A lying server, continued: sets that it makes up, weaker parameters, keys that it swaps.

Each attack fails, and it succeeds once the check that its name tells is taken out.
"""

import numpy as np
import pytest
from hostile import (
    CONTEXT,
    KEY,
    TARGET,
    Forgetful,
    gather,
    guards_of,
    read_one_vector,
    restored,
    sid_of,
)

from veil import ring
from veil.errors import PolicyRefused, ProtocolError, StateReplayed, TooFewSurvivors
from veil.secagg import Client, Server
from veil.secagg.client import share as share_round
from veil.secagg.client import unmask as unmask_round
from veil.secagg.client.unmask import AwaitSurvivors
from veil.secagg.messages import Advert, Masked, Relay, Roster, Survivors
from veil.secagg.server import opening
from veil.secagg.transcript import leaf_of


def unchecked(self, session, message):
    """What `_check_survivors` gives without a check."""
    return tuple(Survivors.decode(message, session.config, self.sid).survivors)


def without(text):
    """`_check_survivors` that lets pass what it would refuse with this text."""
    check = AwaitSurvivors._check_survivors

    def lenient(self, session, message):
        try:
            return check(self, session, message)
        except ProtocolError as error:
            if text not in str(error):
                raise
            return unchecked(self, session, message)

    return lenient


# --- calling a client dead to itself ------------------------------------------------


def dead_to_itself_attack(session):
    """Two of four say what they hold of b, one and the target itself what they hold of mu."""
    masked = session.mask(session.to_relay())
    session.server.collect_vectors(masked)
    sid, everyone = sid_of(session), sorted(session.clients)
    alive = Survivors(sid, everyone).encode()
    dead = Survivors(sid, [c for c in everyone if c != TARGET]).encode()
    self_shares, key_shares = {}, {}
    for client in everyone[1:3]:
        gather(session, {client: session.clients[client].unmask(alive)}, self_shares,
               "self_shares")  # fmt: skip
    for client in (everyone[3], TARGET):
        gather(session, {client: session.clients[client].unmask(dead)}, key_shares, "key_shares")
    return read_one_vector(session, masked, self_shares, key_shares)


def test_a_client_does_not_believe_that_it_is_dead(make_session):
    session = make_session(4, corrupt=0, dropout=2, min_survivors=2)
    with pytest.raises(ProtocolError, match="calls it dropped"):
        dead_to_itself_attack(session)


def test_calling_a_client_dead_to_itself_works_without_the_check(make_session, monkeypatch):
    monkeypatch.setattr(AwaitSurvivors, "_check_survivors", without("calls it dropped"))
    session = make_session(4, corrupt=0, dropout=2, min_survivors=2)
    np.testing.assert_array_equal(dead_to_itself_attack(session), session.vectors[TARGET])


# --- a sum of the target and the server's own clients ------------------------------------------


def lonely_sum_attack(session, accomplices, padding=()):
    """Open the sum of the target and of accomplices, whose vectors the server knows."""
    masked = session.mask(session.to_relay())
    few = [TARGET, *accomplices]
    for client in few:
        session.server.add_vector(client, masked[client])
    vectors = session.server._vectors
    summed = opening.SummedCohort(session.server._state, tuple(few), vectors._total, CONTEXT)
    message = Survivors(session.server._state.before.sid, sorted([*few, *padding])).encode()
    with pytest.MonkeyPatch.context() as patch:  # accomplices answer whatever they are asked
        answers = {TARGET: session.clients[TARGET].unmask(message)}
        patch.setattr(AwaitSurvivors, "_check_survivors", unchecked)
        answers |= {c: session.clients[c].unmask(message) for c in accomplices}
    total = opening.finish(session.config, summed, answers, {}, threads=1).total
    return total - sum(session.vectors[c].astype(float) for c in accomplices)


def lonely_session(make_session):
    """Six clients, three of them the server's: four holders of a secret are enough."""
    session = make_session(6, corrupt=3, dropout=1)
    assert session.config.thresholds(6)[1:3] == (4, 5)
    return session


def test_too_small_a_sum_is_refused(make_session):
    with pytest.raises(TooFewSurvivors, match="at least 5 survivors"):
        lonely_sum_attack(lonely_session(make_session), [11, 12, 13])


def test_too_small_a_sum_works_without_min_survivors(make_session, monkeypatch):
    monkeypatch.setattr(AwaitSurvivors, "_check_survivors", without("at least 5 survivors"))
    session = lonely_session(make_session)
    leaked = lonely_sum_attack(session, [11, 12, 13])
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_survivors_that_did_not_share_are_refused(make_session):
    with pytest.raises(ProtocolError, match="shared in round 1"):
        lonely_sum_attack(lonely_session(make_session), [11, 12, 13], padding=[99])


def test_survivors_that_did_not_share_work_without_the_check(make_session, monkeypatch):
    monkeypatch.setattr(AwaitSurvivors, "_check_survivors", without("shared in round 1"))
    session = lonely_session(make_session)
    leaked = lonely_sum_attack(session, [11, 12, 13], padding=[99])
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


# --- a lower threshold ------------------------------------------------


def lowered_threshold_attack(make_session, **limits):
    """Configure nobody as corrupt and many dropouts, then sum the target and two accomplices."""
    session = make_session(7, corrupt=0, dropout=4, policy={"max_corrupt": 0, **limits})
    total = session.vanish(2, 13, 14, 15, 16).run().total
    return session, total - sum(session.vectors[c].astype(float) for c in (11, 12))


@pytest.mark.parametrize(
    ("limits", "named"), [({"max_corrupt": 2}, "corrupt"), ({"min_survivors": 5}, "min_survivors")]
)
def test_a_lowered_threshold_is_refused(make_session, limits, named):
    with pytest.raises(PolicyRefused, match=named):
        lowered_threshold_attack(make_session, **limits)


def test_a_lowered_threshold_works_without_a_policy(make_session):
    session, leaked = lowered_threshold_attack(make_session)
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_a_neighbour_of_another_configuration_is_refused(make_session):
    """A server that follows a weaker configuration passes on adverts that were made for it."""
    session, weak = make_session(5), make_session(5, corrupt=0)
    adverts = {c: weak.clients[c].advertise() for c in weak.clients}
    adverts[TARGET] = session.clients[TARGET].advertise()
    leaves = {c: leaf_of(Advert.decode(message)) for c, message in adverts.items()}
    others = {c: message for c, message in adverts.items() if c != TARGET}
    roster = Roster(leaves, tuple(sorted(leaves)), others).encode()
    with pytest.raises(ProtocolError, match="its configuration differs"):
        session.clients[TARGET].share(roster)


# --- swapped keys ------------------------------------------------


def swapped_keys_attack(session, make_session):
    """Keep the roster's ids but put the server's own keys behind all but the target's."""
    own = make_session(5, adversary="malicious", dropout=1, config=session.config)
    own.clients[TARGET], own.vectors[TARGET] = session.clients[TARGET], session.vectors[TARGET]
    own.server = Server(session.config, run_id="run", round_number=1)
    for client in list(own.clients)[1:]:  # the server's own clients trust the target's key
        roster = own.clients[client]._session.policy.roster
        roster[TARGET] = session.identities[TARGET].public_key()
    total = own.run().total
    return total - sum(own.vectors[c].astype(float) for c in list(own.clients)[1:])


def test_swapped_keys_are_refused(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    with pytest.raises(ProtocolError, match="the signature is not its own"):
        swapped_keys_attack(session, make_session)


def test_swapped_keys_work_without_signatures(make_session, monkeypatch):
    for module in (share_round, unmask_round):
        monkeypatch.setattr(module, "verify_signature", lambda *_: None)
    session = make_session(5, adversary="malicious", dropout=1)
    leaked = swapped_keys_attack(session, make_session)
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


# --- equivocation ------------------------------------------------


def two_rosters_attack(session, guards):
    """Show copies of all clients a second roster, in which the target drops: b here, mu there."""
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    saved = {c: client.save(KEY) for c, client in session.clients.items()}
    masked, self_shares = two_rosters_round(session, adverts, saved, guards, "self_shares")
    server, session.server = session.server, Server(session.config, run_id="run", round_number=1)
    del adverts[14]
    _, key_shares = two_rosters_round(session, adverts, saved, guards, "key_shares")
    session.server = server
    return read_one_vector(session, masked, self_shares, key_shares)


def two_rosters_round(session, adverts, saved, guards, kind):
    roster = session.server.collect_keys(adverts)
    session.clients = {c: restored(session, c, saved[c], guards(c)) for c in roster}
    relay = session.server.relay_shares(
        {c: client.share(roster[c]) for c, client in session.clients.items()}
    )
    masked = session.mask(relay)
    heard = {c: m for c, m in masked.items() if kind == "self_shares" or c != TARGET}
    replies = session.server.collect_vectors(heard)
    shares = {}
    gather(session, {c: session.clients[c].unmask(m) for c, m in replies.items()}, shares, kind)
    return masked, shares


def test_two_rosters_for_one_seed_are_refused(make_session):
    session = make_session(5)
    with pytest.raises(StateReplayed):
        two_rosters_attack(session, guards_of(session))


def test_two_rosters_for_one_seed_work_without_a_guard(make_session):
    session = make_session(5)
    leaked = two_rosters_attack(session, lambda _: Forgetful())
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_two_sets_of_sharers_find_no_quorum(make_session):
    """Tell some clients that client 14 did not share: what they sign is another statement."""
    session = make_session(5, adversary="malicious", dropout=1)
    relay = session.to_relay()
    for client in (10, 11):
        honest = Relay.decode(relay[client], session.config, session.server._state.before.sid)
        peers = {j: sent for j, sent in honest.peers.items() if j != 14}
        relay[client] = Relay(honest.sid, [10, 11, 12, 13], peers).encode()
    masked = session.mask(relay)
    del masked[14]
    with pytest.raises(ProtocolError, match="the signature is not its own"):
        session.unmask(session.confirm(session.server.collect_vectors(masked)))


# --- redelivery ------------------------------------------------


def redelivery_attack(session):
    """Deliver the relay twice, with another vector at hand the second time."""
    relay = session.to_relay()
    client, codec = session.clients[TARGET], session.config.codec
    words = []
    for vector in (session.vectors[TARGET], np.zeros(session.config.length, np.float32)):
        message = client.mask(relay[TARGET], vector, context=CONTEXT)
        payload = Masked.decode(message, session.config, message[12:44]).payload
        packed = np.frombuffer(payload, np.uint8)
        words.append(ring.unpack_bits(packed, codec.ring_bits, vector.size, dtype=np.uint32))
    return codec.decode_sum((words[0] - words[1]) & np.uint32((1 << codec.ring_bits) - 1), 1)


def test_redelivery_gives_nothing_new(make_session):
    assert not redelivery_attack(make_session(5)).any()


def test_redelivery_works_if_the_answer_is_made_anew(make_session, monkeypatch):
    def forgetful_step(self, name, request, awaited, make):
        message, following = make(self._state)
        if name != "mask":
            self._state = following
        return message

    monkeypatch.setattr(Client, "_step", forgetful_step)
    session = make_session(5, policy={"replay": Forgetful()})
    np.testing.assert_array_equal(redelivery_attack(session), session.vectors[TARGET])


# --- what a bad client could do to the server ------------------------------------------------


def test_a_second_vector_would_count_if_senders_were_forgotten(make_session):
    session = make_session(5)
    masked = session.mask(session.to_relay())
    for client, message in masked.items():
        session.server.add_vector(client, message)
    session.server._vectors._contexts.clear()
    for client, message in masked.items():
        session.server.add_vector(client, message)
    with pytest.raises(ProtocolError, match="masks did not cancel"):
        session.server.finish(session.unmask(session.server.collect_vectors({})))


def test_a_forged_share_would_spoil_the_sum_without_commitments(make_session, monkeypatch):
    session = make_session(5, length=200)
    opened = session.unmask(session.to_survivors())
    monkeypatch.setattr(opening.keys, "self_commitment", lambda *_: EqualToAll(32))
    monkeypatch.setattr(opening, "combine_secrets", lambda shares, **_: [bytes(32)] * len(shares))
    with pytest.raises(ProtocolError, match="masks did not cancel"):
        session.server.finish(opened)


class EqualToAll(bytes):
    """A commitment that everything matches."""

    def __ne__(self, other):
        return False

    __hash__ = bytes.__hash__
