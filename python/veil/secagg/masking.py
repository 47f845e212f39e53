"""Encode, mask and pack a vector block by block; unmask a sum. No temporary has its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from veil import ring
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
) -> bytearray:
    """Encode, add all masks modulo 2^w, pack to w bits per element.

    Parameters
    ----------
    config : Config
        Codec, length and weights.
    masks : MaskKeys
        All keys of this client.
    vector : ndarray of float, shape (config.length,)
        Clipped first, weighed after.
    weight : int or None
        Between 1 and ``config.weight_max``, or None when the sum is unweighted.
    rng : SecureGenerator or None
        For stochastic rounding.

    Returns
    -------
    bytearray
        ``config.masked_bytes`` bytes.
    """
    bits = config.codec.ring_bits
    payload = bytearray(config.masked_bytes)
    packed = np.frombuffer(payload, np.uint8)
    block: NDArray[Any] = np.empty(min(_BLOCK, config.masked_length), ring_dtype(config))
    for start in range(0, config.masked_length, _BLOCK):
        words = block[: min(_BLOCK, config.masked_length - start)]
        _encode_block(config, vector, weight, rng, start, words)
        ring.mask_add(words, masks.keys, masks.signs, offset=start, cipher=config.cipher, out=words)
        _reduce(words, bits)
        first, last = start * bits // 8, -(-(start + words.size) * bits // 8)
        ring.pack_bits(words, bits, out=packed[first:last])
    block.fill(0)
    return payload


def _encode_block(
    config: Config,
    vector: NDArray[Any],
    weight: int | None,
    rng: SecureGenerator | None,
    start: int,
    words: NDArray[Any],
) -> None:
    limbs = config.weight_limbs
    head = max(0, min(limbs - start, words.size))
    if weight is not None and head:
        base = config.codec.bits
        all_limbs = [(weight >> (base * at)) & ((1 << base) - 1) for at in range(limbs)]
        words[:head] = all_limbs[start : start + head]
    first = start + head - limbs
    part = vector[first : first + words.size - head]
    if weight is not None and config.weight_max is not None:
        clip = config.codec.clip
        part = np.clip(part, -clip, clip) * part.dtype.type(weight / config.weight_max)
    config.codec.encode(part, rng, out=words[head:])


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
