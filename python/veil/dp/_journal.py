"""A ledger's file: JSON lines, each chained to the one before by SHA-256.

A line is ``{"body":{...},"hash":"<hex>"}`` with body in canonical JSON and
hash = SHA-256(previous hash || body). A record counts from the moment its newline is written; it is
synced before the caller may release anything, so bytes after the last newline belong to a charge
that was never answered. The chain shows edits; it cannot show that the file was cut back to an
older whole line, which is why the head is worth keeping elsewhere.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from veil.errors import LedgerError

__all__ = ["FORMAT", "Journal", "canonical", "read_records"]

FORMAT = 1
_NO_HASH = bytes(32)
_RETRY_SECONDS = 0.005


def canonical(body: dict[str, Any]) -> bytes:
    """Return the one JSON spelling of a body."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _line(body: dict[str, Any], previous: bytes) -> tuple[bytes, bytes]:
    """Return a record's line and its hash."""
    spelled = canonical(body)
    digest = hashlib.sha256(previous + spelled).digest()
    return b'{"body":' + spelled + b',"hash":"' + digest.hex().encode() + b'"}\n', digest


def _parse(line: bytes, previous: bytes, number: int, path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        record = json.loads(line)
        body = record["body"]
        version = body.get("format", FORMAT)
        if number == 1 and isinstance(version, int) and version > FORMAT:
            raise LedgerError(
                f"{path}: written in format {version}, this Veil reads up to {FORMAT}; install a "
                "newer Veil"
            )
        expected, digest = _line(body, previous)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerError(f"{path}: line {number} is not a ledger record; it was edited") from error
    if expected != line:
        raise LedgerError(
            f"{path}: line {number} does not fit the hash chain; the file was edited there or "
            "before"
        )
    return body, digest


def read_records(
    data: bytes, path: Path, *, head: bytes = _NO_HASH, number: int = 0
) -> tuple[list[tuple[dict[str, Any], bytes]], int]:
    """Return the whole records in `data`, each with its hash, and how many bytes they take.

    Parameters
    ----------
    data : bytes
        What follows the record whose hash is `head`.
    path : Path
        Named in errors.
    head : bytes
        Hash of the record before.
    number : int
        Line number of the record before.

    Returns
    -------
    list of (body, hash), int
        Records and length; bytes after the last newline are left out.

    Raises
    ------
    LedgerError
        If a line is no record or does not fit the chain.
    """
    end = data.rfind(b"\n") + 1
    records = []
    for line in data[:end].splitlines(keepends=True):
        number += 1
        body, head = _parse(line, head, number, path)
        records.append((body, head))
    return records, end


class Journal:
    """One process's view of a ledger file: how far it has read, and the hash there."""

    def __init__(self, path: Path, lock_timeout: float) -> None:
        self.path = path
        self.offset = 0
        self.number = 0
        self.head = _NO_HASH
        self._lock_timeout = lock_timeout
        self._descriptor = -1
        self._identity: tuple[int, int] | None = None

    def create(self, body: dict[str, Any]) -> bool:
        """Create the file with its first record; False if it exists.

        The file appears whole or not at all: it is written under another name and linked.
        """
        line, _ = _line(body, _NO_HASH)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_all(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.link(temporary, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be created: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        _sync_directory(self.path.parent)
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file open and locked against every other thread and process."""
        # A descriptor of its own each time: flock belongs to the open file, which fork shares.
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be opened: {error.strerror}") from error
        try:
            self._lock(descriptor)
            self._descriptor = descriptor
            yield
        finally:
            self._descriptor = -1
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise LedgerError(
                        f"{self.path}: locked by another process for more than "
                        f"{self._lock_timeout:g} s; nothing was charged"
                    ) from error
            time.sleep(_RETRY_SECONDS)

    def news(self) -> list[dict[str, Any]]:
        """Return the records that others appended since the last call; drop a torn last line."""
        status = os.fstat(self._descriptor)
        identity = (status.st_dev, status.st_ino)
        if self._identity not in (None, identity):
            raise LedgerError(f"{self.path}: replaced by another file while it was open")
        self._identity = identity
        if status.st_size < self.offset:
            raise LedgerError(
                f"{self.path}: truncated to {status.st_size} bytes after {self.offset} were read; "
                "restore the file, charges are missing"
            )
        data = _read_from(self._descriptor, self.offset)
        records, length = read_records(data, self.path, head=self.head, number=self.number)
        if self.offset == 0 and not records:
            raise LedgerError(f"{self.path}: truncated or not a ledger: no whole first record")
        self._advance(records, length)
        if length < len(data):
            os.ftruncate(self._descriptor, self.offset)
            self.append({"type": "recovered", "bytes": len(data) - length})
        return [body for body, _ in records]

    def _advance(self, records: list[tuple[dict[str, Any], bytes]], length: int) -> None:
        self.offset += length
        self.number += len(records)
        if records:
            self.head = records[-1][1]

    def append(self, body: dict[str, Any]) -> None:
        """Write one record and sync it; on failure the file is as it was.

        Raises
        ------
        LedgerError
            If the record could not be written or synced.
        """
        line, digest = _line(body, self.head)
        try:
            os.lseek(self._descriptor, self.offset, os.SEEK_SET)
            _write_all(self._descriptor, line)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.offset)
            raise LedgerError(
                f"{self.path}: cannot be written: {error.strerror}; nothing was charged"
            ) from error
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # Not advanced: the next use reads the record from the file and counts it.
            raise LedgerError(
                f"{self.path}: cannot be synced: {error.strerror}; the charge stays counted and "
                "nothing was released"
            ) from error
        self.offset += len(line)
        self.number += 1
        self.head = digest


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_from(descriptor: int, offset: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
