"""A randomised Hadamard rotation: spreads a vector evenly over its coordinates.

Ailon and Chazelle 2006 (the fast Johnson-Lindenstrauss transform), as Suresh et al. 2017 (arXiv
1611.00429) and Kairouz et al. 2021 (arXiv 2102.06387, section 4) use it before rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil import _core
from veil._checks import fix_whole
from veil.random import Keystream

__all__ = ["Rotation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The orthogonal map x -> H·D·x/√P, with D random signs and H the Hadamard matrix.

    No coordinate of the result is much larger than ``‖x‖·√(2·ln(P/p)/P)``, except with probability
    p over the signs, so that a lattice of fewer bits holds it. It protects nothing by itself.

    Parameters
    ----------
    length : int
        Values of a vector.
    seed : bytes of length 32
        Public, chosen independently of the data: the signs are AES-256-CTR's keystream under it.

    Raises
    ------
    ValueError
        If the length is below 1 or the seed is not of 32 bytes.

    Notes
    -----
    O(P·log P); the same bits on every instruction set and for any number of threads.
    """

    length: int
    seed: bytes

    def __post_init__(self) -> None:
        fix_whole(self, "length", least=1)
        if not isinstance(self.seed, bytes) or len(self.seed) != 32:
            raise ValueError("seed: expected 32 bytes")

    @property
    def padded(self) -> int:
        """P, values of a rotated vector: the least power of two that is at least `length`."""
        return 1 << (self.length - 1).bit_length()

    def apply(self, x: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float64]:
        """Rotate a vector.

        Parameters
        ----------
        x : ndarray of float, shape (length,)
            The vector.
        threads : int, optional
            Most threads to use.

        Returns
        -------
        ndarray of float64, shape (padded,)
            Of the same L2 norm, up to rounding.
        """
        rotated = np.zeros(self.padded)
        signs = self._signs()
        with np.errstate(under="ignore"), _core.SubnormalsAsZero():
            np.multiply(x, signs, out=rotated[: self.length])
            _core.fwht(rotated, threads)
            rotated /= math.sqrt(self.padded)
        return rotated

    def undo(self, rotated: NDArray[np.float64], *, threads: int | None = None) -> NDArray[Any]:
        """Rotate back.

        Parameters
        ----------
        rotated : ndarray of float64, shape (padded,)
            As from `apply`, or a sum of such.
        threads : int, optional
            Most threads to use.

        Returns
        -------
        ndarray of float64, shape (length,)
            The vector, up to rounding.
        """
        work = np.array(rotated, np.float64)
        _core.fwht(work, threads)
        work /= math.sqrt(self.padded)
        back: NDArray[np.float64] = work[: self.length] * self._signs()
        return back

    def _signs(self) -> NDArray[np.float64]:
        stream = Keystream(self.seed).bytes(-(-self.length // 8))
        signs = np.unpackbits(np.frombuffer(stream, np.uint8), count=self.length).astype(np.float64)
        signs *= -2.0
        signs += 1.0
        return signs
