"""A lying server, one attack per test: it fails, and it succeeds once the check is taken out."""

import dataclasses

import numpy as np
import pytest
from hostile import (
    CONTEXT,
    KEY,
    TARGET,
    Forgetful,
    context_of,
    gather,
    guards_of,
    read_one_vector,
    restored,
    sid_of,
)
from policies import pinned

from veil import ring
from veil.errors import PolicyRefused, ProtocolError, StateReplayed, TooFewSurvivors
from veil.secagg import Client, FileReplayGuard, MemoryReplayGuard, Policy, keys
from veil.secagg.client import mask as mask_round
from veil.secagg.client import share as share_round
from veil.secagg.client import unmask as unmask_round
from veil.secagg.messages import Masked, Quorum, Survivors, Unmask
from veil.secagg.server import opening

# --- mixing dead and alive ------------------------------------------------------------------


def split_view_attack(session):
    """Tell some that the target lives and others that it dropped; collect both secrets."""
    masked = session.mask(session.to_relay())
    session.server.collect_vectors(masked)
    everyone = sorted(session.clients)
    without = [c for c in everyone if c != TARGET]
    sid = sid_of(session)
    views = {
        c: Survivors(sid, everyone if at % 2 else without).encode() for at, c in enumerate(without)
    }
    self_shares, key_shares = {}, {}
    opened = {}
    for client, view in views.items():
        signature = session.clients[client].confirm(view)
        opened[client] = signature
    from veil.secagg.messages import Confirm

    signatures = {c: Confirm.decode(m, sid).signature for c, m in opened.items()}
    quorum = Quorum(sid, signatures).encode()
    replies = {c: session.clients[c].unmask(quorum) for c in views}
    gather(session, replies, self_shares, "self_shares")
    gather(session, replies, key_shares, "key_shares")
    return read_one_vector(session, masked, self_shares, key_shares)


def test_splitting_the_survivor_set_finds_no_quorum(make_session):
    session = make_session(7, adversary="malicious", dropout=2, min_survivors=3)
    with pytest.raises(ProtocolError, match="signature"):
        split_view_attack(session)


def test_splitting_the_survivor_set_works_without_quorum_and_threshold(make_session, monkeypatch):
    monkeypatch.setattr(unmask_round.AwaitQuorum, "_check_quorum", lambda *_: None)
    monkeypatch.setattr("veil.secagg.config.full_graph_threshold", lambda *_, **__: 2)
    session = make_session(7, adversary="malicious", dropout=2, min_survivors=3)
    np.testing.assert_array_equal(split_view_attack(session), session.vectors[TARGET])


def test_the_threshold_alone_stops_a_split_too(make_session, monkeypatch):
    monkeypatch.setattr(unmask_round.AwaitQuorum, "_check_quorum", lambda *_: None)
    session = make_session(7, adversary="malicious", dropout=2, min_survivors=3)
    assert split_view_attack(session) is None


# --- asking twice ---------------------------------------------------------------------------


def second_opening_attack(session):
    """Open the honest sum, then ask again as if the target had dropped."""
    masked = session.mask(session.to_relay())
    replies = session.server.collect_vectors(masked)
    self_shares, key_shares = {}, {}
    gather(session, session.unmask(replies), self_shares, "self_shares")
    without = [c for c in session.clients if c != TARGET]
    again = Survivors(sid_of(session), without).encode()
    gather(session, {c: session.clients[c].unmask(again) for c in without}, key_shares,
           "key_shares")  # fmt: skip
    return read_one_vector(session, masked, self_shares, key_shares)


def test_a_second_opening_is_refused(make_session):
    with pytest.raises(ProtocolError, match="out of order"):
        second_opening_attack(make_session(5))


def test_a_second_opening_works_if_the_state_stays(make_session, monkeypatch):
    def forgetful_open(self, session, survivors):
        alive = set(survivors)
        self_shares = {j: both[1] for j, both in self.held.items() if j in alive}
        key_shares = {j: both[0] for j, both in self.held.items() if j not in alive}
        return Unmask(session.client_id, self.sid, self_shares, key_shares).encode(), self

    monkeypatch.setattr(unmask_round.AwaitSurvivors, "open_sum", forgetful_open)
    session = make_session(5)
    np.testing.assert_array_equal(second_opening_attack(session), session.vectors[TARGET])


# --- restoring a saved state twice ------------------------------------------------------------


def restored_opening_attack(session, guards):
    masked = session.mask(session.to_relay())
    session.server.collect_vectors(masked)
    saved = {c: client.save(KEY) for c, client in session.clients.items()}
    everyone = Survivors(sid_of(session), sorted(session.clients)).encode()
    without = [c for c in session.clients if c != TARGET]
    dropped = Survivors(sid_of(session), without).encode()
    self_shares, key_shares = {}, {}
    for client in without:
        first = restored(session, client, saved[client], guards(client))
        gather(session, {client: first.unmask(everyone)}, self_shares, "self_shares")
        second = restored(session, client, saved[client], guards(client))
        gather(session, {client: second.unmask(dropped)}, key_shares, "key_shares")
    return read_one_vector(session, masked, self_shares, key_shares)


def test_a_state_restored_twice_is_refused(make_session):
    session = make_session(5)
    with pytest.raises(StateReplayed):
        restored_opening_attack(session, guards_of(session))


def test_a_state_restored_twice_works_without_a_guard(make_session):
    session = make_session(5)
    leaked = restored_opening_attack(session, lambda _: Forgetful())
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def two_vectors_attack(session, guards):
    """Restore the state before masking, mask two vectors: their difference is in clear."""
    relay = session.to_relay()
    saved = session.clients[TARGET].save(KEY)
    payloads = []
    for vector in (session.vectors[TARGET], np.zeros(session.config.length, np.float32)):
        client = restored(session, TARGET, saved, guards())
        message = client.mask(relay[TARGET], vector, context=CONTEXT)
        payload = Masked.decode(message, session.config, message[12:44]).payload
        bits = session.config.codec.ring_bits
        packed = np.frombuffer(payload, np.uint8)
        payloads.append(
            ring.unpack_bits(packed, bits, session.config.length, dtype=np.uint32).astype(np.int64)
        )
    modulus = 1 << session.config.codec.ring_bits
    difference = ((payloads[0] - payloads[1]) % modulus).astype(np.uint32)
    zero = session.config.codec.encode(np.zeros(session.config.length, np.float32))
    return session.config.codec.decode_sum((difference + zero) % np.uint32(modulus), 1)


def test_masking_another_vector_is_refused(make_session):
    session = make_session(5)
    with pytest.raises(StateReplayed):
        two_vectors_attack(session, lambda: guards_of(session)(TARGET))


def test_masking_another_vector_works_without_a_guard(make_session):
    session = make_session(5)
    leaked = two_vectors_attack(session, Forgetful)
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_a_guard_that_did_not_see_the_session_begin_is_refused(make_session, tmp_path):
    """A policy's own guard, new in each process, or a lost file: each would allow every copy."""
    for empty in (MemoryReplayGuard, lambda: FileReplayGuard(tmp_path / "lost")):
        with pytest.raises(PolicyRefused, match="replay: expected the guard that was used before"):
            two_vectors_attack(make_session(5), empty)


def test_a_guard_in_a_file_knows_the_session_in_another_process(make_session, tmp_path):
    session = make_session(5, policy={"replay": FileReplayGuard(tmp_path / "guard")})
    with pytest.raises(StateReplayed):
        two_vectors_attack(session, lambda: FileReplayGuard(tmp_path / "guard"))


def test_an_older_round_in_the_guard_is_not_enough(make_session):
    guard = MemoryReplayGuard()
    guard.begin(f"run run client {TARGET}", 0, b"another session")
    with pytest.raises(PolicyRefused, match="this one does not"):
        two_vectors_attack(make_session(5), lambda: guard)


def test_a_seed_is_not_used_under_two_rosters(make_session):
    """A restored copy shown another roster would use one masking seed in two sessions."""
    session = make_session(5)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    saved = session.clients[TARGET].save(KEY)
    one = session.server.collect_keys(adverts)
    other = make_session(5).server.collect_keys({c: adverts[c] for c in list(adverts)[:4]})
    guard = guards_of(session)(TARGET)
    restored(session, TARGET, saved, guard).share(one[TARGET])
    with pytest.raises(StateReplayed):
        restored(session, TARGET, saved, guard).share(other[TARGET])


# --- redelivery -------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_bytes(make_session):
    session = make_session(5)
    client = session.clients[TARGET]
    assert client.advertise() == client.advertise()
    session.clients[TARGET] = client
    roster = session.keys()
    assert client.share(roster[TARGET]) == client.share(roster[TARGET])


def test_a_repeated_mask_request_does_not_look_at_the_vector(make_session):
    session = make_session(5)
    relay = session.to_relay()
    client = session.clients[TARGET]
    first = client.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    other = np.zeros(session.config.length, np.float32)
    assert client.mask(relay[TARGET], other, context=CONTEXT) == first


def test_a_crashed_client_answers_with_the_same_bytes(make_session):
    session = make_session(5)
    relay = session.to_relay()
    client = session.clients[TARGET]
    first = client.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    again = restored(session, TARGET, client.save(KEY), guards_of(session)(TARGET))
    assert again.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT) == first


# --- different models ---------------------------------------------------------------------------


def different_models_attack(session):
    """Give the target another model than the rest and hide the mismatch."""
    relay = session.to_relay()
    for client in session.clients:
        context = context_of("a model made for the target") if client == TARGET else CONTEXT
        message = session.clients[client].mask(
            relay[client], session.vectors[client], context=context
        )
        session.server.add_vector(client, message)
    session.server._vectors._contexts = dict.fromkeys(session.clients, CONTEXT)
    return session.server.finish(session.unmask(session.server.collect_vectors({}))).total


def test_different_models_give_masks_that_do_not_cancel(make_session):
    session = make_session(5, length=200)
    with pytest.raises(ProtocolError, match="masks did not cancel"):
        different_models_attack(session)


def test_different_models_work_if_the_context_is_not_in_the_keys(make_session, monkeypatch):
    for module in (mask_round, opening):
        for name in ("self_mask_key", "pair_mask_key"):
            original = getattr(module, name)
            monkeypatch.setattr(
                module, name, lambda *args, original=original: original(*args[:-1], CONTEXT)
            )
    session = make_session(5, length=200)
    total = different_models_attack(session)
    np.testing.assert_array_equal(total, session.expected(session.clients))


def test_a_malicious_session_refuses_an_empty_context(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    relay = session.to_relay()
    with pytest.raises(PolicyRefused, match="context"):
        session.clients[TARGET].mask(relay[TARGET], session.vectors[TARGET], context=b"")


# --- inventing clients --------------------------------------------------------------------------


def sybil_attack(session, make_session):
    """Run the target alone among the server's own clients: the sum less theirs is its vector."""
    invented = make_session(5, adversary="malicious", dropout=1, config=session.config,
                            ids=[TARGET, 91, 92, 93, 94])  # fmt: skip
    invented.clients[TARGET] = session.clients[TARGET]
    invented.vectors[TARGET] = session.vectors[TARGET]
    invented.server = type(session.server)(session.config, run_id="run", round_number=1)
    for client in (91, 92, 93, 94):  # the server's own clients trust whatever it sends
        object.__setattr__(invented.clients[client]._session.policy, "roster", AnyKey())
    total = invented.run().total
    return total - sum(invented.vectors[c].astype(float) for c in (91, 92, 93, 94))


class AnyKey(dict):
    """A roster that verifies everything."""

    def get(self, client, default=None):
        return self

    def verify(self, signature, message):
        pass


def test_invented_clients_are_refused(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    with pytest.raises(PolicyRefused, match="members of the roster"):
        sybil_attack(session, make_session)


def test_invented_clients_work_without_a_roster(make_session, monkeypatch):
    session = make_session(5, adversary="malicious", dropout=1)
    monkeypatch.setattr(Policy, "check_cohort", lambda *_: None)
    for module in (share_round, unmask_round):
        monkeypatch.setattr(module, "verify_signature", lambda *_: None)
    leaked = sybil_attack(session, make_session)
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_a_signature_of_another_key_is_refused(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    other = make_session(5, adversary="malicious", dropout=1, config=session.config)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = other.clients[11].advertise()
    server = type(session.server)(session.config, run_id="run", round_number=1)
    with pytest.raises(ProtocolError, match="client 11: the signature is not its own"):
        session.clients[TARGET].share(server.collect_keys(adverts)[TARGET])


def test_the_server_leaves_out_a_bad_signature_and_goes_on(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    other = make_session(5, adversary="malicious", dropout=1, config=session.config)
    adverts = {c: client.advertise() for c, client in session.clients.items()}
    adverts[11] = other.clients[11].advertise()
    assert 11 not in session.server.collect_keys(adverts)
    assert "signature" in str(session.server.refused[11])


# --- weaker parameters --------------------------------------------------------------------------


def test_a_downgraded_kem_is_refused(make_session):
    config = make_session(5).config
    downgraded = dataclasses.replace(config, kem="x25519")
    with pytest.raises(PolicyRefused, match="kem"):
        Client(downgraded, TARGET, None, pinned(config), run_id="run", round_number=1)


@pytest.mark.parametrize("kem", ["x25519", "x25519-mlkem768"])
def test_a_broken_curve_opens_recorded_traffic_only_without_mlkem(make_session, kem):
    """What a downgrade would buy an attacker who solves discrete logarithms later."""
    session = make_session(5, kem=kem, policy={"kems": (kem,)})
    relay = session.to_relay()
    sid = session.server._state.before.sid
    state = session.clients[TARGET]._state
    curve_only = keys.masking_keys(state.mu, "x25519")  # all that the logarithm gives
    exchanged = curve_only.exchange(state.masking_peers[11])
    bound = state.bindings[11]  # the ciphertexts are on the wire
    guess = keys.pair_secret(exchanged, b"", sid, TARGET, 11, bound)
    true = []
    original = mask_round.pair_mask_key

    def spy(secret, *args):
        true.append(secret)
        return original(secret, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_round, "pair_mask_key", spy)
        session.clients[TARGET].mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    assert (guess in true) == (kem == "x25519")


# --- choosing the graph -------------------------------------------------------------------------


def chosen_graph(make_session, beacon=b"public randomness"):
    """A malicious server puts its own clients around the target."""
    session = make_session(
        41, adversary="malicious", graph="k-regular", corrupt=1, dropout=1, min_survivors=30
    )
    for client in session.clients.values():
        object.__setattr__(client._session, "beacon", beacon)
    server = session.server
    object.__setattr__(server._state, "beacon", beacon)
    return session, server


def test_the_beacon_fixes_the_graph(make_session):
    session, _ = chosen_graph(make_session)
    session.to_shares()


def test_a_graph_that_the_server_chose_is_refused(make_session, monkeypatch):
    session, server = chosen_graph(make_session)
    monkeypatch.setattr(type(server._state), "_order", lambda self, ids: tuple(ids))
    with pytest.raises(PolicyRefused, match="beacon"):
        session.to_shares()


def test_a_graph_that_the_server_chose_works_without_the_check(make_session, monkeypatch):
    session, server = chosen_graph(make_session)
    monkeypatch.setattr(type(server._state), "_order", lambda self, ids: tuple(ids))
    monkeypatch.setattr(share_round, "_expected_order", lambda session, ids, offered: offered)
    masked = session.mask(session.to_relay())
    shared = server._state
    server.collect_vectors(masked)
    around = shared.before.graph.neighbours(TARGET)
    assert len(around) >= shared.before.thresholds.t
    points = {c: at + 1 for at, c in enumerate(sorted(session.clients))}
    held = {points[c]: session.clients[c]._state.held[TARGET] for c in around}
    leaked = read_one_vector(
        session, masked, {at: both[1] for at, both in held.items()},
        {at: both[0] for at, both in held.items()},
    )  # fmt: skip
    np.testing.assert_array_equal(leaked, session.vectors[TARGET])


def test_a_sparse_graph_without_beacon_is_refused(make_session):
    session, _ = chosen_graph(make_session)
    object.__setattr__(session.clients[TARGET]._session, "beacon", None)
    with pytest.raises(PolicyRefused, match="beacon"):
        session.to_shares()


# --- replays across sessions ----------------------------------------------------------------------


def test_a_label_is_used_once(make_session):
    session = make_session(5)
    guard = MemoryReplayGuard()
    policy = pinned(session.config, replay=guard)
    for number in (1, 3):
        Client(session.config, 1, None, policy, run_id="r", round_number=number).advertise()
    for number in (1, 2, 3):
        late = Client(session.config, 1, None, policy, run_id="r", round_number=number)
        with pytest.raises(StateReplayed):
            late.advertise()


def test_a_relay_of_another_session_is_refused(make_session):
    one, other = make_session(5), make_session(5)
    one.to_relay()
    relay = other.to_relay()
    with pytest.raises(ProtocolError, match="another session"):
        one.clients[TARGET].mask(relay[TARGET], one.vectors[TARGET], context=CONTEXT)


def test_a_refusal_ends_the_session(make_session):
    session = make_session(5)
    relay = session.to_relay()
    client = session.clients[TARGET]
    with pytest.raises(ProtocolError):
        client.mask(relay[TARGET][:-1], session.vectors[TARGET], context=CONTEXT)
    assert "aborted" in repr(client)
    with pytest.raises(ProtocolError, match="out of order"):
        client.mask(relay[TARGET], session.vectors[TARGET], context=CONTEXT)
    with pytest.raises(ProtocolError, match="nothing to save"):
        client.save(KEY)


@pytest.mark.parametrize(
    ("survivors", "error", "message"),
    [
        ([11, 12, 13, 14], ProtocolError, "calls it dropped"),
        ([10, 11, 12, 13, 99], ProtocolError, "shared in round 1"),
        ([10, 11], TooFewSurvivors, "survivors"),
    ],
)
def test_survivor_sets_that_break_a_rule(make_session, survivors, error, message):
    session = make_session(5)
    session.to_survivors()
    with pytest.raises(error, match=message):
        session.clients[TARGET].unmask(Survivors(sid_of(session), survivors).encode())


def test_too_few_live_holders_are_refused(make_session):
    session = make_session(5, dropout=1, min_survivors=3)
    config = dataclasses.replace(session.config, dropout=0.2)
    assert config.thresholds(5).t == 3
    session = make_session(7, dropout=2, min_survivors=3)
    session.to_survivors()
    few = Survivors(sid_of(session), [10, 11, 12]).encode()
    with pytest.raises(TooFewSurvivors, match="live holders"):
        session.clients[TARGET].unmask(few)


def test_a_quorum_that_is_too_small_is_refused(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    replies = session.to_survivors()
    signed = {c: session.clients[c].confirm(replies[c]) for c in session.clients}
    quorum = session.server.collect_confirmations(signed)
    sid = sid_of(session)
    full = Quorum.decode(quorum[TARGET], session.config, sid)
    small = Quorum(sid, {c: full.signatures[c] for c in [10, 11, 12]}).encode()
    with pytest.raises(TooFewSurvivors, match="confirmations"):
        session.clients[TARGET].unmask(small)


def test_a_malicious_session_opens_nothing_unconfirmed(make_session):
    session = make_session(5, adversary="malicious", dropout=1)
    replies = session.to_survivors()
    with pytest.raises(ProtocolError, match="out of order"):
        session.clients[TARGET].unmask(replies[TARGET])
