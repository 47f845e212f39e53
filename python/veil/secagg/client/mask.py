"""Round 2: open the shares that came, mask the vector with every key at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from veil.errors import ProtocolError, TooFewSurvivors
from veil.random import SecureGenerator
from veil.secagg import keys
from veil.secagg.client.session import Session
from veil.secagg.client.unmask import AwaitSurvivors
from veil.secagg.context import require_context
from veil.secagg.graph import Neighbourhood
from veil.secagg.keys import PublicKeys
from veil.secagg.masking import MaskKeys, mask_and_pack, pair_mask_key, self_mask_key
from veil.secagg.messages import SEED_SHARE_BYTES, Masked, PeerShare, Relay

__all__ = ["AwaitRelay"]


@dataclass(frozen=True, slots=True)
class AwaitRelay:
    """After round 1: holds all secrets of the session."""

    leaf: bytes
    sid: bytes
    order: tuple[int, ...]
    mu: bytes = field(repr=False)
    b: bytes = field(repr=False)
    transport: tuple[bytes, bytes] = field(repr=False)
    masking_peers: Mapping[int, PublicKeys]
    transport_peers: Mapping[int, PublicKeys]
    bindings: Mapping[int, bytes]
    own_share: bytes = field(repr=False)

    def mask(
        self,
        session: Session,
        message: bytes,
        vector: NDArray[Any],
        *,
        context: bytes,
        weight: int | None,
        rng: SecureGenerator | None,
        threads: int | None,
    ) -> tuple[bytes, AwaitSurvivors]:
        """Answer the relayed shares with the masked vector; the mask keys are gone afterwards.

        Raises
        ------
        ProtocolError
            If the server's sets break a rule, or a neighbour's message does not open.
        """
        if session.is_malicious:
            require_context(context)
        relay = Relay.decode(message, session.config, self.sid)
        graph = self._graph(session)
        live = self._check_shared(session, relay, graph)
        held = self._open_shares(session, relay, live)
        masks = self._mask_keys(session, relay, live, context)
        session.advance(self.leaf, 2, context=context)
        room = Masked.room(session.client_id, self.sid, context, session.config)
        with room.payload as out:
            mask_and_pack(session.config, masks, vector, weight, rng, out=out, threads=threads)
        shared = tuple(relay.shared)
        following = AwaitSurvivors(self.leaf, self.sid, self.order, shared, held, context)
        return room.message(), following

    def _graph(self, session: Session) -> Neighbourhood:
        return Neighbourhood(self.order, session.config.thresholds(len(self.order)).k)

    def _check_shared(self, session: Session, relay: Relay, graph: Neighbourhood) -> list[int]:
        shared = set(relay.shared)
        if not shared <= set(self.order):
            raise ProtocolError("clients shared secrets that took no part in round 0")
        if session.client_id not in shared:
            raise ProtocolError("this client sent its shares, yet the server calls it absent")
        thresholds = session.config.thresholds(len(self.order))
        if len(shared) < thresholds.min_survivors:
            raise TooFewSurvivors(
                f"expected at least {thresholds.min_survivors} clients that shared, "
                f"got {len(shared)}"
            )
        live = [j for j in graph.neighbours(session.client_id) if j in shared]
        if sorted(relay.peers) != live:
            raise ProtocolError(f"expected one message from each of {live}")
        return live

    def _open_shares(
        self, session: Session, relay: Relay, live: list[int]
    ) -> dict[int, tuple[bytes, bytes]]:
        me = session.client_id
        transport = keys.transport_keys(*self.transport, session.config.kem)
        held: dict[int, tuple[bytes, bytes]] = {}
        for j in live:
            sent = relay.peers[j]
            exchanged = transport.exchange(self.transport_peers[j])
            kem_secret = transport.decapsulate(sent.transport_ct) if sent.transport_ct else b""
            key = keys.share_key(exchanged, kem_secret, self.sid, j, me)
            bound = keys.binding(sent.pair_ct, sent.wrapped)
            both = keys.unseal(key, sent.sealed, self.sid, j, me, bound, of=f"shares of client {j}")
            held[j] = _split_share(both, j)
        if self.own_share:
            held[me] = _split_share(self.own_share, me)
        return held

    def _mask_keys(
        self, session: Session, relay: Relay, live: list[int], context: bytes
    ) -> MaskKeys:
        me, config = session.client_id, session.config
        private = keys.masking_keys(self.mu, config.kem)
        signed = [(self_mask_key(self.b, self.sid, me, config, context), 1)]
        for j in live:
            i, other = min(me, j), max(me, j)
            r, bound = self._contribution(session, j, relay.peers[j], private)
            exchanged = private.exchange(self.masking_peers[j])
            secret = keys.pair_secret(exchanged, r, self.sid, i, other, bound)
            key = pair_mask_key(secret, self.sid, i, other, config, context)
            signed.append((key, 1 if me < j else -1))
        return MaskKeys.of(signed)

    def _contribution(
        self, session: Session, j: int, sent: PeerShare, private: keys.PrivateKeys
    ) -> tuple[bytes, bytes]:
        """Give the post-quantum part of the pair's secret, and what ties it to the ciphertext."""
        me = session.client_id
        if session.config.kem != keys.HYBRID:
            return b"", keys.binding(b"", b"")
        if me < j:
            return keys.pair_contribution(self.mu, self.sid, me, j), self.bindings[j]
        kem_secret = private.decapsulate(sent.pair_ct)
        r = keys.unwrap_contribution(kem_secret, sent.wrapped, self.sid, j, me, sent.pair_ct)
        return r, keys.binding(sent.pair_ct, sent.wrapped)


def _split_share(both: bytes, owner: int) -> tuple[bytes, bytes]:
    if len(both) != 2 * SEED_SHARE_BYTES:
        raise ProtocolError(f"client {owner}: expected {2 * SEED_SHARE_BYTES} bytes of shares")
    return both[:SEED_SHARE_BYTES], both[SEED_SHARE_BYTES:]
