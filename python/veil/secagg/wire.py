"""Bytes of the protocol's messages: bounded reading, one header, length-prefixed fields.

The layout is documented in docs/design/secagg-wire.md and held by golden files. All integers are
little-endian.
"""

import hashlib
import io
import itertools
import struct
from enum import IntEnum

from veil.errors import MalformedMessage

__all__ = [
    "SERVER",
    "Header",
    "Kind",
    "Reader",
    "Room",
    "Writer",
    "digest",
    "open_message",
    "prefixed",
]

MAGIC = b"VEIL"
VERSION = 1
SERVER = 0xFFFFFFFF  # the sender id of the server
MAX_ID = SERVER - 1
_HEADER = struct.Struct("<4sHHI32sQ")


class Kind(IntEnum):
    """Type of a message."""

    ADVERT = 1
    ROSTER = 2
    SHARES = 3
    RELAY = 4
    MASKED = 5
    SURVIVORS = 6
    CONFIRM = 7
    QUORUM = 8
    UNMASK = 9


class Header:
    """Size of the header, for those who count bytes."""

    SIZE = _HEADER.size


class Room:
    """A message whose last bytes are still to be written; it becomes bytes without a copy.

    `BytesIO` lends its bytes out as a writable buffer, and hands the very same bytes over once the
    buffer is released.
    """

    def __init__(self, head: bytes, size: int) -> None:
        self._bytes = io.BytesIO(bytes(len(head) + size))
        self._bytes.write(head)
        self._at = len(head)

    @property
    def payload(self) -> memoryview:
        """Where to write; release it before `message`."""
        return self._bytes.getbuffer()[self._at :]

    def message(self) -> bytes:
        """Take the whole message."""
        return self._bytes.getvalue()


class Writer:
    """Builds one message."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []

    def u8(self, value: int) -> None:
        """Append one byte."""
        self._parts.append(struct.pack("<B", value))

    def u32(self, value: int) -> None:
        """Append a 32-bit integer."""
        self._parts.append(struct.pack("<I", value))

    def u64(self, value: int) -> None:
        """Append a 64-bit integer."""
        self._parts.append(struct.pack("<Q", value))

    def fixed(self, value: bytes | memoryview) -> None:
        """Append bytes whose length the reader knows."""
        self._parts.append(value)

    def var(self, value: bytes) -> None:
        """Append a 32-bit length and the bytes."""
        self.u32(len(value))
        self._parts.append(value)

    def ids(self, values: list[int] | tuple[int, ...]) -> None:
        """Append a count and that many client ids."""
        self.u32(len(values))
        self._parts.append(struct.pack(f"<{len(values)}I", *values))

    def body(self) -> bytes:
        """Everything so far, without a header."""
        return b"".join(self._parts)

    def message(self, kind: Kind, sender: int, sid: bytes) -> bytes:
        """Join header and body."""
        return self._message(kind, sender, sid, 0)

    def message_with_room(self, kind: Kind, sender: int, sid: bytes, size: int) -> Room:
        """Join header and body, and leave `size` bytes after them to be written in place."""
        return Room(self._message(kind, sender, sid, size), size)

    def _message(self, kind: Kind, sender: int, sid: bytes, more: int) -> bytes:
        size = sum(len(part) for part in self._parts) + more
        header = _HEADER.pack(MAGIC, VERSION, kind, sender, sid, size)
        return b"".join([header, *self._parts])


class Reader:
    """Reads foreign bytes; every fault is a MalformedMessage, and nothing is allocated ahead."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def fixed(self, size: int) -> bytes:
        """Take exactly `size` bytes."""
        return bytes(self.view(size))

    def view(self, size: int) -> memoryview:
        """Take exactly `size` bytes without a copy."""
        end = self._at + size
        if end > len(self._data):
            raise MalformedMessage(f"expected {size} more bytes, got {len(self._data) - self._at}")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def u8(self) -> int:
        """Take one byte."""
        return self.view(1)[0]

    def u32(self) -> int:
        """Take a 32-bit integer."""
        return int.from_bytes(self.view(4), "little")

    def u64(self) -> int:
        """Take a 64-bit integer."""
        return int.from_bytes(self.view(8), "little")

    def var(self, limit: int) -> bytes:
        """Take a length of at most `limit` and that many bytes."""
        size = self.u32()
        if size > limit:
            raise MalformedMessage(f"expected a field of at most {limit} bytes, got {size}")
        return self.fixed(size)

    def count(self, limit: int) -> int:
        """Take the length of a list, at most `limit`."""
        size = self.u32()
        if size > limit:
            raise MalformedMessage(f"expected a list of at most {limit} entries, got {size}")
        return size

    def ids(self, limit: int) -> list[int]:
        """Take a list of client ids in strictly rising order."""
        size = self.count(limit)
        values = list(struct.unpack(f"<{size}I", self.view(4 * size)))
        _check_rising(values)
        return values

    def order(self, limit: int) -> list[int]:
        """Take a list of distinct client ids in any order."""
        size = self.count(limit)
        values = list(struct.unpack(f"<{size}I", self.view(4 * size)))
        _check_rising(sorted(values))
        return values

    def end(self) -> None:
        """Refuse bytes that nobody asked for."""
        if self._at != len(self._data):
            raise MalformedMessage(f"got {len(self._data) - self._at} bytes after the message")


def _check_rising(values: list[int]) -> None:
    rising = all(a < b for a, b in itertools.pairwise(values))
    if not rising or (values and values[-1] > MAX_ID):
        raise MalformedMessage("expected distinct client ids in rising order")


def open_message(
    data: bytes, kind: Kind, *, sender: int | None, sid: bytes | None
) -> tuple[int, Reader]:
    """Check a header and return the sender and a reader of the body.

    Parameters
    ----------
    data : bytes
        A whole message.
    kind : Kind
        The only type accepted.
    sender : int or None
        The only sender accepted; None: any client.
    sid : bytes or None
        The only session accepted; None: not checked here.

    Raises
    ------
    MalformedMessage
        If anything differs.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise MalformedMessage(f"expected bytes, got {type(data).__name__}")
    reader = Reader(data)
    magic, version, got_kind, got_sender, got_sid, size = _HEADER.unpack(reader.view(_HEADER.size))
    if magic != MAGIC:
        raise MalformedMessage("expected a Veil message, got other bytes")
    if version != VERSION:
        raise MalformedMessage(f"expected layout version {VERSION}, got {version}")
    if got_kind != kind:
        raise MalformedMessage(f"expected a message of type {kind.name} ({kind}), got {got_kind}")
    if size != len(data) - _HEADER.size:
        raise MalformedMessage(f"expected a body of {size} bytes, got {len(data) - _HEADER.size}")
    if got_sender != sender and (sender is not None or got_sender > MAX_ID):
        raise MalformedMessage(f"expected sender {sender}, got {got_sender}")
    if sid is not None and got_sid != sid:
        raise MalformedMessage("the message belongs to another session")
    return got_sender, reader


def prefixed(*fields: bytes | int | str) -> bytes:
    """Join fields so that no two lists of fields give the same bytes: each has its length."""
    parts: list[bytes] = []
    for value in fields:
        if isinstance(value, int):
            value = struct.pack("<Q", value)
        elif isinstance(value, str):
            value = value.encode()
        parts += [struct.pack("<Q", len(value)), value]
    return b"".join(parts)


def digest(*fields: bytes | int | str) -> bytes:
    """SHA-256 of the fields, each with its length."""
    return hashlib.sha256(prefixed(*fields)).digest()
