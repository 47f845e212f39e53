"""What both sides hash and sign: leaves, session id, graph order, confirmation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from veil.random import Keystream
from veil.secagg.config import Config
from veil.secagg.graph import ring_order
from veil.secagg.messages import Advert
from veil.secagg.wire import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["advert_digest", "beacon_order", "confirm_digest", "label_of", "leaf_of", "session_id"]


def label_of(run_id: str, round_number: int) -> bytes:
    """Bytes that name one round of one run."""
    return digest("veil/label/1", run_id, round_number)


def advert_digest(advert: Advert) -> bytes:
    """Hash what a client signs in round 0."""
    return digest(
        "veil/advert/1",
        advert.label,
        advert.config_digest,
        advert.client,
        *advert.masking,
        *advert.transport,
    )


def leaf_of(advert: Advert) -> bytes:
    """Hash a client's advert to its entry in the session id."""
    return digest(
        "veil/leaf/1",
        advert.client,
        *advert.masking,
        *advert.transport,
        advert.label,
        advert.config_digest,
        advert.signature,
    )


def session_id(label: bytes, config: Config, leaves: Mapping[int, bytes]) -> bytes:
    """Session id over the participants of round 0, in the order of their ids."""
    return digest(
        "veil/sid/1", label, config.digest(), *(leaves[client] for client in sorted(leaves))
    )


def confirm_digest(
    sid: bytes, config: Config, context: bytes, sets: Sequence[Sequence[int]]
) -> bytes:
    """Hash what a client signs in round 3: session, model and the sets U1, U2, U3."""
    participants = sets[0]
    position = {client: at for at, client in enumerate(participants)}
    size = -(-len(participants) // 8)
    bitmaps = [sum(1 << position[c] for c in members).to_bytes(size, "little") for members in sets]
    return digest("veil/confirm/1", sid, config.digest(), context, *bitmaps)


def roster_digest(roster: Mapping[int, Ed25519PublicKey]) -> bytes:
    """SHA-256 of all members' ids and identity keys."""
    fields = [(client, roster[client].public_bytes_raw()) for client in sorted(roster)]
    return digest("veil/roster/1", *(part for field in fields for part in field))


def beacon_order(ids: Sequence[int], roster: bytes, label: bytes, beacon: bytes) -> tuple[int, ...]:
    """Order of the graph from public randomness that the server could not choose."""
    key = hashlib.sha256(digest("veil/graph/1", roster, label, beacon)).digest()
    words = Keystream(key).uint64(len(ids))
    return ring_order(sorted(ids), [int(word) for word in np.asarray(words)])
