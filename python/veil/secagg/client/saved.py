"""A client's state as bytes, sealed with AES-256-GCM under a local key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from veil.errors import MalformedMessage
from veil.secagg.client.advertise import Start
from veil.secagg.client.mask import AwaitRelay
from veil.secagg.client.session import Session
from veil.secagg.client.share import AwaitRoster
from veil.secagg.client.unmask import AwaitQuorum, AwaitSurvivors, Finished
from veil.secagg.config import Config
from veil.secagg.keys import PublicKeys

__all__ = ["Saved", "open_state", "seal_state"]

_FORMAT = b"veil/secagg-state/2"
_STATES = {
    state.__name__: state
    for state in (Start, AwaitRoster, AwaitRelay, AwaitSurvivors, AwaitQuorum, Finished)
}


@dataclass(frozen=True, slots=True)
class Saved:
    """What a sealed state holds."""

    client_id: int
    run_id: str
    round_number: int
    state: Any = field(repr=False)
    last: tuple[bytes, bytes] = field(repr=False)


def seal_state(key: bytes, session: Session, state: Any, last: tuple[bytes, bytes]) -> bytes:
    """Nonce, then the sealed state and the last message."""
    head = {
        "client_id": session.client_id,
        "run_id": session.run_id,
        "round_number": session.round_number,
        "state": _plain(state),
        "asked": last[0].hex(),
    }
    text = json.dumps(head).encode()
    nonce = os.urandom(12)
    plaintext = b"".join([len(text).to_bytes(8, "little"), text, last[1]])
    return nonce + _aead(key).encrypt(nonce, plaintext, _FORMAT + session.config.digest())


def open_state(key: bytes, saved: bytes, config: Config) -> Saved:
    """Inverse of `seal_state`.

    Raises
    ------
    MalformedMessage
        If the bytes, the key or the configuration differ.
    """
    try:
        plain = _aead(key).decrypt(saved[:12], saved[12:], _FORMAT + config.digest())
    except (InvalidTag, ValueError) as error:
        raise MalformedMessage(
            "the saved state does not open: damaged, another key or another configuration"
        ) from error
    size = int.from_bytes(plain[:8], "little")
    head = json.loads(plain[8 : 8 + size])
    state = _from_plain(head["state"])
    last = bytes.fromhex(head["asked"]), plain[8 + size :]
    return Saved(head["client_id"], head["run_id"], head["round_number"], state, last)


def _aead(key: bytes) -> AESGCM:
    if len(key) != 32:
        raise ValueError(f"key: expected 32 bytes, got {len(key)}")
    return AESGCM(key)


def _plain(value: Any) -> Any:
    """JSON for the value types that states hold, each tagged so that it comes back as it was."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, PublicKeys):
        return {"keys": [part.hex() for part in value]}
    if isinstance(value, tuple):
        return {"tuple": [_plain(item) for item in value]}
    if isinstance(value, Mapping):
        return {"map": [[client, _plain(item)] for client, item in value.items()]}
    if is_dataclass(value) or isinstance(value, Start):
        names = [f.name for f in fields(value)] if is_dataclass(value) else []
        content = {name: _plain(getattr(value, name)) for name in names}
        return {"state": type(value).__name__, "fields": content}
    return value


def _from_plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "keys" in value:
        return PublicKeys(*(bytes.fromhex(part) for part in value["keys"]))
    if "tuple" in value:
        return tuple(_from_plain(item) for item in value["tuple"])
    if "map" in value:
        return {client: _from_plain(item) for client, item in value["map"]}
    content = {name: _from_plain(item) for name, item in value["fields"].items()}
    return _STATES[value["state"]](**content)
