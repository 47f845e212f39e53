"""Encode, mask and pack a vector block by block; unmask a sum. No temporary has its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from veil import _arrays, _core, ring
from veil.errors import StreamExhausted
from veil.random import SecureGenerator
from veil.secagg.config import Config
from veil.secagg.keys import hkdf

__all__ = ["MaskKeys", "add_packed", "mask_and_pack", "pair_mask_key", "self_mask_key", "unmask"]

# 256 or 512 KiB: fits L2, and a multiple of 8 so that packed blocks begin on whole bytes.
_BLOCK = 1 << 16


class MaskKeys(NamedTuple):
    """Keystream keys of 32 bytes, and the sign of each."""

    keys: list[bytes]
    signs: list[int]

    @classmethod
    def of(cls, signed: Sequence[tuple[bytes, int]]) -> MaskKeys:
        """Collect pairs of key and sign."""
        return cls([key for key, _ in signed], [sign for _, sign in signed])


def _mask_info(config: Config, context: bytes) -> tuple[bytes | int | str, ...]:
    return (context, "update", config.masked_length, config.codec.ring_bits)


def self_mask_key(b: bytes, sid: bytes, client: int, config: Config, context: bytes) -> bytes:
    """Key of a client's own mask, from its seed b_i."""
    return hkdf(b, sid, "veil/self-mask/1", client, *_mask_info(config, context))


def pair_mask_key(
    secret: bytes, sid: bytes, i: int, j: int, config: Config, context: bytes
) -> bytes:
    """Key of a pair's mask, from s_ij, i < j; models that differ give keys that do not cancel."""
    return hkdf(secret, sid, "veil/pair-mask/1", i, j, *_mask_info(config, context))


def ring_dtype(config: Config) -> Any:
    """Word that holds a ring element."""
    return np.uint64 if config.codec.ring_bits > 32 else np.uint32


def mask_and_pack(
    config: Config,
    masks: MaskKeys,
    vector: NDArray[Any],
    weight: int | None,
    rng: SecureGenerator | None,
    *,
    out: memoryview | bytearray,
    threads: int | None,
) -> None:
    """Encode, add all masks modulo 2^w, pack to w bits per element.

    Parameters
    ----------
    config : Config
        Codec, length and weights.
    masks : MaskKeys
        All keys of this client.
    vector : ndarray of float, shape (config.length,)
        Clipped first, weighed after. Of int64 in a session with noise: lattice points.
    weight : int or None
        Between 1 and ``config.weight_max``, or None when the sum is unweighted.
    rng : SecureGenerator or None
        For stochastic rounding.
    out : memoryview or bytearray of ``config.masked_bytes`` bytes
        Receives the packed elements.
    threads : int or None
        Most threads to use; they change the speed, never the bits.

    Notes
    -----
    One pass over the vector in blocks that fit a cache; the only other memory is one such block for
    each thread.
    """
    packed = np.frombuffer(out, np.uint8)
    if config.noise is not None:
        _mask_points(config, vector, masks, packed, threads)
        return
    bits = config.codec.ring_bits
    head = np.array([] if weight is None else [weight], ring_dtype(config))
    first = 0
    for part in _weighed(config, vector, weight):
        last = first + head.size + part.size
        _encode_masked(
            config, part, rng, head, masks, first, packed[first * bits // 8 : -(-last * bits // 8)],
            threads,
        )  # fmt: skip
        head, first = head[:0], last


def _weighed(config: Config, vector: NDArray[Any], weight: int | None) -> Iterator[NDArray[Any]]:
    """Give the vector clipped and times its weight, by blocks that end on whole bytes."""
    if weight is None or config.weight_max is None:
        yield vector
        return
    factor = vector.dtype.type(weight / config.weight_max)
    limit = vector.dtype.type(config.codec.clip)
    block = np.empty(min(_BLOCK, vector.size), vector.dtype)
    first = 0
    while first < vector.size:
        # The weight in front belongs to the first block.
        size = _BLOCK if first else _BLOCK - config.weight_limbs
        part = block[: min(size, vector.size - first)]
        # Left before the yield: the mode is the thread's, and the caller's code runs meanwhile.
        with np.errstate(under="ignore"), _core.SubnormalsAsZero():
            np.clip(vector[first : first + part.size], -limit, limit, out=part)
            np.multiply(part, factor, out=part)
        yield part
        first += part.size


def _encode_masked(
    config: Config,
    part: NDArray[Any],
    rng: SecureGenerator | None,
    head: NDArray[Any],
    masks: MaskKeys,
    offset: int,
    out: NDArray[np.uint8],
    threads: int | None,
) -> None:
    kernel = _core.encode_masked_u32 if ring_dtype(config) is np.uint32 else _core.encode_masked_u64
    values = _arrays.floats(part, "vector")
    try:
        kernel(
            config.codec, values.words, values.format, rng, head, masks.keys, masks.signs, offset,
            config.cipher, out, threads,
        )  # fmt: skip
    except OverflowError as error:
        raise StreamExhausted(str(error)) from None


def _mask_points(
    config: Config,
    points: NDArray[Any],
    masks: MaskKeys,
    out: NDArray[np.uint8],
    threads: int | None,
) -> None:
    """Mask and pack lattice points as they are, block by block."""
    bits = config.codec.ring_bits
    block: NDArray[Any] = np.empty(min(_BLOCK, points.size), ring_dtype(config))
    for start in range(0, points.size, _BLOCK):
        words = block[: min(_BLOCK, points.size - start)]
        # Two's complement: what the cast drops are multiples of 2^w, or of more.
        np.copyto(words, points[start : start + words.size], casting="unsafe")
        ring.mask_add(
            words, masks.keys, masks.signs, offset=start, cipher=config.cipher, out=words,
            threads=threads,
        )  # fmt: skip
        _reduce(words, bits)
        ring.pack_bits(
            words, bits, out=out[start * bits // 8 : -(-(start + words.size) * bits // 8)]
        )
    block.fill(0)


def add_packed(config: Config, total: NDArray[Any], payload: memoryview) -> None:
    """Add one packed vector to the running total, block by block."""
    bits = config.codec.ring_bits
    packed = np.frombuffer(payload, np.uint8)
    block = np.empty(min(_BLOCK, total.size), total.dtype)
    for start in range(0, total.size, _BLOCK):
        part = total[start : start + _BLOCK]
        words = block[: part.size]
        first, last = start * bits // 8, -(-(start + part.size) * bits // 8)
        ring.unpack_bits(packed[first:last], bits, part.size, dtype=total.dtype, out=words)
        ring.add(part, words, out=part)


def unmask(config: Config, total: NDArray[Any], masks: MaskKeys, *, threads: int | None) -> None:
    """Remove masks from the total in place and reduce it to the ring."""
    ring.mask_add(
        total, masks.keys, masks.signs, offset=0, cipher=config.cipher, out=total, threads=threads
    )
    for start in range(0, total.size, _BLOCK):
        _reduce(total[start : start + _BLOCK], config.codec.ring_bits)


def _reduce(words: NDArray[Any], bits: int) -> None:
    if bits != 8 * words.dtype.itemsize:
        np.bitwise_and(words, words.dtype.type((1 << bits) - 1), out=words)
