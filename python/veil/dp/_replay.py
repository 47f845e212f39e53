"""From a ledger file's records back to its state; reading a file without changing it."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from veil.dp._book import Book, Charge, Settings
from veil.dp._journal import read_records
from veil.errors import LedgerError

__all__ = ["applied", "read_ledger", "verify_ledger"]


def applied(book: Book | None, body: dict[str, Any], path: Path) -> Book:
    """Return the book after a record; only the record types written above are known."""
    try:
        kind = body["type"]
        if kind == "open" and book is None:
            names = [f.name for f in fields(Settings)]
            return Book(Settings(**{name: body[name] for name in names if name in body}))
        if book is None:
            raise ValueError("the first record does not open a ledger")
        if kind == "charge":
            charge = Charge.from_dict(body["charge"])
            book.add_charge(charge, body["reservation"], body.get("key"))
        elif kind == "reserve":
            items = [Charge.from_dict(item) for item in body["items"]]
            book.add_reservation(items, body.get("key"))
        elif kind == "give-back":
            book.close_reservation(body["reservation"])
        elif kind != "recovered":
            raise ValueError(f"unknown record type {kind!r}")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise LedgerError(f"{path}: a record cannot be read: {error}") from error
    return book


def read_ledger(path: str | os.PathLike[str]) -> tuple[Book, list[dict[str, Any]], list[str], int]:
    """Read a file without changing it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    book, records, hashes, torn_bytes
        The state, every record's body and hash, and how many bytes follow the last whole record.

    Raises
    ------
    LedgerError
        If the file cannot be read or a record does not fit the chain.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LedgerError(f"{file}: cannot be read: {error.strerror}") from error
    records, length = read_records(data, file)
    book: Book | None = None
    for body, _ in records:
        book = applied(book, body, file)
    if book is None:
        raise LedgerError(f"{file}: truncated or not a ledger: no whole first record")
    bodies = [body for body, _ in records]
    return book, bodies, [digest.hex() for _, digest in records], len(data) - length


def verify_ledger(path: str | os.PathLike[str], *, head: str | None = None) -> dict[str, Any]:
    """Check a ledger file's hash chain without changing the file.

    Parameters
    ----------
    path : path-like
        The file.
    head : str, optional
        Hash of a record that was kept elsewhere, 64 hexadecimal digits. Without it an older, whole
        prefix of the file cannot be told from the file.

    Returns
    -------
    dict
        ``records``, ``head``, ``since_head`` (records after the given head, or None), and
        ``torn_bytes`` after the last whole record, which no release ever used.

    Raises
    ------
    LedgerError
        If the file cannot be read, a record does not fit the chain, or no record has the given
        hash: the file was cut back, or is another ledger.
    """
    _, bodies, hashes, torn = read_ledger(path)
    if head is not None and head.lower() not in hashes:
        raise LedgerError(
            f"{path}: no record has the hash {head}; the file was cut back to an older state, or "
            "it is another ledger"
        )
    return {
        "records": len(bodies),
        "head": hashes[-1],
        "since_head": None if head is None else len(hashes) - 1 - hashes.index(head.lower()),
        "torn_bytes": torn,
    }
