"""One session at the server: between Flower's nodes and the protocol's clients."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from veil.errors import MalformedMessage, ProtocolError
from veil.integrations.flower.envelope import Step
from veil.integrations.flower.terms import Terms
from veil.secagg import Config, Roster, Server, Sum
from veil.secagg.messages import Advert

__all__ = ["ServerSession"]

_log = logging.getLogger("veil.flower")


class ServerSession:
    """Carries one secure sum through its exchanges.

    Parameters
    ----------
    number : int
        Of the session, rising in the run.
    terms : Terms
        What is proposed to every node, without a client id.
    nodes : sequence of int
        Flower's ids of the nodes that are invited.
    roster : Roster or None
        Every site's identity; its ids are used and signatures checked.
    """

    def __init__(
        self, number: int, terms: Terms[Config], nodes: list[int], roster: Roster | None
    ) -> None:
        self.number = number
        self.terms = terms
        self.invited = sorted(nodes)
        self._roster = roster
        self._server = Server(
            terms.config,
            run_id=terms.run,
            round_number=number,
            roster=None if roster is None else roster.keys,
        )
        self._client_of: dict[int, int] = {}
        self._node_of: dict[int, int] = {}
        self._pending: dict[int, bytes] = {}
        self.refused: dict[str, str] = {}
        self.min_survivors = 0

    @property
    def is_malicious(self) -> bool:
        """Whether signatures and the confirmation are in use."""
        return self.terms.config.adversary == "malicious"

    @property
    def members(self) -> list[int]:
        """Nodes that are still in the session."""
        return sorted(self._node_of[client] for client in self._pending)

    def name(self, node: int) -> str:
        """Name a node: by its site where a roster tells it."""
        client = self._client_of.get(node)
        if self._roster is None or client is None:
            return f"node {node}"
        return self._roster.names[client]

    def invitations(self) -> dict[int, Step]:
        """Make the requests of round 0."""
        return {node: self._step("advertise", self._terms_for(at, node).encode())
                for at, node in enumerate(self.invited)}  # fmt: skip

    def requests(self, name: str) -> dict[int, Step]:
        """Make the requests of the next step from the protocol's messages."""
        return {
            self._node_of[client]: self._step(name, message)
            for client, message in self._pending.items()
        }

    def collect_adverts(self, replies: Mapping[int, bytes]) -> None:
        """Round 0: fix who takes part; which client each node is stands in its advert."""
        adverts: dict[int, bytes] = {}
        for node in sorted(replies):
            try:
                client = self._claimed(node, Advert.decode(replies[node]).client)
            except ProtocolError as error:
                self.refuse(node, str(error))
                continue
            self._client_of[node], self._node_of[client] = client, node
            adverts[client] = replies[node]
        with self._naming():
            self._pending = self._server.collect_keys(adverts)
        self.min_survivors = self.terms.config.thresholds(len(self._pending)).min_survivors

    def relay_shares(self, replies: Mapping[int, bytes]) -> None:
        """Round 1: fix who shared."""
        with self._naming():
            self._pending = self._server.relay_shares(self._by_client(replies))

    def collect_vectors(self, replies: Mapping[int, bytes]) -> None:
        """Round 2: add the masked vectors."""
        with self._naming():
            self._pending = self._server.collect_vectors(self._by_client(replies))

    def collect_confirmations(self, replies: Mapping[int, bytes]) -> None:
        """Round 3, malicious only: pass the signatures on."""
        with self._naming():
            self._pending = self._server.collect_confirmations(self._by_client(replies))

    def finish(self, replies: Mapping[int, bytes]) -> Sum:
        """Round 4: open the sum."""
        with self._naming():
            return self._server.finish(self._by_client(replies))

    def refuse(self, node: int, reason: str) -> None:
        """Note and log that a node's message was not used; the round goes on."""
        self.refused[self.name(node)] = reason
        _log.warning("%s: refused: %s", self.name(node), reason)

    def survivors(self, opened: Sum) -> tuple[str, ...]:
        """Names of the sites in a sum."""
        return tuple(sorted(self.name(self._node_of[client]) for client in opened.survivors))

    def _terms_for(self, at: int, node: int) -> Terms[Config]:
        if self._roster is not None:
            return self.terms
        values: dict[str, Any] = self.terms.to_dict()
        return Terms.from_dict({**values, "client": at})

    def _claimed(self, node: int, client: int) -> int:
        if self._roster is None and client != self.invited.index(node):
            raise MalformedMessage("the advert is of another client than the one invited")
        if client in self._node_of:
            raise MalformedMessage(
                f"node {self._node_of[client]} has sent the advert of client {client} before"
            )
        return client

    def _by_client(self, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        return {
            self._client_of[node]: payload
            for node, payload in replies.items()
            if node in self._client_of
        }

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Report by name whom the server refused meanwhile."""
        before = set(self._server.refused)
        try:
            yield
        finally:
            for client in self._server.refused.keys() - before:
                node = self._node_of[client]
                self.refuse(node, str(self._server.refused[client]))

    def _step(self, name: str, payload: bytes) -> Step:
        return Step(name, self.number, payload)
