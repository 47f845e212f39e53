"""Vectors over the rings Z/2^32 and Z/2^64: sums, and sums with keystreams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from veil import _core
from veil._checks import whole
from veil.errors import StreamExhausted

__all__ = ["add", "mask_add", "pack_bits", "unpack_bits"]

_Word = TypeVar("_Word", np.uint32, np.uint64)
_WORDS = (np.dtype(np.uint32), np.dtype(np.uint64))


def add(
    a: npt.NDArray[_Word],
    b: npt.NDArray[_Word],
    *,
    out: npt.NDArray[_Word] | None = None,
    threads: int | None = None,
) -> npt.NDArray[_Word]:
    """Add two vectors in Z/2^32 or Z/2^64.

    Sums wrap around, which is the ring's addition and never an error.

    Parameters
    ----------
    a, b : ndarray of uint32 or uint64, one shape
        C-contiguous summands of one dtype.
    out : ndarray of the same dtype and shape, optional
        Receives the sum. It may be `a` or `b` itself (in place), but not overlap them in part.
    threads : int, optional
        Most threads to use; they change the speed, never the bits.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        If `a` is not an array of uint32 or uint64, or `b` or `out` has another dtype.
    ValueError
        If shapes differ, an array is not C-contiguous, or `out` is read-only or overlaps in part.

    Notes
    -----
    One pass, no memory beyond `out`. Constant time in the values.

    Examples
    --------
    >>> veil.ring.add(np.array([2**32 - 1], np.uint32), np.array([3], np.uint32))
    array([2], dtype=uint32)
    """
    _require_ring(a, "a")
    _require_shape(b, "b", a.shape)
    target = _target(a, out)
    kernel = _core.ring_add_u32 if a.dtype == np.uint32 else _core.ring_add_u64
    kernel(a, b, target, threads)
    return target


def mask_add(
    vector: npt.NDArray[_Word],
    keys: Sequence[bytes | bytearray | memoryview],
    signs: Sequence[int],
    *,
    offset: SupportsIndex = 0,
    cipher: Literal["aes256-ctr", "chacha20"],
    out: npt.NDArray[_Word] | None = None,
    threads: int | None = None,
) -> npt.NDArray[_Word]:
    """Add or subtract the keystreams of many keys to one vector, in one pass.

    Element i becomes ``vector[i] + sum(signs[j] * stream_j[offset + i])`` in the ring, where
    ``stream_j`` is the keystream of ``keys[j]`` with a zero nonce, in little-endian words of the
    vector's width. While one key with sign +1 or -1 is unknown, the result is indistinguishable
    from uniform. The same key with opposite signs, on two sides of a sum, cancels exactly.

    Parameters
    ----------
    vector : ndarray of uint32 or uint64, any shape
        C-contiguous values to mask.
    keys : sequence of bytes-like, 32 bytes each
        One secret key per mask. **Use each key for one vector, once**: two vectors under one key
        reveal their difference. They are copied into memory that is wiped before returning.
    signs : sequence of int, as many as `keys`
        +1 adds the stream of the key, -1 subtracts it.
    offset : int, in elements
        Where in the streams the vector begins. A long vector masked in pieces, each with its own
        offset, gets the bits of one call.
    cipher : {"aes256-ctr", "chacha20"}
        The cipher; every party of a sum must use the same.
    out : ndarray of the vector's dtype and shape, optional
        Receives the result. It may be `vector` itself (in place), but not overlap it in part.
    threads : int, optional
        Most threads to use; they change the speed, never the bits.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    TypeError
        If `vector` is not an array of uint32 or uint64, `out` has another dtype, `keys` or `signs`
        is not a sequence or a key is not bytes-like.
    ValueError
        If a key is not 32 bytes, a sign is not +1 or -1, their numbers differ, `offset` is
        negative, `cipher` is unknown, shapes differ, an array is not C-contiguous, or `out` is
        read-only or overlaps `vector` in part.
    veil.errors.StreamExhausted
        If the streams end before the vector (see `veil.random.Keystream`).

    Notes
    -----
    *Memory*: about 1 KB per key; no mask is ever stored, each block of the vector stays in the L1
    cache while all streams are added to it from registers. *Time*: that of the cipher alone.
    *Determinism*: the same bits on every instruction set and number of threads. *Constant time*:
    no branch or address depends on a key or a value; signs and sizes are public.

    References
    ----------
    Bonawitz et al., "Practical Secure Aggregation", eprint 2017/281, section 4.

    Examples
    --------
    >>> x = np.arange(4, dtype=np.uint32)
    >>> masked = veil.ring.mask_add(x, [bytes(32)], [1], cipher="aes256-ctr")
    >>> veil.ring.mask_add(masked, [bytes(32)], [-1], cipher="aes256-ctr")
    array([0, 1, 2, 3], dtype=uint32)
    """
    _require_ring(vector, "vector")
    first = whole("offset", offset)
    if not 0 <= first < 2**63:
        raise ValueError(f"offset: expected 0 or more elements, below 2**63, got {first}")
    target = _target(vector, out)
    kernel = _core.mask_add_u32 if vector.dtype == np.uint32 else _core.mask_add_u64
    try:
        kernel(vector, keys, signs, first, cipher, target, threads)
    except OverflowError as error:
        raise StreamExhausted(str(error)) from None
    return target


def pack_bits(
    values: npt.NDArray[Any], bits: int, *, out: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.uint8]:
    """Pack ring elements to `bits` bits each.

    Parameters
    ----------
    values : ndarray of uint32 or uint64, any shape
        C-contiguous; each below ``2**bits``.
    bits : int
        1 to 64.
    out : ndarray of uint8, shape (ceil(values.size * bits / 8),), optional
        Receives the bytes; must not overlap `values`.

    Returns
    -------
    ndarray of uint8
        Value i lies in bits ``i * bits`` to ``(i + 1) * bits - 1``, counted from the least
        significant bit of byte 0; padding bits are zero.

    Raises
    ------
    TypeError
        If `values` is not an array of uint32 or uint64, or `out` not one of uint8.
    ValueError
        If a value does not fit, `bits` is out of range, or `out` has another size, is read-only or
        overlaps. Nothing is ever cut off silently; `out` then holds nothing of use.

    Notes
    -----
    One pass, no memory beyond `out`. Time does not depend on the values.

    Examples
    --------
    >>> veil.ring.pack_bits(np.array([5, 2], np.uint32), 3)
    array([21], dtype=uint8)
    """
    _require_ring(values, "values")
    bits = whole("bits", bits)
    if out is None:
        out = np.empty(_packed_bytes(values.size, bits), np.uint8)
    kernel = _core.pack_bits_u32 if values.dtype == np.uint32 else _core.pack_bits_u64
    kernel(values, bits, out)
    return out


def unpack_bits(
    packed: npt.NDArray[np.uint8],
    bits: int,
    count: int,
    *,
    dtype: npt.DTypeLike,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Unpack what `pack_bits` packed.

    Parameters
    ----------
    packed : ndarray of uint8, shape (ceil(count * bits / 8),)
        Foreign bytes are welcome: every fault is an error.
    bits : int
        1 to 64, at most the width of `dtype`.
    count : int
        Number of values.
    dtype : {uint32, uint64}
        Of the result.
    out : ndarray of `dtype`, shape (count,), optional
        Receives the values; must not overlap `packed`.

    Returns
    -------
    ndarray of `dtype`
        The values.

    Raises
    ------
    TypeError
        If a dtype is not one of these.
    ValueError
        If `packed` has another length or nonzero padding bits, a number is out of range, or `out`
        does not fit.

    Examples
    --------
    >>> veil.ring.unpack_bits(np.array([21], np.uint8), 3, 2, dtype=np.uint32)
    array([5, 2], dtype=uint32)
    """
    if np.dtype(dtype) not in _WORDS:
        raise TypeError(f"dtype: expected uint32 or uint64, got {np.dtype(dtype)}")
    bits, count = whole("bits", bits), whole("count", count)
    if count < 0:
        raise ValueError(f"count: expected 0 or more, got {count}")
    if out is None:
        _require_packed(packed, bits, count)  # before foreign numbers decide on memory
        out = np.empty(count, dtype)
    elif out.shape != (count,):
        raise ValueError(f"out: expected shape ({count},), got {out.shape}")
    kernel = _core.unpack_bits_u32 if np.dtype(dtype) == np.uint32 else _core.unpack_bits_u64
    kernel(packed, bits, out)
    return out


def _require_ring(array: Any, name: str) -> None:
    if isinstance(array, np.ndarray) and array.dtype in _WORDS:
        return
    what = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
    raise TypeError(f"{name}: expected a NumPy array of uint32 or uint64, got {what}")


def _require_shape(array: Any, name: str, shape: tuple[int, ...]) -> None:
    if isinstance(array, np.ndarray) and array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


def _target(like: npt.NDArray[_Word], out: npt.NDArray[_Word] | None) -> npt.NDArray[_Word]:
    if out is None:
        return np.empty(like.shape, like.dtype)
    _require_shape(out, "out", like.shape)
    return out


def _packed_bytes(count: int, bits: int) -> int:
    if not 1 <= bits <= 64:
        raise ValueError(f"bits: expected 1 to 64, got {bits}")
    return -(-count * bits // 8)


def _require_packed(packed: npt.NDArray[np.uint8], bits: int, count: int) -> None:
    expected = _packed_bytes(count, bits)
    if np.size(packed) != expected:
        raise ValueError(f"packed: expected {expected} bytes, got {np.size(packed)}")
