"""Key agreement of the protocol as pure functions: X25519 with ML-KEM-768, HKDF, AES-256-GCM.

RFC 7748, FIPS 203, RFC 5869, RFC 5116. A secret of a pair of clients holds as long as either
problem is hard. Every function here takes and returns bytes; `kem` is "x25519-mlkem768" or
"x25519", with which the ML-KEM parts are empty.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veil.errors import MalformedMessage, ProtocolError
from veil.secagg.wire import prefixed

__all__ = [
    "CIPHERTEXT_BYTES",
    "WRAPPED_BYTES",
    "PrivateKeys",
    "PublicKeys",
    "hkdf",
    "masking_keys",
    "transport_keys",
]

HYBRID = "x25519-mlkem768"
MLKEM_PUBLIC_BYTES = 1184
CIPHERTEXT_BYTES = 1088
WRAPPED_BYTES = 32 + 16
_NONCE = bytes(12)  # every AEAD key here seals one message


class PublicKeys(NamedTuple):
    """One public key pair: X25519 (32 bytes) and ML-KEM-768 (1184 bytes, or none)."""

    x25519: bytes
    mlkem: bytes


class PrivateKeys:
    """One private key pair; shows nothing of itself."""

    __slots__ = ("_mlkem", "_seed", "_x25519", "public")

    def __init__(self, x25519_seed: bytes, mlkem_seed: bytes) -> None:
        self._seed = (x25519_seed, mlkem_seed)
        self._x25519 = X25519PrivateKey.from_private_bytes(x25519_seed)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed) if mlkem_seed else None
        kem_public = self._mlkem.public_key().public_bytes_raw() if self._mlkem else b""
        self.public = PublicKeys(self._x25519.public_key().public_bytes_raw(), kem_public)

    def __repr__(self) -> str:
        return "PrivateKeys(<hidden>)"

    def seeds(self) -> tuple[bytes, bytes]:
        """Both seeds, for a sealed state."""
        return self._seed

    def exchange(self, peer: PublicKeys) -> bytes:
        """X25519 shared secret; refuses the points that make it constant."""
        try:
            return self._x25519.exchange(X25519PublicKey.from_public_bytes(peer.x25519))
        except ValueError as error:
            raise ProtocolError("a peer's X25519 key is a point of low order") from error

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """ML-KEM shared secret; a damaged ciphertext gives a random one (implicit rejection)."""
        if self._mlkem is None:
            return b""
        try:
            return self._mlkem.decapsulate(ciphertext)
        except ValueError as error:
            raise MalformedMessage(
                f"expected an ML-KEM-768 ciphertext of {CIPHERTEXT_BYTES} bytes, "
                f"got {len(ciphertext)}"
            ) from error


# Any scalar shows a point of low order; this one protects nothing.
_PROBE = PrivateKeys(bytes([1]) * 32, b"")


def masking_keys(mu: bytes, kem: str) -> PrivateKeys:
    """Masking key pair of a client, all of it derived from its 32-byte seed."""
    mlkem_seed = hkdf(mu, b"", "mlkem768", size=64) if kem == HYBRID else b""
    return PrivateKeys(hkdf(mu, b"", "x25519"), mlkem_seed)


def transport_keys(x25519_seed: bytes, mlkem_seed: bytes, kem: str) -> PrivateKeys:
    """Transport key pair from independent random seeds of 32 and 64 bytes."""
    return PrivateKeys(x25519_seed, mlkem_seed if kem == HYBRID else b"")


def check_public(keys: PublicKeys, kem: str) -> PublicKeys:
    """Refuse public keys of the wrong size or not on the lattice's range."""
    kem_size = MLKEM_PUBLIC_BYTES if kem == HYBRID else 0
    if len(keys.x25519) != 32 or len(keys.mlkem) != kem_size:
        raise MalformedMessage(f"expected public keys of 32 and {kem_size} bytes")
    if kem == HYBRID:
        _mlkem_public(keys)
    return keys


def check_exchanges(keys: PublicKeys) -> None:
    """Refuse an X25519 key whose shared secrets are all zero, before others meet it.

    Raises
    ------
    ProtocolError
        If the key is a point of low order.
    """
    _PROBE.exchange(keys)


def encapsulate(peer: PublicKeys) -> tuple[bytes, bytes]:
    """ML-KEM shared secret and its ciphertext for the peer; both empty without ML-KEM."""
    if not peer.mlkem:
        return b"", b""
    return _mlkem_public(peer).encapsulate()


def _mlkem_public(keys: PublicKeys) -> MLKEM768PublicKey:
    try:
        return MLKEM768PublicKey.from_public_bytes(keys.mlkem)
    except ValueError as error:
        raise MalformedMessage("a peer's ML-KEM-768 key is not valid") from error


def hkdf(secret: bytes, salt: bytes, *info: bytes | int | str, size: int = 32) -> bytes:
    """HKDF-SHA256 with length-prefixed info fields."""
    return hkdf_sha256(secret, salt, prefixed(*info), size)


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 as RFC 5869 has it."""
    return HKDF(hashes.SHA256(), size, salt or None, info).derive(secret)


def seal(key: bytes, plaintext: bytes, *associated: bytes | int | str) -> bytes:
    """AES-256-GCM under a key that seals nothing else."""
    return AESGCM(key).encrypt(_NONCE, plaintext, prefixed(*associated))


def unseal(key: bytes, sealed: bytes, *associated: bytes | int | str, of: str) -> bytes:
    """Inverse of `seal`; `of` names what failed.

    Raises
    ------
    ProtocolError
        If the key, the bytes or the associated fields differ.
    """
    try:
        return AESGCM(key).decrypt(_NONCE, sealed, prefixed(*associated))
    except InvalidTag as error:
        raise ProtocolError(f"{of}: authentication failed") from error


def pair_contribution(mu: bytes, sid: bytes, i: int, j: int) -> bytes:
    """Derive r_ij, what client i < j contributes to the pair's secret, from its masking seed."""
    return hkdf(mu, b"", "pair", sid, i, j)


def wrap_contribution(kem_secret: bytes, r: bytes, sid: bytes, i: int, j: int, ct: bytes) -> bytes:
    """Seal r_ij under the encapsulated secret: w_ij."""
    return seal(hkdf(kem_secret, b"", "wrap", sid, i, j), r, sid, i, j, ct)


def unwrap_contribution(
    kem_secret: bytes, wrapped: bytes, sid: bytes, i: int, j: int, ct: bytes
) -> bytes:
    """Inverse of `wrap_contribution`."""
    key = hkdf(kem_secret, b"", "wrap", sid, i, j)
    return unseal(key, wrapped, sid, i, j, ct, of=f"pair key contributed by client {i}")


def binding(ct: bytes, wrapped: bytes) -> bytes:
    """Hash that ties a pair's secret and its shares to the ciphertext that the server keeps."""
    return hashlib.sha256(ct + wrapped).digest()


def pair_secret(exchanged: bytes, r: bytes, sid: bytes, i: int, j: int, bound: bytes) -> bytes:
    """Derive s_ij, i < j, from all that the pair shares."""
    return hkdf(exchanged + r, sid, "mask", i, j, bound)


def share_key(exchanged: bytes, kem_secret: bytes, sid: bytes, sender: int, to: int) -> bytes:
    """Transport key of one direction."""
    return hkdf(exchanged + kem_secret, b"", "share", sid, sender, to)


def self_commitment(sid: bytes, client: int, b: bytes) -> bytes:
    """Commit to a self-mask seed; the server checks the recovered one against it."""
    return hashlib.sha256(prefixed("b", sid, client, b)).digest()
