"""Shamir secret sharing over GF(2^31 + 11) (Shamir 1979), batched over secrets.

A secret of ``m`` bytes is cut into ``ceil(8 m / 31)`` limbs of 31 bits from its least significant
end; a share holds the limbs' values at one point, most significant limb first, 4 bytes big-endian
each.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from veil import _core
from veil._checks import whole
from veil.errors import BadShares

__all__ = ["combine_secrets", "combine_shares", "share_bytes", "split_secret", "split_secrets"]

PRIME: int = _core.SHAMIR_PRIME
_LIMB_BITS = 31
_BOOLS = frozenset({bool, np.bool_})
_LIMB_MASK = (1 << _LIMB_BITS) - 1


class ByteSource(Protocol):
    """Anything that draws secret random bytes, such as ``veil.random.SecureGenerator``."""

    def bytes(self, n: int) -> bytes:
        """Return `n` fresh random bytes."""


def share_bytes(secret_length: int) -> int:
    """Length in bytes of one share of a secret of `secret_length` bytes."""
    return 4 * _limb_count(secret_length)


def split_secret(
    secret: bytes, *, threshold: int, points: Sequence[int], rng: ByteSource | None = None
) -> list[bytes]:
    """Split a secret so that any `threshold` shares give it back and fewer tell nothing.

    Parameters
    ----------
    secret : bytes
        At least one byte.
    threshold : int
        Shares needed, 1 to ``len(points)``.
    points : sequence of int
        Where the shares are taken: distinct, 1 to 65535.
    rng : object with ``bytes(n)``, optional
        Source of the coefficients; the operating system's entropy if left out.

    Returns
    -------
    list of bytes
        One share per point, in their order.

    Raises
    ------
    ValueError
        If the threshold or a point is out of range.

    Notes
    -----
    Time depends on the sizes alone. The shares hide the secret perfectly, up to the generator.

    References
    ----------
    A. Shamir, "How to share a secret", CACM 22(11), 1979.

    Examples
    --------
    >>> from veil.secagg import combine_shares, split_secret
    >>> shares = split_secret(b"key!", threshold=2, points=[1, 2, 3])
    >>> combine_shares({1: shares[0], 3: shares[2]}, threshold=2, length=4)
    b'key!'
    """
    return [row[0] for row in split_secrets([secret], threshold=threshold, points=points, rng=rng)]


def split_secrets(
    secrets: Sequence[bytes],
    *,
    threshold: int,
    points: Sequence[int],
    rng: ByteSource | None = None,
) -> list[list[bytes]]:
    """Split secrets of one length in one pass.

    Parameters
    ----------
    secrets : sequence of bytes
        All of one length.
    threshold : int
        As for `split_secret`.
    points : sequence of int
        As for `split_secret`.
    rng : object with ``bytes(n)``, optional
        As for `split_secret`.

    Returns
    -------
    list of list of bytes
        ``shares[i][s]`` is the share of ``secrets[s]`` at ``points[i]``.

    Raises
    ------
    ValueError
        If the lengths differ, or as `split_secret`.
    """
    length = len(secrets[0]) if secrets else 0
    if length == 0 or any(len(secret) != length for secret in secrets):
        raise ValueError("secrets: expected one or more non-empty secrets of one length")
    threshold = whole("threshold", threshold)
    if not 1 <= threshold <= len(points):
        raise ValueError(f"threshold: expected 1 to {len(points)} (the points), got {threshold}")
    limbs = _limb_count(length)
    lanes = limbs * len(secrets)
    coefficients = np.empty((threshold, lanes), np.uint32)
    coefficients[0] = np.concatenate([_to_limbs(secret) for secret in secrets])
    coefficients[1:] = _random_elements((threshold - 1) * lanes, rng).reshape(-1, lanes)
    shares = np.empty((len(points), lanes), np.uint32)
    _core.shamir_split(coefficients, _points(points), shares)
    coefficients.fill(0)
    rows = shares.astype(">u4").reshape(len(points), len(secrets), limbs)
    return [[share.tobytes() for share in row] for row in rows]


def combine_shares(shares: Mapping[int, bytes], *, threshold: int, length: int) -> bytes:
    """Recover a secret from shares at distinct points.

    Parameters
    ----------
    shares : mapping of int to bytes
        Point to share; the `threshold` lowest points are used.
    threshold : int
        Shares needed, as at the split.
    length : int
        Length of the secret in bytes.

    Returns
    -------
    bytes
        The secret, if the shares are honest: a wrong share gives another secret or an error, so
        the caller checks the result against a commitment.

    Raises
    ------
    BadShares
        If there are too few shares, one has the wrong length or an element outside the field, or
        the result is no secret of that length.
    """
    return combine_secrets([shares], threshold=threshold, length=length)[0]


def combine_secrets(
    batches: Sequence[Mapping[int, bytes]], *, threshold: int, length: int
) -> list[bytes]:
    """Recover many secrets, each from its own shares; batches with the same points share the work.

    Parameters
    ----------
    batches : sequence of mappings of int to bytes
        For each secret, point to share.
    threshold : int
        As for `combine_shares`.
    length : int
        As for `combine_shares`.

    Returns
    -------
    list of bytes
        The secrets, in order.

    Raises
    ------
    BadShares
        As `combine_shares`.
    """
    threshold, length = whole("threshold", threshold), whole("length", length, least=1)
    by_points: dict[tuple[int, ...], list[int]] = {}
    for index, shares in enumerate(batches):
        if len(shares) < threshold:
            raise BadShares(f"expected at least {threshold} shares of a secret, got {len(shares)}")
        by_points.setdefault(tuple(sorted(shares)[:threshold]), []).append(index)
    secrets: list[bytes] = [b""] * len(batches)
    for points, indices in by_points.items():
        rows = [[batches[index][point] for index in indices] for point in points]
        for index, secret in zip(indices, _combine(points, rows, length), strict=True):
            secrets[index] = secret
    return secrets


def _combine(points: tuple[int, ...], rows: list[list[bytes]], length: int) -> list[bytes]:
    width = share_bytes(length)
    if any(len(share) != width for row in rows for share in row):
        raise BadShares(f"expected shares of {width} bytes")
    shares = np.frombuffer(b"".join(b"".join(row) for row in rows), ">u4").astype(np.uint32)
    if (shares >= PRIME).any():
        raise BadShares("expected share elements below 2^31 + 11, got a larger one")
    limbs = np.empty(shares.size // len(points), np.uint32)
    _core.shamir_combine(_lagrange_weights(points), shares.reshape(len(points), -1), limbs)
    return [_from_limbs(row, length) for row in limbs.reshape(-1, width // 4)]


@functools.lru_cache(maxsize=256)
def _lagrange_weights(points: tuple[int, ...]) -> NDArray[np.uint32]:
    weights = np.empty(len(points), np.uint32)
    _core.shamir_lagrange_weights(_points(points), weights)
    return weights


def _points(points: Sequence[int]) -> NDArray[np.uint32]:
    array = np.asarray(points)
    if array.dtype.kind not in "iu" or not _BOOLS.isdisjoint(map(type, points)):
        for point in points:
            whole("points", point, least=1, most=_core.SHAMIR_MAX_POINT)
    if not ((array >= 1) & (array <= _core.SHAMIR_MAX_POINT)).all():
        raise ValueError(f"points: expected 1 to {_core.SHAMIR_MAX_POINT}")
    return array.astype(np.uint32)


def _limb_count(length: int) -> int:
    return -(-8 * length // _LIMB_BITS)


def _to_limbs(secret: bytes) -> NDArray[np.uint32]:
    value = int.from_bytes(secret, "big")
    count = _limb_count(len(secret))
    shifts = range(_LIMB_BITS * (count - 1), -1, -_LIMB_BITS)
    return np.array([(value >> shift) & _LIMB_MASK for shift in shifts], np.uint32)


def _from_limbs(limbs: NDArray[np.uint32], length: int) -> bytes:
    value = 0
    for limb in limbs.tolist():
        if limb > _LIMB_MASK:
            raise BadShares("the shares give a limb of 2^31 or more: they do not fit together")
        value = value << _LIMB_BITS | limb
    if value >> (8 * length):
        raise BadShares(f"the shares give more than {length} bytes: they do not fit together")
    return value.to_bytes(length, "big")


def _random_elements(count: int, rng: ByteSource | None) -> NDArray[np.uint32]:
    """Uniform elements of the field; 32-bit words are rejected at or above p, about half."""
    draw = os.urandom if rng is None else rng.bytes
    kept: list[NDArray[np.uint32]] = [np.empty(0, np.uint32)]
    missing = count
    while missing > 0:
        words = np.frombuffer(draw(4 * (2 * missing + 64)), "<u4").astype(np.uint32)
        kept.append(words[words < PRIME][:missing])
        missing -= kept[-1].size
    return np.concatenate(kept)
