"""Rounds 0 and 1 at the server: who takes part, and the shares that pass through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from veil.errors import MalformedMessage, PolicyRefused, ProtocolError, TooFewSurvivors
from veil.random import SecureGenerator
from veil.secagg import keys
from veil.secagg.config import Config, Thresholds
from veil.secagg.graph import Neighbourhood, ring_order
from veil.secagg.messages import Advert, PeerShare, Relay, Roster, Shares
from veil.secagg.server.intake import Refusals, require_sender, take
from veil.secagg.transcript import (
    advert_digest,
    beacon_order,
    leaf_of,
    roster_digest,
    session_id,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["Cohort", "KeyRound", "ShareRound", "SharedCohort"]


@dataclass(frozen=True, slots=True)
class Cohort:
    """After round 0."""

    sid: bytes
    adverts: Mapping[int, Advert]
    graph: Neighbourhood
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class SharedCohort:
    """After round 1: U2, the commitments, and the ciphertexts kept for recovery."""

    before: Cohort
    commitments: Mapping[int, bytes]
    contributions: Mapping[tuple[int, int], tuple[bytes, bytes]] = field(repr=False)

    @property
    def shared(self) -> list[int]:
        """U2, sorted."""
        return sorted(self.commitments)


@dataclass(frozen=True, slots=True)
class KeyRound:
    """Round 0: collects the adverts, fixes graph and session."""

    config: Config
    label: bytes
    roster: Mapping[int, Ed25519PublicKey] | None
    beacon: bytes | None

    def collect(
        self, messages: Mapping[int, bytes], refused: Refusals
    ) -> tuple[dict[int, bytes], Cohort]:
        """Give every participant the leaves of all and the adverts of its neighbours."""
        adverts = take(messages, self._decode, refused)
        if len(adverts) > self.config.n:
            raise ProtocolError(
                f"expected the adverts of at most n = {self.config.n} clients, got {len(adverts)}; "
                "every client would refuse their roster"
            )
        thresholds = self.config.thresholds(len(adverts))
        graph = Neighbourhood(self._order(sorted(adverts)), thresholds.k)
        leaves = {client: leaf_of(advert) for client, advert in adverts.items()}
        sid = session_id(self.label, self.config, leaves)
        replies = {
            client: Roster(
                leaves, graph.order, {j: messages[j] for j in graph.neighbours(client)}
            ).encode()
            for client in adverts
        }
        return replies, Cohort(sid, adverts, graph, thresholds)

    def _decode(self, client: int, message: bytes) -> Advert:
        advert = Advert.decode(message)
        require_sender(client, advert.client)
        if advert.label != self.label:
            raise MalformedMessage("the advert is of another run or round")
        if advert.config_digest != self.config.digest():
            raise MalformedMessage("the client's configuration differs from the server's")
        for pair in (advert.masking, advert.transport):
            keys.check_public(pair, self.config.kem)
            keys.check_exchanges(pair)
        if self.roster is not None:
            _verify(self.roster, advert)
        return advert

    def _order(self, ids: list[int]) -> tuple[int, ...]:
        if self.config.graph == "full":
            return tuple(ids)
        if self.config.adversary == "honest-but-curious":
            words = np.frombuffer(SecureGenerator().bytes(8 * len(ids)), "<u8")
            return ring_order(ids, [int(word) for word in words])
        if self.roster is None or self.beacon is None:
            raise PolicyRefused("a sparse graph under a malicious server needs roster and beacon")
        return beacon_order(ids, roster_digest(self.roster), self.label, self.beacon)


def _verify(roster: Mapping[int, Ed25519PublicKey], advert: Advert) -> None:
    from cryptography.exceptions import InvalidSignature

    if advert.client not in roster:
        raise PolicyRefused(f"client {advert.client} is not in the roster")
    try:
        roster[advert.client].verify(advert.signature, advert_digest(advert))
    except InvalidSignature as error:
        raise ProtocolError(f"client {advert.client}: the signature is not its own") from error


@dataclass(frozen=True, slots=True)
class ShareRound:
    """Round 1: passes shares on, keeps what recovery needs."""

    config: Config
    cohort: Cohort

    def relay(
        self, messages: Mapping[int, bytes], refused: Refusals
    ) -> tuple[dict[int, bytes], SharedCohort]:
        """Give every client that shared the messages of its neighbours that did too."""
        taken = take(messages, self._decode, refused)
        needed = max(self.cohort.thresholds.min_survivors, self.cohort.thresholds.t)
        if len(taken) < needed:
            raise TooFewSurvivors(f"expected at least {needed} clients to share, got {len(taken)}")
        shared = sorted(taken)
        replies = {}
        for client in shared:
            live = [j for j in self.cohort.graph.neighbours(client) if j in taken]
            peers = {j: taken[j].peers[client] for j in live}
            replies[client] = Relay(self.cohort.sid, shared, peers).encode()
        contributions = {
            (i, j): (sent.pair_ct, sent.wrapped)
            for i, message in taken.items()
            for j, sent in message.peers.items()
            if i < j
        }
        commitments = {client: message.commitment for client, message in taken.items()}
        return replies, SharedCohort(self.cohort, commitments, contributions)

    def _decode(self, client: int, message: bytes) -> Shares:
        shares = Shares.decode(message, self.config, self.cohort.sid)
        require_sender(client, shares.client)
        if client not in self.cohort.adverts:
            raise MalformedMessage("the client took no part in round 0")
        if sorted(shares.peers) != self.cohort.graph.neighbours(client):
            raise MalformedMessage("expected one message for each neighbour")
        for j, sent in shares.peers.items():
            _check_sizes(self.config, client, j, sent)
        return shares


def _check_sizes(config: Config, i: int, j: int, sent: PeerShare) -> None:
    hybrid = config.kem == keys.HYBRID
    kem_size = keys.CIPHERTEXT_BYTES if hybrid else 0
    pair_sizes = (kem_size, keys.WRAPPED_BYTES) if hybrid and i < j else (0, 0)
    got = (len(sent.transport_ct), len(sent.pair_ct), len(sent.wrapped))
    if got != (kem_size, *pair_sizes):
        raise MalformedMessage(f"expected key material of {(kem_size, *pair_sizes)} bytes: {got}")
