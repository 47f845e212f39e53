"""The messages of the protocol as records, each with its encoder and its bounded decoder.

docs/design/secagg-wire.md is the table of the layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from veil.secagg.config import Config
from veil.secagg.keys import PublicKeys
from veil.secagg.shamir import share_bytes
from veil.secagg.wire import SERVER, Kind, Reader, Room, Writer, open_message

__all__ = [
    "Advert",
    "Confirm",
    "Masked",
    "PeerShare",
    "Quorum",
    "Relay",
    "Roster",
    "Shares",
    "Survivors",
    "Unmask",
]

NO_SESSION = bytes(32)  # round 0 comes before the session id
SEED_SHARE_BYTES = share_bytes(32)
MAX_LABEL_BYTES = 256
MAX_CONTEXT_BYTES = 64
SIGNATURE_BYTES = 64
_MAX_KEY_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Advert:
    """Round 0, client: its public keys, signed when the server may be malicious."""

    client: int
    label: bytes
    config_digest: bytes
    masking: PublicKeys
    transport: PublicKeys
    signature: bytes

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.var(self.label)
        writer.fixed(self.config_digest)
        for part in (*self.masking, *self.transport, self.signature):
            writer.var(part)
        return writer.message(Kind.ADVERT, self.client, NO_SESSION)

    @classmethod
    def decode(cls, data: bytes) -> Advert:
        """Decode, or raise MalformedMessage."""
        sender, reader = open_message(data, Kind.ADVERT, sender=None, sid=NO_SESSION)
        label = reader.var(MAX_LABEL_BYTES)
        config_digest = reader.fixed(32)
        parts = [reader.var(_MAX_KEY_BYTES) for _ in range(4)]
        signature = reader.var(SIGNATURE_BYTES)
        reader.end()
        masking, transport = PublicKeys(*parts[:2]), PublicKeys(*parts[2:])
        return cls(sender, label, config_digest, masking, transport, signature)


@dataclass(frozen=True, slots=True)
class Roster:
    """Round 0, server: everybody's leaf, the order of the graph, and the neighbours' adverts."""

    leaves: Mapping[int, bytes]
    order: tuple[int, ...]
    adverts: Mapping[int, bytes]

    def encode(self) -> bytes:
        """Encode as bytes; the session id is left to the client to compute."""
        writer = Writer()
        writer.ids(sorted(self.leaves))
        for client in sorted(self.leaves):
            writer.fixed(self.leaves[client])
        writer.ids(self.order)
        writer.ids(sorted(self.adverts))
        for client in sorted(self.adverts):
            writer.var(self.adverts[client])
        return writer.message(Kind.ROSTER, SERVER, NO_SESSION)

    @classmethod
    def decode(cls, data: bytes, config: Config) -> Roster:
        """Decode, or raise MalformedMessage."""
        _, reader = open_message(data, Kind.ROSTER, sender=SERVER, sid=NO_SESSION)
        leaves = {client: reader.fixed(32) for client in reader.ids(config.n)}
        order = tuple(reader.order(config.n))
        limit = 5 * _MAX_KEY_BYTES
        adverts = {client: reader.var(limit) for client in reader.ids(config.n)}
        reader.end()
        return cls(leaves, order, adverts)


@dataclass(frozen=True, slots=True)
class PeerShare:
    """What one client sends another in round 1.

    ``transport_ct`` and ``sealed`` carry the shares; ``pair_ct`` and ``wrapped`` the pair key's
    contribution, of which the server keeps a copy (empty unless sender < receiver).
    """

    transport_ct: bytes
    sealed: bytes
    pair_ct: bytes
    wrapped: bytes

    def write(self, writer: Writer) -> None:
        """Append to a message."""
        for part in (self.transport_ct, self.sealed, self.pair_ct, self.wrapped):
            writer.var(part)

    @classmethod
    def read(cls, reader: Reader) -> PeerShare:
        """Take from a message."""
        return cls(*(reader.var(_MAX_KEY_BYTES) for _ in range(4)))


def _write_peers(writer: Writer, peers: Mapping[int, PeerShare]) -> None:
    writer.ids(sorted(peers))
    for client in sorted(peers):
        peers[client].write(writer)


def _read_peers(reader: Reader, config: Config) -> dict[int, PeerShare]:
    return {client: PeerShare.read(reader) for client in reader.ids(config.n)}


@dataclass(frozen=True, slots=True)
class Shares:
    """Round 1, client: shares for each neighbour and the commitment to the self-mask seed."""

    client: int
    sid: bytes
    commitment: bytes
    peers: Mapping[int, PeerShare]

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.fixed(self.commitment)
        _write_peers(writer, self.peers)
        return writer.message(Kind.SHARES, self.client, self.sid)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Shares:
        """Decode, or raise MalformedMessage."""
        sender, reader = open_message(data, Kind.SHARES, sender=None, sid=sid)
        commitment = reader.fixed(32)
        peers = _read_peers(reader, config)
        reader.end()
        return cls(sender, sid, commitment, peers)


@dataclass(frozen=True, slots=True)
class Relay:
    """Round 1, server: who shared (U2), and what the neighbours sent to this client."""

    sid: bytes
    shared: list[int]
    peers: Mapping[int, PeerShare]

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.ids(self.shared)
        _write_peers(writer, self.peers)
        return writer.message(Kind.RELAY, SERVER, self.sid)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Relay:
        """Decode, or raise MalformedMessage."""
        _, reader = open_message(data, Kind.RELAY, sender=SERVER, sid=sid)
        shared = reader.ids(config.n)
        peers = _read_peers(reader, config)
        reader.end()
        return cls(sid, shared, peers)


@dataclass(frozen=True, slots=True)
class Masked:
    """Round 2, client: the masked vector, bit-packed, and its context in clear."""

    client: int
    sid: bytes
    context: bytes
    payload: bytes | memoryview = field(repr=False)

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.var(self.context)
        writer.fixed(self.payload)
        return writer.message(Kind.MASKED, self.client, self.sid)

    @staticmethod
    def room(client: int, sid: bytes, context: bytes, config: Config) -> Room:
        """Make the message with zeros for the payload, which is then written where it stands."""
        writer = Writer()
        writer.var(context)
        return writer.message_with_room(Kind.MASKED, client, sid, config.masked_bytes)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Masked:
        """Decode, or raise MalformedMessage; the payload is a view of `data`."""
        sender, reader = open_message(data, Kind.MASKED, sender=None, sid=sid)
        context = reader.var(MAX_CONTEXT_BYTES)
        payload = reader.view(config.masked_bytes)
        reader.end()
        return cls(sender, sid, context, payload)


@dataclass(frozen=True, slots=True)
class Survivors:
    """Round 2, server: whose vector is in the sum (U3)."""

    sid: bytes
    survivors: list[int]

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.ids(self.survivors)
        return writer.message(Kind.SURVIVORS, SERVER, self.sid)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Survivors:
        """Decode, or raise MalformedMessage."""
        _, reader = open_message(data, Kind.SURVIVORS, sender=SERVER, sid=sid)
        survivors = reader.ids(config.n)
        reader.end()
        return cls(sid, survivors)


@dataclass(frozen=True, slots=True)
class Confirm:
    """Round 3, client: its signature on the sets."""

    client: int
    sid: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.fixed(self.signature)
        return writer.message(Kind.CONFIRM, self.client, self.sid)

    @classmethod
    def decode(cls, data: bytes, sid: bytes) -> Confirm:
        """Decode, or raise MalformedMessage."""
        sender, reader = open_message(data, Kind.CONFIRM, sender=None, sid=sid)
        signature = reader.fixed(SIGNATURE_BYTES)
        reader.end()
        return cls(sender, sid, signature)


@dataclass(frozen=True, slots=True)
class Quorum:
    """Round 3, server: the signatures that it collected."""

    sid: bytes
    signatures: Mapping[int, bytes]

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        writer.ids(sorted(self.signatures))
        for client in sorted(self.signatures):
            writer.fixed(self.signatures[client])
        return writer.message(Kind.QUORUM, SERVER, self.sid)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Quorum:
        """Decode, or raise MalformedMessage."""
        _, reader = open_message(data, Kind.QUORUM, sender=SERVER, sid=sid)
        signatures = {client: reader.fixed(SIGNATURE_BYTES) for client in reader.ids(config.n)}
        reader.end()
        return cls(sid, signatures)


@dataclass(frozen=True, slots=True)
class Unmask:
    """Round 4, client: shares of the survivors' self-mask seeds and of the dropped ones' keys."""

    client: int
    sid: bytes
    self_shares: Mapping[int, bytes] = field(repr=False)
    key_shares: Mapping[int, bytes] = field(repr=False)

    def encode(self) -> bytes:
        """Encode as bytes."""
        writer = Writer()
        for shares in (self.self_shares, self.key_shares):
            writer.ids(sorted(shares))
            for client in sorted(shares):
                writer.fixed(shares[client])
        return writer.message(Kind.UNMASK, self.client, self.sid)

    @classmethod
    def decode(cls, data: bytes, config: Config, sid: bytes) -> Unmask:
        """Decode, or raise MalformedMessage."""
        sender, reader = open_message(data, Kind.UNMASK, sender=None, sid=sid)
        both = []
        for _ in range(2):
            ids = reader.ids(config.n)
            both.append({client: reader.fixed(SEED_SHARE_BYTES) for client in ids})
        reader.end()
        return cls(sender, sid, both[0], both[1])
