"""Rounds 3 and 4: confirm the survivor set, then give the shares that open the sum, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veil.errors import ProtocolError, TooFewSurvivors
from veil.secagg.client.session import Session
from veil.secagg.client.signatures import verify_signature
from veil.secagg.graph import Neighbourhood
from veil.secagg.messages import Confirm, Quorum, Survivors, Unmask
from veil.secagg.transcript import confirm_digest

__all__ = ["AwaitQuorum", "AwaitSurvivors", "Finished"]


@dataclass(frozen=True, slots=True)
class Finished:
    """After the reply to the opening: nothing secret is left."""

    sid: bytes


@dataclass(frozen=True, slots=True)
class AwaitSurvivors:
    """After round 2: holds the neighbours' shares, no key of its own."""

    leaf: bytes
    sid: bytes
    order: tuple[int, ...]
    shared: tuple[int, ...]
    held: Mapping[int, tuple[bytes, bytes]] = field(repr=False)
    context: bytes

    def confirm(self, session: Session, message: bytes) -> tuple[bytes, AwaitQuorum]:
        """Sign the sets (malicious server only)."""
        if not session.is_malicious:
            raise ProtocolError("confirm: an honest-but-curious session has no such round")
        survivors = self._check_survivors(session, message)
        following = AwaitQuorum(self, survivors)
        session.sign_set(self.leaf, 3, survivors)
        signature = session.sign(following.statement(session))
        return Confirm(session.client_id, self.sid, signature).encode(), following

    def unmask(self, session: Session, message: bytes) -> tuple[bytes, Finished]:
        """Open the sum of the survivors (honest-but-curious server only)."""
        if session.is_malicious:
            raise ProtocolError("unmask: a malicious-server session confirms the survivors first")
        return self.open_sum(session, self._check_survivors(session, message))

    def open_sum(self, session: Session, survivors: tuple[int, ...]) -> tuple[bytes, Finished]:
        """Give one share of each secret that this client holds, never both of one owner."""
        session.advance(self.leaf, 4)
        alive = set(survivors)
        self_shares = {j: both[1] for j, both in self.held.items() if j in alive}
        key_shares = {j: both[0] for j, both in self.held.items() if j not in alive}
        out = Unmask(session.client_id, self.sid, self_shares, key_shares)
        return out.encode(), Finished(self.sid)

    def _check_survivors(self, session: Session, message: bytes) -> tuple[int, ...]:
        survivors = tuple(Survivors.decode(message, session.config, self.sid).survivors)
        alive = set(survivors)
        if not alive <= set(self.shared):
            raise ProtocolError("survivors: expected clients that shared in round 1, got others")
        if session.client_id not in alive:
            raise ProtocolError("this client sent its vector, yet the server calls it dropped")
        thresholds = session.config.thresholds(len(self.order))
        floor = max(thresholds.min_survivors, session.policy.min_survivors)
        if len(alive) < floor:
            raise TooFewSurvivors(f"expected at least {floor} survivors, got {len(alive)}")
        graph = Neighbourhood(self.order, thresholds.k)
        for owner in self.held:
            live_holders = sum(holder in alive for holder in graph.holders(owner))
            if live_holders < thresholds.t:
                raise TooFewSurvivors(
                    f"expected at least {thresholds.t} live holders of client {owner}'s secrets, "
                    f"got {live_holders}"
                )
        return survivors


@dataclass(frozen=True, slots=True)
class AwaitQuorum:
    """After round 3: opens only the sets that it signed, and only with a quorum."""

    before: AwaitSurvivors
    survivors: tuple[int, ...]

    @property
    def leaf(self) -> bytes:
        """Entry of this client in the session id."""
        return self.before.leaf

    @property
    def sid(self) -> bytes:
        """Session id."""
        return self.before.sid

    def statement(self, session: Session) -> bytes:
        """Digest of what this client signed and expects the others to have signed."""
        sets = (sorted(self.before.order), self.before.shared, self.survivors)
        return confirm_digest(self.sid, session.config, self.before.context, sets)

    def unmask(self, session: Session, message: bytes) -> tuple[bytes, Finished]:
        """Open the sum if enough members signed the same sets."""
        quorum = Quorum.decode(message, session.config, self.sid)
        self._check_quorum(session, quorum)
        return self.before.open_sum(session, self.survivors)

    def _check_quorum(self, session: Session, quorum: Quorum) -> None:
        signers = set(quorum.signatures)
        if not signers <= set(self.survivors):
            raise ProtocolError("confirmations: expected signatures of survivors, got others")
        statement = self.statement(session)
        for signer, signature in quorum.signatures.items():
            verify_signature(session, signer, signature, statement)
        thresholds = session.config.thresholds(len(self.before.order))
        graph = Neighbourhood(self.before.order, thresholds.k)
        holders = sum(holder in signers for holder in graph.holders(session.client_id))
        if len(signers) < thresholds.quorum or holders < thresholds.t:
            raise TooFewSurvivors(
                f"expected {thresholds.quorum} confirmations, {thresholds.t} of them holders of "
                f"this client's secrets, got {len(signers)} and {holders}"
            )
