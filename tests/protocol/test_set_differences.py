"""Two sessions whose sets differ by one client give that client's vector: what can be done.

The proof of secure aggregation is about one session. `Policy.min_set_difference` lets the clients
that stay refuse the second; a context opens one session.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from hostile import CONTEXT, context_of
from policies import pinned

from veil.errors import PolicyRefused, StateReplayed
from veil.secagg import Client, FileReplayGuard, Server

TARGET = 12


class Consortium:
    """Members that keep their identities, vectors and guards from session to session."""

    def __init__(self, make_session, folder, n=5, dropout=1, **policy):
        first = make_session(n, adversary="malicious", dropout=dropout)
        self.config, self.vectors = first.config, first.vectors
        self.identities = first.identities
        self.policies = {
            i: pinned(
                self.config,
                roster={j: key.public_key() for j, key in self.identities.items()},
                replay=FileReplayGuard(folder / f"guard-{i}"),
                **policy,
            )
            for i in self.identities
        }

    def open(self, number, without=(), *, run="run", context=None):
        """Play a session in which the server calls some clients dropped; give the sum."""
        server = Server(self.config, run_id=run, round_number=number,
                        roster=self.policies[10].roster)  # fmt: skip
        clients = {
            i: Client(self.config, i, self.identities[i], policy, run_id=run, round_number=number)
            for i, policy in self.policies.items()
        }
        context = context or context_of("one model", round=number, terms={"run": run})
        replies = server.collect_keys({i: c.advertise() for i, c in clients.items()})
        replies = server.relay_shares({i: clients[i].share(m) for i, m in replies.items()})
        masked = {i: clients[i].mask(m, self.vectors[i], context=context)
                  for i, m in replies.items() if i not in without}  # fmt: skip
        replies = server.collect_vectors(masked)
        signed = {i: clients[i].confirm(m) for i, m in replies.items()}
        replies = server.collect_confirmations(signed)
        return server.finish({i: clients[i].unmask(m) for i, m in replies.items()}).total


def difference_attack(consortium, run="another run"):
    everyone = consortium.open(1)
    return everyone - consortium.open(2, without=[TARGET], run=run)


def test_two_sessions_that_differ_by_one_client_give_its_vector(make_session, tmp_path):
    """Without the check; the server lies about nothing that the protocol fixes."""
    consortium = Consortium(make_session, tmp_path)
    np.testing.assert_array_equal(difference_attack(consortium), consortium.vectors[TARGET])


def test_the_clients_that_stay_refuse_to_sign_the_second_set(make_session, tmp_path):
    consortium = Consortium(make_session, tmp_path, min_set_difference=3)
    with pytest.raises(PolicyRefused, match=r"min_set_difference: .* got one that differs by 1"):
        difference_attack(consortium)


@pytest.mark.parametrize("order", [((), (TARGET,)), ((TARGET,), ())])
def test_it_does_not_matter_which_set_comes_first(make_session, tmp_path, order):
    consortium = Consortium(make_session, tmp_path, min_set_difference=3)
    consortium.open(1, without=order[0])
    with pytest.raises(PolicyRefused, match="min_set_difference"):
        consortium.open(2, without=order[1])


def test_the_same_set_is_opened_again_and_again(make_session, tmp_path):
    consortium = Consortium(make_session, tmp_path, min_set_difference=3)
    for number in range(1, 4):
        consortium.open(number)


def test_sets_that_are_far_enough_apart_are_both_opened(make_session, tmp_path):
    """Two of nine vanish, then two others: four differ."""
    for least, refused in ((4, False), (5, True)):
        folder = tmp_path / str(least)
        folder.mkdir()
        consortium = Consortium(make_session, folder, n=9, dropout=2, min_set_difference=least)
        consortium.open(1, without=[10, 11])
        if refused:
            with pytest.raises(
                PolicyRefused, match="at least 5 clients, got one that differs by 4"
            ):
                consortium.open(2, without=[12, 13])
        else:
            consortium.open(2, without=[12, 13])


def test_members_are_remembered_by_their_keys(make_session, tmp_path):
    """With another roster an id may be another member's."""
    consortium = Consortium(make_session, tmp_path, min_set_difference=3)
    consortium.open(1)
    renamed = {i: 10 + (i - 9) % 5 for i in consortium.identities}
    consortium.identities = {renamed[i]: key for i, key in consortium.identities.items()}
    roster = {i: key.public_key() for i, key in consortium.identities.items()}
    consortium.policies = {
        renamed[i]: dataclasses.replace(policy, roster=roster)
        for i, policy in consortium.policies.items()
    }
    with pytest.raises(PolicyRefused, match="min_set_difference"):
        consortium.open(2, without=[TARGET], run="under new ids")
    consortium.open(3, run="under new ids")


def test_quorums_of_near_sets_share_an_honest_signer():
    """Even if the server asks no more clients than it needs: it needs one that remembers."""
    for honest, corrupt in itertools.product(range(2, 40), range(12)):
        for one, other in itertools.product(range(corrupt + 1), repeat=2):
            for apart in (0, 1):  # honest clients in the difference
                quorums = [
                    (members + corrupt) // 2 + 1
                    for members in (honest + one, honest - apart + other)
                ]
                disjoint = quorums[0] - one + quorums[1] - other <= honest
                assert not disjoint


# --- one context, one session -------------------------------------------------------------------


def test_a_context_is_masked_under_in_one_session_alone(make_session, tmp_path):
    consortium = Consortium(make_session, tmp_path)
    consortium.open(1, context=CONTEXT)
    with pytest.raises(StateReplayed, match="context: expected one that no session"):
        consortium.open(2, context=CONTEXT, run="another")


def test_a_session_that_was_never_masked_uses_no_context_up(make_session, tmp_path):
    consortium = Consortium(make_session, tmp_path)
    context = CONTEXT
    for i, policy in consortium.policies.items():
        client = Client(consortium.config, i, consortium.identities[i], policy, run_id="run")
        client.advertise()
    consortium.open(1, context=context)
