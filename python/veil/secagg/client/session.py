"""What stays the same through a client's rounds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from veil.errors import PolicyRefused
from veil.secagg.config import Config
from veil.secagg.policy import Policy
from veil.secagg.transcript import label_of
from veil.secagg.wire import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from veil.random import SecureGenerator

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """One client in one round of one run.

    Parameters
    ----------
    config : Config
        Agreed by all.
    client_id : int
        This client.
    identity_key : Ed25519PrivateKey or None
        Signs when the server may be malicious.
    policy : Policy
        Local limits.
    run_id : str
        Names the run.
    round_number : int
        Rises from round to round.
    beacon : bytes or None
        Public randomness for the graph.
    rng : SecureGenerator or None
        Source of secrets; the operating system's entropy if None.
    """

    config: Config
    client_id: int
    identity_key: Ed25519PrivateKey | None = field(repr=False)
    policy: Policy
    run_id: str
    round_number: int
    beacon: bytes | None
    rng: SecureGenerator | None = field(repr=False)

    @property
    def label(self) -> bytes:
        """Bytes that name this round."""
        return label_of(self.run_id, self.round_number)

    @property
    def is_malicious(self) -> bool:
        """Whether signatures and the confirmation round are in use."""
        return self.config.adversary == "malicious"

    def random_bytes(self, size: int) -> bytes:
        """Fresh secret bytes."""
        return os.urandom(size) if self.rng is None else self.rng.bytes(size)

    def sign(self, message: bytes) -> bytes:
        """Sign with the identity key; empty when the server is honest but curious."""
        if not self.is_malicious or self.identity_key is None:
            return b""
        return self.identity_key.sign(message)

    @property
    def run_name(self) -> str:
        """Name of this client's rounds in the replay guard."""
        return f"run {self.run_id} client {self.client_id}"

    def require_guard(self, leaf: bytes) -> None:
        """Refuse a replay guard that did not see this session begin: it would refuse nothing.

        Raises
        ------
        PolicyRefused
            If the guard does not know the session.
        """
        if not self.policy.replay.knows(leaf):
            raise PolicyRefused(
                f"replay: expected the guard that was used before, which knows this session of "
                f"round {self.round_number} of {self.run_name}; this one does not, and would let "
                "the state be used twice; give the policy the FileReplayGuard of the session"
            )

    def advance(self, leaf: bytes, step: int, *, context: bytes = b"") -> None:
        """Use a step of the session, named by this client's leaf, once for all.

        By the leaf, not the session id: a restored copy could be shown another roster, and the same
        seed in two sessions would let the server call this client dead in one, alive in the other.
        """
        own = digest("veil/used-context/1", self.client_id, context) if context else b""
        self.policy.replay.advance(leaf, step, context=own)

    def sign_set(self, leaf: bytes, step: int, survivors: Iterable[int]) -> None:
        """Use a step that opens a set, unless the policy finds it too near to an earlier one.

        Members are remembered by their keys, since another roster may give their ids to others.
        """
        apart, roster = self.policy.min_set_difference, self.policy.roster
        if apart is None or roster is None:
            return self.advance(leaf, step)
        members = [roster[client].public_bytes_raw() for client in survivors]
        self.policy.replay.advance(leaf, step, members=members, apart=apart)
