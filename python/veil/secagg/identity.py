"""Who a site is: its Ed25519 identity key in a file, and the roster of all sites' public keys."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veil.errors import DataError, PolicyRefused

__all__ = ["Identity", "Roster", "fingerprint"]

_FORMAT = "veil/roster/1"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """A site's secret: one Ed25519 key, from which its local storage key is derived too.

    Parameters
    ----------
    key : Ed25519PrivateKey
        The key; never in ``repr``, a message or a log.
    path : Path or None
        The file it came from.
    """

    key: Ed25519PrivateKey = field(repr=False)
    path: Path | None = None

    @classmethod
    def new(cls, path: str | os.PathLike[str]) -> Identity:
        """Make a key and write it to a new file that only its owner can read.

        Parameters
        ----------
        path : str or path
            The file (PEM, PKCS 8, mode 0600); one that exists is never overwritten.

        Returns
        -------
        Identity
            The new identity.

        Raises
        ------
        FileExistsError
            If the file exists.
        OSError
            If it cannot be written.
        """
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return cls(key, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Identity:
        """Read what `new` wrote.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        Identity
            The identity.

        Raises
        ------
        PolicyRefused
            If others than its owner may read the file.
        DataError
            If it is no Ed25519 key.
        OSError
            If it cannot be read.
        """
        path = Path(path)
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            raise PolicyRefused(
                f"{path}: expected a file that only its owner can read (chmod 600), got mode "
                f"{path.stat().st_mode & 0o777:o}"
            )
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: expected an identity key made by `veil identity new`"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise DataError(f"{path}: expected an Ed25519 key, got another kind")
        return cls(key, path)

    @property
    def public(self) -> Ed25519PublicKey:
        """The public key, for the roster."""
        return self.key.public_key()

    def storage_key(self, purpose: str) -> bytes:
        """Derive a local key that never leaves this site.

        Parameters
        ----------
        purpose : str
            What it seals; keys of different purposes tell nothing about each other.

        Returns
        -------
        bytes
            32 bytes.
        """
        derive = HKDF(hashes.SHA256(), 32, salt=None, info=b"veil/storage/1" + purpose.encode())
        return derive.derive(self.key.private_bytes_raw())


@dataclass(frozen=True, slots=True)
class Roster:
    """Every site's name and public key, exchanged out of band and the same at every party.

    A site's id in the protocol is its place among the names in order.

    Parameters
    ----------
    sites : mapping of str to Ed25519PublicKey
        The key of each site.

    Raises
    ------
    DataError
        If there is no site, or two share a key.
    """

    sites: Mapping[str, Ed25519PublicKey]

    def __post_init__(self) -> None:
        if not self.sites:
            raise DataError("roster: expected at least one site, got none")
        seen: dict[bytes, str] = {}
        for name in sorted(self.sites):
            raw = self.sites[name].public_bytes_raw()
            if raw in seen:
                raise DataError(f"roster: sites {seen[raw]!r} and {name!r} have the same key")
            seen[raw] = name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sites, in order: the place is the id."""
        return tuple(sorted(self.sites))

    @property
    def keys(self) -> dict[int, Ed25519PublicKey]:
        """Public keys by id, as `Policy` and `Server` take them."""
        return {i: self.sites[name] for i, name in enumerate(self.names)}

    @property
    def fingerprint(self) -> str:
        """What the sites compare by voice: 64 hexadecimal digits over all names and keys."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def id_of(self, public: Ed25519PublicKey) -> int:
        """Find a site by its key.

        Parameters
        ----------
        public : Ed25519PublicKey
            The key.

        Returns
        -------
        int
            Its id.

        Raises
        ------
        PolicyRefused
            If no site of the roster has this key.
        """
        raw = public.public_bytes_raw()
        for i, key in self.keys.items():
            if key.public_bytes_raw() == raw:
                return i
        raise PolicyRefused(
            f"roster: has no site with the key {fingerprint(public)}; add this site's line "
            "(`veil identity show`) and give every party the same file"
        )

    def to_dict(self) -> dict[str, object]:
        """Return the roster as JSON types.

        Returns
        -------
        dict
            The format's name, and each site's key in base64.
        """
        sites = {name: public_text(self.sites[name]) for name in self.names}
        return {"format": _FORMAT, "sites": sites}

    @classmethod
    def from_dict(cls, values: object) -> Roster:
        """Read what `to_dict` returned.

        Parameters
        ----------
        values : object
            Parsed JSON.

        Returns
        -------
        Roster
            An equal roster.

        Raises
        ------
        DataError
            If it is not a roster.
        """
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise DataError(f'roster: expected {{"format": "{_FORMAT}", "sites": {{…}}}}')
        sites = values.get("sites")
        if not isinstance(sites, dict) or set(values) != {"format", "sites"}:
            raise DataError("roster: expected the fields format and sites, nothing else")
        return cls({str(name): _public_from(name, text) for name, text in sites.items()})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the roster's file, for every party.

        Parameters
        ----------
        path : str or path
            The file, JSON.
        """
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Roster:
        """Read a roster's file.

        Parameters
        ----------
        path : str or path
            The file, JSON.

        Returns
        -------
        Roster
            The roster.

        Raises
        ------
        DataError
            If it is not a roster.
        OSError
            If it cannot be read.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: expected a roster in JSON, got something else") from error
        try:
            return cls.from_dict(values)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def public_text(public: Ed25519PublicKey) -> str:
    """Write a public key as the roster holds it: 44 characters of base64."""
    return base64.b64encode(public.public_bytes_raw()).decode()


def fingerprint(public: Ed25519PublicKey) -> str:
    """Shorten a key to what two people can compare by voice.

    Parameters
    ----------
    public : Ed25519PublicKey
        The key.

    Returns
    -------
    str
        The first 128 bits of its SHA-256, in groups of four hexadecimal digits.
    """
    digits = hashlib.sha256(b"veil/identity/1" + public.public_bytes_raw()).hexdigest()[:32]
    return "-".join(digits[i : i + 4] for i in range(0, 32, 4))


def _public_from(name: object, text: object) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(str(text), validate=True)
        if len(raw) != _KEY_BYTES or not name:
            raise ValueError(len(raw))
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise DataError(
            f"roster: site {name!r}: expected 32 bytes of an Ed25519 key in base64"
        ) from error
