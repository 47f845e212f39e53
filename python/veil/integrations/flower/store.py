"""A site's protocol state between messages: sealed, in Flower's ``Context.state``.

Flower starts a new process for every message and keeps the context in the SuperNode. What lies
there is sealed under a key derived from the site's identity, which is never in it.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from veil._optional import require
from veil.errors import MalformedMessage, ProtocolError
from veil.integrations.flower.envelope import Envelope, Step
from veil.integrations.flower.terms import Terms
from veil.secagg import Client, Config, Policy
from veil.secagg.identity import Identity

if TYPE_CHECKING:
    from flwr.app import RecordDict

__all__ = ["Session", "Store"]

_RECORD = "veil"
_AAD = b"veil/flower-state/1"
_KEPT_SESSIONS = 2  # one in use and the next, which is being set up
_KEPT_DIGESTS = 16
_log = logging.getLogger("veil.flower")


@dataclass(slots=True)
class Session:
    """One session at this site."""

    terms: Terms[Config]
    client: Client


@dataclass(slots=True)
class Store:
    """Sessions, and what was answered.

    Parameters
    ----------
    identity : Identity
        Gives the key that seals.
    policy : Policy
        The site's.
    sessions : dict of int to Session
        By number.
    seen : list of str
        Digests of the requests that were answered, latest last.
    reply : tuple
        Steps and refusals of the last answer; the messages themselves are in the sessions.
    """

    identity: Identity
    policy: Policy
    sessions: dict[int, Session] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    reply: tuple[list[tuple[str, int]], dict[str, str]] = field(default_factory=lambda: ([], {}))

    @classmethod
    def open(cls, state: RecordDict, identity: Identity, policy: Policy) -> Store:
        """Read the state; one that does not open is dropped, and its sessions with it."""
        store = cls(identity, policy)
        record = state.get(_RECORD)
        if record is None:
            return store
        try:
            store._read(record)
        except (MalformedMessage, InvalidTag, KeyError, ValueError, TypeError):
            _log.warning("the saved sessions do not open (another identity key?) and are dropped")
            return cls(identity, policy)
        return store

    def save(self, state: RecordDict) -> None:
        """Write everything, sealed, before the answer leaves."""
        flwr = require("flwr.app", "flower")
        head = {
            "sessions": {str(n): s.terms.to_dict() for n, s in self.sessions.items()},
            "seen": self.seen[-_KEPT_DIGESTS:],
            "reply": self.reply,
        }
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(self._key).encrypt(nonce, json.dumps(head).encode(), _AAD)
        clients = {f"client:{n}": s.client.save(self._key) for n, s in self.sessions.items()}
        state[_RECORD] = flwr.ConfigRecord({"head": sealed, **clients})

    def answered(self, request: Envelope) -> Envelope | None:
        """Return the answer that this very request got before, or None if it is new.

        Raises
        ------
        ProtocolError
            If it was answered, but not as the last one.
        """
        digest = request.digest.hex()
        if digest not in self.seen:
            return None
        if digest != self.seen[-1]:
            raise ProtocolError("this request was answered before the last one; it is stale")
        steps, refused = self.reply
        return Envelope(
            tuple(Step(name, n, self.session(n).client.last_message) for name, n in steps),
            refused,
        )

    def answer(self, request: Envelope, answer: Envelope) -> None:
        """Remember what was answered."""
        self.seen.append(request.digest.hex())
        self.reply = [(s.name, s.session) for s in answer.steps], dict(answer.refused)

    def begin(self, number: int, session: Session) -> None:
        """Add a session; those of earlier processes of the server, and old ones, are dropped."""
        run = session.terms.run
        same = {n: s for n, s in self.sessions.items() if s.terms.run == run and n < number}
        kept = sorted(same)[1 - _KEPT_SESSIONS :]
        self.sessions = {**{n: same[n] for n in kept}, number: session}

    def session(self, number: int) -> Session:
        """Find a session.

        Raises
        ------
        ProtocolError
            If there is none of this number.
        """
        if number not in self.sessions:
            raise ProtocolError(f"session {number}: expected an invitation to it first")
        return self.sessions[number]

    @property
    def runs(self) -> set[str]:
        """Names of the runs that have a session here."""
        return {session.terms.run for session in self.sessions.values()}

    @property
    def _key(self) -> bytes:
        return self.identity.storage_key("flower-state")

    def _read(self, record: Any) -> None:
        sealed = bytes(record["head"])
        head = json.loads(AESGCM(self._key).decrypt(sealed[:12], sealed[12:], _AAD))
        for number, values in head["sessions"].items():
            terms = Terms.from_dict(values)
            client = Client.restore(
                bytes(record[f"client:{number}"]),
                self._key,
                terms.config,
                signing_key(self.identity, self.policy),
                self.policy,
            )
            self.sessions[int(number)] = Session(terms, client)
        self.seen = list(head["seen"])
        steps, refused = head["reply"]
        self.reply = [(name, number) for name, number in steps], refused


def signing_key(identity: Identity, policy: Policy) -> Any:
    """Give the identity's key where a roster asks for signatures."""
    return None if policy.roster is None else identity.key
