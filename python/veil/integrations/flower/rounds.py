"""A training round as exchanges: what is sent with what, and which session comes next.

While a round is trained and opened, the next round's session is set up in the same messages:

    request                                 reply
    A  relayed shares, model, invitation    masked vector, next round's advert
    B  survivors, next round's adverts      signature (malicious) or shares, next round's shares
    C  signatures (malicious)               shares that open the sum

So a round costs two exchanges, three against a malicious server, instead of four and five.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from veil.errors import ProtocolError
from veil.integrations.flower.envelope import Envelope, Step, by_step, gathered
from veil.integrations.flower.exchange import envelopes, messages_for
from veil.integrations.flower.session import ServerSession
from veil.integrations.flower.terms import Terms
from veil.secagg import Config, Roster, Sum

if TYPE_CHECKING:
    from flwr.app import Message

    from veil.integrations.flower.exchange import PollingGrid

__all__ = ["Opened", "Rounds"]

_log = logging.getLogger("veil.flower")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a round gave: the sum, who is in it, who was refused, and the bytes that moved.

    Two sums without noise in them show nothing of one site if the sets are `apart` sites apart.
    """

    total: Sum
    survivors: tuple[str, ...]
    refused: Mapping[str, str]
    bytes_up: int
    bytes_down: int
    apart: int


@dataclass(slots=True)
class Rounds:
    """The server's sessions, one in use and the next in the making.

    Parameters
    ----------
    config_for : callable
        From the number of nodes invited to the configuration.
    metrics : dict of str to float
        Metrics in the vector, with bounds.
    privacy : str or None
        Digest of the mechanism.
    roster : Roster or None
        Every site's identity.
    message_type : str
        Of the messages that train: all others go the same way.
    """

    config_for: Callable[[int], Config]
    metrics: dict[str, float]
    privacy: str | None
    roster: Roster | None
    message_type: str = "train"
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    exchanges: int = 0
    _number: int = 0
    _current: ServerSession | None = None
    _next: ServerSession | None = None
    _moved: list[int] = field(default_factory=lambda: [0, 0])
    _refused: dict[int, str] = field(default_factory=dict)
    _group: str = ""

    def prepare(self, nodes: Sequence[int], grid: PollingGrid, *, group: str,
                timeout: float | None) -> bool:  # fmt: skip
        """See to it that a session is set up among these nodes; False if too few answered."""
        self._group, self._moved, self._refused = group, [0, 0], {}
        ready = self._next
        self._current = self._next = None
        if ready is not None and self._is_enough(ready, nodes):
            self._current = ready
            return True
        session = self._invite(nodes)
        try:
            replies = self._exchange(gathered(session.invitations()), grid, timeout)
            session.collect_adverts(by_step(replies, "advertise", session.number))
            replies = self._exchange(gathered(session.requests("share")), grid, timeout)
            session.relay_shares(by_step(replies, "share", session.number))
        except ProtocolError as error:
            self._report(session)
            _log.warning("round %s: no session could be set up: %s", group, error)
            return False
        self._current = session
        return True

    def requests(self, nodes: Sequence[int], *, more: bool) -> dict[int, Envelope]:
        """Exchange A: whom to ask for a masked vector, and whom to invite to the next session."""
        assert self._current is not None
        asked = self._current.requests("mask").items()
        masks = {node: step for node, step in asked if node in set(nodes)}
        self._next = self._invite(nodes) if more else None
        invitations = self._next.invitations() if self._next is not None else {}
        return self._count_down(
            {node: Envelope(tuple(steps)) for node, steps in gathered(masks, invitations).items()}
        )

    def open(
        self, replies: Iterable[Message], grid: PollingGrid, *, timeout: float | None
    ) -> Opened | None:
        """Exchanges B and C; None if the sum may not be opened."""
        session, self._current = self._current, None
        if session is None:
            return None
        self.exchanges += 1
        answers = self._count_up(envelopes(replies, self._refused))
        self._advance_next("collect_adverts", "advertise", answers)
        try:
            session.collect_vectors(by_step(answers, "mask", session.number))
            first = "confirm" if session.is_malicious else "unmask"
            shares = self._next.requests("share") if self._next is not None else {}
            answers = self._exchange(gathered(session.requests(first), shares), grid, timeout)
            self._advance_next("relay_shares", "share", answers)
            if session.is_malicious:
                session.collect_confirmations(by_step(answers, "confirm", session.number))
                answers = self._exchange(gathered(session.requests("unmask")), grid, timeout)
            total = session.finish(by_step(answers, "unmask", session.number))
        except ProtocolError as error:
            self._next = None
            self._report(session)
            _log.warning("round %s: the sum was not opened, the model stays: %s",
                         self._group, error)  # fmt: skip
            return None
        refused = self._report(session)
        config = session.terms.config
        apart = config.corrupt + 2 if config.noise is None else 0
        up, down = self._moved
        return Opened(total, session.survivors(total), refused, up, down, apart)

    def _invite(self, nodes: Sequence[int]) -> ServerSession:
        self._number += 1
        config = self.config_for(len(nodes))
        terms = Terms(self.run, None, config, self.metrics, self.privacy)
        return ServerSession(self._number, terms, list(nodes), self.roster)

    def _is_enough(self, ready: ServerSession, nodes: Sequence[int]) -> bool:
        """Whether the nodes of this round that shared can still open a sum."""
        present = set(ready.members) & set(nodes)
        # Thresholds follow from those who advertised; they bound those who shared from above.
        return len(present) >= ready.min_survivors

    def _advance_next(self, method: str, name: str, answers: Mapping[int, Envelope]) -> None:
        """Move the next session on; if that fails, the next round sets up its own."""
        if self._next is None:
            return
        try:
            getattr(self._next, method)(by_step(answers, name, self._next.number))
        except ProtocolError as error:
            _log.info("the next session will be set up anew: %s", error)
            self._next = None

    def _exchange(
        self, steps: Mapping[int, Sequence[Step]], grid: PollingGrid, timeout: float | None
    ) -> dict[int, Envelope]:
        self.exchanges += 1
        self._count_down({node: Envelope(tuple(own)) for node, own in steps.items()})
        messages = messages_for(steps, message_type=self.message_type, group=self._group)
        replies = grid.send_and_receive(messages, timeout=timeout)
        return self._count_up(envelopes(replies, self._refused))

    def _count_down(self, requests: dict[int, Envelope]) -> dict[int, Envelope]:
        self._moved[1] += sum(envelope.nbytes for envelope in requests.values())
        return requests

    def _count_up(self, replies: dict[int, Envelope]) -> dict[int, Envelope]:
        self._moved[0] += sum(envelope.nbytes for envelope in replies.values())
        return replies

    def _report(self, session: ServerSession) -> dict[str, str]:
        """Names of the refused, of this round's session and of the engine's replies."""
        for node, reason in self._refused.items():
            session.refuse(node, reason)
        return dict(session.refused)
