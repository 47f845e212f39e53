"""Cryptographic streams: keystreams of a given key."""

from __future__ import annotations

from typing import Literal, NoReturn, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from veil import _core
from veil._checks import whole
from veil.errors import StreamExhausted

__all__ = ["Keystream"]

_Word = TypeVar("_Word", np.uint32, np.uint64)


class Keystream:
    """Read the keystream of one key: AES-256-CTR or ChaCha20.

    The bytes are those of SP 800-38A's CTR mode over AES-256 or of RFC 8439's ChaCha20, the same
    on every instruction set and for any number of threads. Without the key they are
    indistinguishable from uniform, as far as the cipher is sound.

    Parameters
    ----------
    key : bytes-like, 32 bytes
        Secret. It is copied into memory that is wiped with this object; the caller's own bytes
        are the caller's to wipe. Never use one (key, nonce) pair for two purposes.
    nonce : bytes-like, at most 16 bytes
        The first counter block, zero-padded to 16 bytes. AES-256-CTR counts the whole block, big
        endian. ChaCha20 takes bytes 0-3 as its first block counter, little endian, and bytes 4-15
        as RFC 8439's nonce.
    cipher : {"aes256-ctr", "chacha20"}
        The cipher.

    Raises
    ------
    TypeError
        If `key` or `nonce` is not bytes-like.
    ValueError
        If `key` is not 32 bytes, `nonce` is longer than 16 or `cipher` is unknown.

    Notes
    -----
    *Length*: 2**48 blocks of 16 bytes for AES-256-CTR (there the stream's distance from random is
    below 2**-33), less if the counter block would wrap; 2**32 blocks of 64 bytes less the first
    counter for ChaCha20. Reading past the last block raises `veil.errors.StreamExhausted`.

    *Threads*: reads release the GIL; concurrent reads of one object get disjoint ranges, in no
    particular order. *Fork*: parent and child hold the same key and position, and would read the
    same bytes; derive a key for each process.

    *Constant time*: no branch or address depends on the key or the stream, on any instruction set.

    References
    ----------
    FIPS 197; NIST SP 800-38A, section 6.5; RFC 8439, sections 2.3 and 2.4.

    Examples
    --------
    >>> stream = veil.random.Keystream(bytes(32))
    >>> stream.bytes(4).hex()
    'dc95c078'
    """

    __slots__ = ("_cipher", "_stream")

    def __init__(
        self,
        key: bytes | bytearray | memoryview,
        *,
        nonce: bytes | bytearray | memoryview = b"",
        cipher: Literal["aes256-ctr", "chacha20"] = "aes256-ctr",
    ) -> None:
        self._stream = _core.Stream(key, nonce, cipher)
        self._cipher = cipher

    @property
    def cipher(self) -> str:
        """Name of the cipher."""
        return self._cipher

    @property
    def capacity(self) -> int:
        """Length of the whole stream, in bytes."""
        return self._stream.capacity()

    def bytes(self, n: SupportsIndex, *, threads: int | None = None) -> bytes:
        """Read the next `n` bytes.

        Parameters
        ----------
        n : int
            Number of bytes, at least 0.
        threads : int, optional
            Most threads to use; they change the speed, never the bytes.

        Returns
        -------
        bytes
            The next `n` bytes of the stream.

        Raises
        ------
        ValueError
            If `n` is negative.
        veil.errors.StreamExhausted
            If fewer than `n` bytes are left; the position is then unchanged.
        """
        count = _count(n)
        try:
            return self._stream.bytes(count, threads)
        except OverflowError as error:
            raise StreamExhausted(str(error)) from None

    def uint32(
        self,
        n: SupportsIndex | None = None,
        *,
        out: npt.NDArray[np.uint32] | None = None,
        threads: int | None = None,
    ) -> npt.NDArray[np.uint32]:
        """Read the next `n` 32-bit words, little endian.

        Parameters
        ----------
        n : int, optional
            Number of words, at least 0; may be left out when `out` is given.
        out : ndarray of uint32, `n` elements, optional
            C-contiguous array that receives the words, whatever its shape.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray of uint32
            `out`, or a new array of shape (n,).

        Raises
        ------
        TypeError
            If `out` is not an array of uint32, or neither `n` nor `out` is given.
        ValueError
            If `n` is negative or not the size of `out`, or `out` is not contiguous and writable.
        veil.errors.StreamExhausted
            If fewer than 4·n bytes are left; the position is then unchanged.
        """
        target = np.empty(_count(n), np.uint32) if out is None else _checked(out, n)
        try:
            self._stream.uint32(target, threads)
        except OverflowError as error:
            raise StreamExhausted(str(error)) from None
        return target

    def uint64(
        self,
        n: SupportsIndex | None = None,
        *,
        out: npt.NDArray[np.uint64] | None = None,
        threads: int | None = None,
    ) -> npt.NDArray[np.uint64]:
        """Read the next `n` 64-bit words, little endian.

        Parameters
        ----------
        n : int, optional
            Number of words, at least 0; may be left out when `out` is given.
        out : ndarray of uint64, `n` elements, optional
            C-contiguous array that receives the words, whatever its shape.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray of uint64
            `out`, or a new array of shape (n,).

        Raises
        ------
        TypeError
            If `out` is not an array of uint64, or neither `n` nor `out` is given.
        ValueError
            If `n` is negative or not the size of `out`, or `out` is not contiguous and writable.
        veil.errors.StreamExhausted
            If fewer than 8·n bytes are left; the position is then unchanged.
        """
        target = np.empty(_count(n), np.uint64) if out is None else _checked(out, n)
        try:
            self._stream.uint64(target, threads)
        except OverflowError as error:
            raise StreamExhausted(str(error)) from None
        return target

    def seek(self, byte_offset: SupportsIndex) -> None:
        """Move to a byte of the stream; any offset, not only a block's.

        Parameters
        ----------
        byte_offset : int
            Offset of the next byte to read, from 0 to `capacity`.

        Raises
        ------
        ValueError
            If `byte_offset` is negative.
        veil.errors.StreamExhausted
            If `byte_offset` is beyond the end of the stream.
        """
        offset = whole("byte_offset", byte_offset)
        if offset < 0:
            raise ValueError(f"byte_offset: expected 0 or more, got {offset}")
        if offset > self.capacity:
            raise StreamExhausted(
                f"byte_offset: expected at most {self.capacity}, the stream's end, got {offset}"
            )
        self._stream.seek(offset)

    def tell(self) -> int:
        """Return the offset of the next byte to read.

        Returns
        -------
        int
            The offset, in bytes.
        """
        return self._stream.tell()

    def __repr__(self) -> str:
        return f"<veil.random.Keystream cipher={self._cipher!r} key=(redacted)>"

    def __copy__(self) -> NoReturn:
        raise TypeError("a Keystream cannot be copied: both would give the same bytes")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a Keystream cannot be copied: both would give the same bytes")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Keystream cannot be pickled: the pickle would hold its key")


def _count(n: SupportsIndex | None) -> int:
    if n is None:
        raise TypeError("n: expected a number, or `out`, got neither")
    count = whole("n", n)
    if count < 0:
        raise ValueError(f"n: expected 0 or more, got {count}")
    return count


def _checked(out: npt.NDArray[_Word], n: SupportsIndex | None) -> npt.NDArray[_Word]:
    if n is not None and _count(n) != np.size(out):
        raise ValueError(f"out: expected {_count(n)} elements, got {np.size(out)}")
    return out
