"""Finding data files that Veil does not ship, and checking that they are the right ones."""

import hashlib
import os
from pathlib import Path

from veil.errors import DataError

__all__ = ["find_file", "read_checked"]


def find_file(data_dir: Path | None, folder: str, name: str, source: str) -> Path:
    """Return the path of a data file.

    Parameters
    ----------
    data_dir : Path or None
        Directory that holds `folder` or the file itself; None reads ``VEIL_DATA_DIR``.
    folder, name : str
        Folder and name of the file.
    source : str
        The file's public source, for the message.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If there is no such file; the message names it and its public source.
    """
    given = data_dir if data_dir is not None else os.environ.get("VEIL_DATA_DIR")
    if not given:
        raise DataError(
            f"data_dir: expected the directory that holds {folder}/{name}, got none; download the "
            f"file from {source}, then pass data_dir (--data-dir) or set VEIL_DATA_DIR"
        )
    base = Path(given)
    for path in (base / folder / name, base / name):
        if path.is_file():
            return path
    raise DataError(
        f"data file: expected {base / folder / name}, got no such file; download it from {source}"
    )


def read_checked(path: Path, *, algorithm: str, digest: str, source: str) -> bytes:
    """Read a file and compare its hash with the published one.

    Parameters
    ----------
    path : Path
        The file.
    algorithm : str
        A name that hashlib knows; against mistakes, not against an attacker.
    digest : str
        Expected hash, hexadecimal.
    source : str
        The file's public source, for the message.

    Returns
    -------
    bytes
        The content.

    Raises
    ------
    DataError
        If the file cannot be read or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"data file: expected to read {path}, got {error.strerror}") from error
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != digest:
        raise DataError(
            f"data file {path}: expected {algorithm} {digest}, got {found}; download it again from "
            f"{source}"
        )
    return content
