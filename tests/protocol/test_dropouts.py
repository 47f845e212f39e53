"""Every subset of clients may vanish at every round: the sum is exact, or a typed error comes.

What a client sends depends on what it was told and not on who vanishes afterwards, so the dropouts
form a tree whose every node is played once: the survivors of a round are restored from their saved
states, and the server is copied, for each subset that goes on. A refused node stands for all
patterns below it; the patterns are counted, and none is missing.
"""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
from hostile import CONTEXT, Forgetful

from veil.errors import ProtocolError
from veil.secagg import Client
from veil.secagg.server.total import RingTotal
from veil.secagg.server.vectors import SummedCohort, VectorRound

KEY = bytes(range(32))
ADVERSARIES = ["honest-but-curious", "malicious"]


def subsets(ids):
    return (c for size in range(len(ids) + 1) for c in itertools.combinations(ids, size))


def fork(server):
    """The same server once more; what one branch adds up or opens is not the other's."""
    twin = copy.copy(server)
    twin.refused = {}
    if twin._vectors is not None:
        twin._vectors = VectorRound(twin._config, twin._state)
    if isinstance(twin._state, SummedCohort):
        total = RingTotal(twin._config)
        total.words[:] = twin._state.total.words
        twin._state = dataclasses.replace(twin._state, total=total)
    return twin


class Tree:
    """Plays all rounds for all subsets and counts the patterns of dropouts by their outcome."""

    def __init__(self, make_session, n, adversary):
        self.session = make_session(
            n, adversary=adversary, corrupt=0, dropout=max(1, (n - 1) // 3), min_survivors=2,
            length=3, kem="x25519", policy={"kems": ("x25519",), "replay": Forgetful()},
        )  # fmt: skip
        self.config = self.session.config
        self.steps = ["share", "mask", "confirm", "unmask"]
        self.calls = ["collect_keys", "relay_shares", "collect_vectors", "collect_confirmations"]
        if adversary != "malicious":  # no round 3: it is skipped by clients and server
            del self.steps[2], self.calls[3]
        self.summed, self.refused = 0, 0

    def play(self):
        clients = self.session.clients
        adverts = {i: client.advertise() for i, client in clients.items()}
        saved = {i: client.save(KEY) for i, client in clients.items()}
        self._branch(0, self.session.server, saved, adverts, ())
        return self

    def _branch(self, depth, server, saved, messages, path):
        """Let every subset of these messages arrive at this round."""
        for arrived in subsets(sorted(messages)):
            here = (*path, len(arrived))
            try:
                going_on = self._arrive(depth, fork(server), saved, messages, arrived)
            except ProtocolError:
                assert not self._allowed(here), f"refused: {here}"
                self.refused += (len(self.calls) - depth + 1) ** len(arrived)
                continue
            assert self._allowed(here), f"not refused: {here}"
            if depth == len(self.calls):
                self._check(going_on)
            else:
                self._branch(depth + 1, *going_on, here)

    def _arrive(self, depth, server, saved, messages, arrived):
        got = {i: messages[i] for i in arrived}
        if depth == len(self.calls):
            survivors = server._state.survivors
            return server.finish(got), survivors
        replies = getattr(server, self.calls[depth])(got)
        assert sorted(replies) == list(arrived)
        answers, states = {}, {}
        for i in arrived:
            client = self._restored(i, saved[i])
            more = {}
            if self.steps[depth] == "mask":
                more = {"vector": self.session.vectors[i], "context": CONTEXT}
            answers[i] = getattr(client, self.steps[depth])(replies[i], **more)
            states[i] = client.save(KEY)
        return server, states, answers

    def _restored(self, i, saved):
        policy = self.session.clients[i]._session.policy
        identity = self.session.identities.get(i)
        return Client.restore(saved, KEY, self.config, identity, policy)

    def _allowed(self, sizes):
        """Whether the thresholds let a round go on whose U1, U2, … have these sizes."""
        try:
            limits = self.config.thresholds(sizes[0])
        except ProtocolError:
            return False
        floors = [3, max(limits.min_survivors, limits.t), max(limits.min_survivors, limits.t)]
        if self.config.adversary == "malicious":
            floors.append(max(limits.quorum, limits.t))
        floors.append(limits.t)
        return all(size >= floor for size, floor in zip(sizes, floors, strict=False))

    def _check(self, opened):
        result, survivors = opened
        assert result.survivors == survivors
        np.testing.assert_array_equal(result.total, self.session.expected(survivors))
        self.summed += 1


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_every_subset_of_dropouts_at_every_round(make_session, n, adversary):
    tree = Tree(make_session, n, adversary).play()
    rounds = 5 if adversary == "malicious" else 4
    assert tree.summed + tree.refused == (rounds + 1) ** n
    assert tree.summed > 0
    assert tree.refused > 0


def test_a_sum_that_is_off_by_one_is_seen(make_session, monkeypatch):
    add = VectorRound.add

    def off_by_one(self, client, message):
        add(self, client, message)
        self._total.words[0] += 1

    monkeypatch.setattr(VectorRound, "add", off_by_one)
    with pytest.raises(AssertionError):
        Tree(make_session, 3, "honest-but-curious").play()
