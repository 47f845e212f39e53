"""One exchange with the nodes: send, poll, check what came back."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from veil._optional import require
from veil.errors import ProtocolError
from veil.integrations.flower.envelope import Envelope, Step, printable

if TYPE_CHECKING:
    from flwr.app import Message

__all__ = ["PollingGrid", "envelopes", "messages_for"]

_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0
_ABSENCE_CHECK = 2.0
_log = logging.getLogger("veil.flower")


class PollingGrid:
    """Flower's Grid with a `send_and_receive` that looks more often and knows who has left.

    Flower's own sleeps three seconds between two looks, and waits for nodes that are offline until
    the timeout.

    Parameters
    ----------
    grid : Grid
        Everything else is left to it.
    patience : float or None
        Seconds to wait for the rest once `enough` nodes have answered; None: until the timeout.

    Attributes
    ----------
    enough : int or None
        Answers without which an exchange is of no use; None waits for all.
    """

    def __init__(self, grid: Any, patience: float | None) -> None:
        self._grid = grid
        self._patience = patience
        self.enough: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, return the replies that came before all came, left or the timeout."""
        sent = list(messages)
        if not sent:
            return []
        nodes = [message.metadata.dst_node_id for message in sent]
        _log.info("%d messages sent to nodes %s", len(sent), sorted(nodes))
        ids = list(self._grid.push_messages(sent))
        waiting = {i: node for i, node in zip(ids, nodes, strict=True) if i is not None}
        end = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        pause, looked, hurried = _FIRST_POLL, time.monotonic(), False
        while True:
            came = list(self._grid.pull_messages(list(waiting)))
            replies += came
            for message in came:
                waiting.pop(message.metadata.reply_to_message_id, None)
            now = time.monotonic()
            if not hurried and self.enough is not None and len(replies) >= self.enough:
                hurried = True  # from now on, and not again from each further answer
                end = self._sooner(end, now)
            if not waiting or (end is not None and now >= end):
                break
            if now - looked >= _ABSENCE_CHECK:
                looked = now
                if not set(waiting.values()) & set(self._grid.get_node_ids()):
                    break
            time.sleep(pause)
            pause = min(1.3 * pause, _LONGEST_POLL)
        if waiting:
            _log.warning("no answer from nodes %s", sorted(waiting.values()))
        return replies

    def _sooner(self, end: float | None, now: float) -> float | None:
        """End of the wait, once enough have answered."""
        if self._patience is None:
            return end
        latest = now + self._patience
        return latest if end is None else min(end, latest)


def messages_for(
    steps: Mapping[int, Sequence[Step]], *, message_type: str, group: str
) -> list[Message]:
    """Messages that carry protocol steps alone."""
    flwr = require("flwr.app", "flower")
    return [
        flwr.Message(
            flwr.RecordDict(Envelope(tuple(own)).records()), node, message_type, group_id=group
        )
        for node, own in steps.items()
    ]


def envelopes(replies: Iterable[Message], refused: dict[int, str]) -> dict[int, Envelope]:
    """Decode replies by node; what is no answer is noted under the node and left out."""
    taken: dict[int, Envelope] = {}
    for message in replies:
        node = message.metadata.src_node_id
        if message.has_error():
            refused[node] = f"error {message.error.code}: {printable(str(message.error.reason))}"
            continue
        try:
            envelope = Envelope.of(message.content)
        except ProtocolError as error:
            refused[node] = str(error)
            continue
        extra = set(message.content) - {"veil", "veil.parts"}
        if extra:
            # Whatever it is, it was sent in clear: its site runs other code than it should.
            refused[node] = f"its reply has the records {sorted(map(str, extra))} in clear"
            continue
        taken[node] = envelope
        for key, reason in envelope.refused.items():
            refused[node] = f"{key}: {reason}"
    return taken
