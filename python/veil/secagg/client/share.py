"""Round 1: check who takes part, fix the session id, share the seeds with the holders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veil.errors import MalformedMessage, PolicyRefused, ProtocolError
from veil.secagg import keys
from veil.secagg.client.mask import AwaitRelay
from veil.secagg.client.session import Session
from veil.secagg.client.signatures import verify_signature
from veil.secagg.graph import Neighbourhood
from veil.secagg.keys import PrivateKeys, PublicKeys
from veil.secagg.messages import Advert, PeerShare, Roster, Shares
from veil.secagg.shamir import split_secrets
from veil.secagg.transcript import (
    advert_digest,
    beacon_order,
    leaf_of,
    roster_digest,
    session_id,
)

__all__ = ["AwaitRoster"]


@dataclass(frozen=True, slots=True)
class AwaitRoster:
    """After round 0: holds the seeds of both key pairs."""

    mu: bytes = field(repr=False)
    transport: tuple[bytes, bytes] = field(repr=False)
    leaf: bytes

    def share(self, session: Session, message: bytes) -> tuple[bytes, AwaitRelay]:
        """Answer the roster with shares for every neighbour.

        Raises
        ------
        ProtocolError
            If the roster is not what this client's configuration and policy allow.
        """
        roster = Roster.decode(message, session.config)
        graph = self._check_cohort(session, roster)
        peers = self._check_adverts(session, roster, graph)
        sid = session_id(session.label, session.config, roster.leaves)
        session.advance(self.leaf, 1)
        return self._share_out(session, sid, graph, peers)

    def _check_cohort(self, session: Session, roster: Roster) -> Neighbourhood:
        ids = sorted(roster.leaves)
        if roster.leaves.get(session.client_id) != self.leaf:
            raise ProtocolError("the roster lacks this client's own keys, or changed them")
        thresholds = session.config.thresholds(len(ids))
        session.policy.check_cohort(ids, thresholds)
        if sorted(roster.order) != ids:
            raise MalformedMessage("the graph's order is not a permutation of the participants")
        if tuple(roster.order) != _expected_order(session, ids, roster.order):
            raise PolicyRefused("the graph is not the one that the public beacon gives")
        return Neighbourhood(roster.order, thresholds.k)

    def _check_adverts(
        self, session: Session, roster: Roster, graph: Neighbourhood
    ) -> dict[int, Advert]:
        neighbours = graph.neighbours(session.client_id)
        expected = sorted({*neighbours, session.client_id}) if graph.is_full else neighbours
        if sorted(roster.adverts) != expected and sorted(roster.adverts) != neighbours:
            raise ProtocolError(f"expected the adverts of clients {neighbours}")
        return {j: _check_advert(session, j, roster) for j in neighbours}

    def _share_out(
        self, session: Session, sid: bytes, graph: Neighbourhood, peers: Mapping[int, Advert]
    ) -> tuple[bytes, AwaitRelay]:
        me = session.client_id
        b = session.random_bytes(32)
        participants = sorted(graph.order)
        points = {client: at + 1 for at, client in enumerate(participants)}
        holders = graph.holders(me)
        threshold = session.config.thresholds(len(participants)).t
        rows = split_secrets(
            [self.mu, b], threshold=threshold, points=[points[j] for j in holders], rng=session.rng
        )
        shares = {j: row[0] + row[1] for j, row in zip(holders, rows, strict=True)}
        transport = keys.transport_keys(*self.transport, session.config.kem)
        sent = {
            j: self._share_with(sid, me, j, advert, shares[j], transport)
            for j, advert in peers.items()
        }
        out = Shares(me, sid, keys.self_commitment(sid, me, b), sent)
        following = AwaitRelay(
            leaf=self.leaf,
            sid=sid,
            order=graph.order,
            mu=self.mu,
            b=b,
            transport=self.transport,
            masking_peers={j: advert.masking for j, advert in peers.items()},
            transport_peers={j: advert.transport for j, advert in peers.items()},
            bindings={j: keys.binding(s.pair_ct, s.wrapped) for j, s in sent.items() if me < j},
            own_share=shares.get(me, b""),
        )
        return out.encode(), following

    def _share_with(
        self, sid: bytes, me: int, j: int, advert: Advert, share: bytes, transport: PrivateKeys
    ) -> PeerShare:
        pair_ct = wrapped = b""
        if me < j and advert.masking.mlkem:
            kem_secret, pair_ct = keys.encapsulate(advert.masking)
            r = keys.pair_contribution(self.mu, sid, me, j)
            wrapped = keys.wrap_contribution(kem_secret, r, sid, me, j, pair_ct)
        kem_secret, transport_ct = keys.encapsulate(advert.transport)
        key = keys.share_key(transport.exchange(advert.transport), kem_secret, sid, me, j)
        sealed = keys.seal(key, share, sid, me, j, keys.binding(pair_ct, wrapped))
        return PeerShare(transport_ct, sealed, pair_ct, wrapped)


def _expected_order(session: Session, ids: list[int], offered: tuple[int, ...]) -> tuple[int, ...]:
    if session.config.graph == "full":
        return tuple(ids)
    if not session.is_malicious:
        return tuple(offered)  # an honest server draws it at random
    if session.policy.roster is None or session.beacon is None:
        raise PolicyRefused("a sparse graph under a malicious server needs a public beacon")
    return beacon_order(ids, roster_digest(session.policy.roster), session.label, session.beacon)


def _check_advert(session: Session, j: int, roster: Roster) -> Advert:
    advert = Advert.decode(roster.adverts[j])
    if advert.client != j or leaf_of(advert) != roster.leaves[j]:
        raise ProtocolError(f"client {j}: the advert does not match its leaf in the roster")
    if advert.label != session.label:
        raise ProtocolError(f"client {j}: the advert is of another round")
    if advert.config_digest != session.config.digest():
        raise ProtocolError(f"client {j}: its configuration differs from this client's")
    keys.check_public(PublicKeys(*advert.masking), session.config.kem)
    keys.check_public(PublicKeys(*advert.transport), session.config.kem)
    if session.is_malicious:
        verify_signature(session, j, advert.signature, advert_digest(advert))
    return advert
