"""Taking clients' messages: one bad message costs its sender the round, nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from veil.errors import MalformedMessage, ProtocolError

__all__ = ["Refusals", "take"]

Refusals = dict[int, ProtocolError]
_Message = TypeVar("_Message")
_log = logging.getLogger("veil.secagg")


def take(
    messages: Mapping[int, bytes],
    decode: Callable[[int, bytes], _Message],
    refused: Refusals,
) -> dict[int, _Message]:
    """Decode each client's message; what fails is noted under the client's id and left out.

    Parameters
    ----------
    messages : mapping of int to bytes
        By the id under which the transport knows the client.
    decode : callable
        Takes the id and the bytes, raises ProtocolError.
    refused : dict of int to ProtocolError
        Receives the refusals.

    Returns
    -------
    dict
        Decoded messages in the order of the ids.
    """
    taken: dict[int, _Message] = {}
    for client in sorted(messages):
        try:
            taken[client] = decode(client, messages[client])
        except ProtocolError as error:
            refused[client] = error
            _log.warning("client %d: message refused: %s", client, error)
    return taken


def require_sender(client: int, sender: int) -> None:
    """Refuse a message that another client's connection brought."""
    if sender != client:
        raise MalformedMessage(f"expected a message of client {client}, got one of {sender}")
