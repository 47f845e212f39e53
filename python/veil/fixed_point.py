"""FixedPoint: the codec between numbers and ring elements that every private path shares.

It alone knows scale, width, rounding, overflow and how rounding widens a sensitivity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from veil import _arrays, _core
from veil._checks import fix_whole, real, whole

if TYPE_CHECKING:
    from veil.random import SecureGenerator

__all__ = ["FixedPoint"]

_MAX_BITS = 48  # the kernel rounds doubles, exactly below 2^51


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoint:
    """Clip, scale to a lattice g·Z, round, and reduce to the ring Z/2^w.

    A sum of up to `max_summands` encoded vectors never wraps around, so `decode_sum` gives the sum
    of the rounded values exactly; each is within one granularity of its clipped value (half of one
    when rounding to nearest).

    Parameters
    ----------
    clip : float
        Values are clipped to [-clip, clip].
    bits : int
        Width of one encoded value, 2 to 48; it lies in [-(2**(bits-1) - 1), 2**(bits-1) - 1]. A
        clip that is not itself on the lattice may round up to the next point.
    max_summands : int
        Most vectors in a sum.
    rounding : {"stochastic", "nearest"}
        Stochastic rounding is unbiased to within 2**-32 granularities; nearest has ties to even.
    noise : int, default 0
        Largest magnitude of integer noise in a sum, for which the ring leaves room besides.

    Attributes
    ----------
    granularity : float
        g, the least power of two with ``clip / g <= 2**(bits-1) - 1``.
    ring_bits : int
        w, the least width with ``2**w > max_summands * (2**bits - 1) + 2 * noise``; words are
        uint32 up to w = 32 and uint64 above.

    Raises
    ------
    ValueError
        If a parameter is out of range, or `max_summands` needs a ring of more than 64 bits.
    TypeError
        If a parameter is of another type.

    Examples
    --------
    >>> codec = veil.FixedPoint(clip=1.0, bits=16, max_summands=10, rounding="nearest")
    >>> total = veil.ring.add(codec.encode(np.array([0.5])), codec.encode(np.array([-2.0])))
    >>> codec.decode_sum(total, 2)
    array([-0.5])
    """

    clip: float
    bits: int
    max_summands: int
    rounding: Literal["stochastic", "nearest"]
    noise: int = 0

    def __post_init__(self) -> None:
        self._check_clip()
        fix_whole(self, "bits", least=2, most=_MAX_BITS)
        fix_whole(self, "max_summands", least=1)
        fix_whole(self, "noise", least=0)
        if self.rounding not in ("stochastic", "nearest"):
            raise ValueError(f'rounding: expected "stochastic" or "nearest", got {self.rounding!r}')
        if self.ring_bits > 64:
            besides = f" and noise up to {self.noise}" if self.noise else ""
            raise ValueError(
                f"max_summands: {self.max_summands} values of {self.bits} bits{besides} need a "
                f"ring of {self.ring_bits} bits, expected at most 64; use fewer bits or summands"
            )

    def _check_clip(self) -> None:
        object.__setattr__(self, "clip", real("clip", self.clip))
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise ValueError(f"clip: expected a finite number above 0, got {self.clip}")
        if not 2.0**-500 <= self.clip <= 2.0**500:
            raise ValueError(
                f"clip: expected 2**-500 to 2**500 (about 3e-151 to 3e150), got {self.clip}; "
                "rescale the values"
            )

    @property
    def granularity(self) -> float:
        """Distance between neighbouring lattice points, a power of two."""
        mantissa, exponent = math.frexp(self.clip / self._levels)
        g = math.ldexp(1.0, exponent - 1 if mantissa == 0.5 else exponent)
        # The quotient above is rounded: correct the one step that this can be off.
        return g if self.clip <= self._levels * g else 2 * g

    @property
    def ring_bits(self) -> int:
        """Width of the ring, w."""
        return int(self.max_summands * ((1 << self.bits) - 1) + 2 * self.noise).bit_length()

    @property
    def _levels(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def _word(self) -> type[np.uint32] | type[np.uint64]:
        return np.uint32 if self.ring_bits <= 32 else np.uint64

    def encode(
        self,
        x: Any,
        rng: SecureGenerator | None = None,
        *,
        out: NDArray[Any] | None = None,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Turn numbers into ring elements.

        Parameters
        ----------
        x : ndarray, CPU tensor or DLPack exporter, any shape
            float32, float64, float16 or bfloat16, C-contiguous; a NumPy array of uint16 is taken
            as bfloat16 bits.
        rng : SecureGenerator, optional
            Required for stochastic rounding, refused for nearest.
        out : ndarray of uint32 (uint64 above 32 ring bits), shape of `x`, optional
            Receives the elements; must not overlap `x`.
        threads : int, optional
            Most threads to use; they change the speed, never the bits.

        Returns
        -------
        ndarray
            `out`, or a new array: integers modulo ``2**ring_bits``, negative ones in two's
            complement.

        Raises
        ------
        TypeError
            If `x` or `out` has the wrong dtype, or `rng` is missing or not wanted.
        ValueError
            If a value is NaN or infinite, `out` does not fit, or the granularity is below 2**-94
            for float32 or bfloat16.

        Notes
        -----
        One pass, no temporary of the size of `x`. Draws 4 random bytes per value. Time does not
        depend on the values: subnormals of float32, float64 and bfloat16 count as zero.
        """
        require_rng(self, rng)
        values = _arrays.floats(x, "x")
        if out is None:
            out = np.empty(values.words.shape, self._word)
        elif getattr(out, "shape", None) != values.words.shape:
            raise ValueError(
                f"out: expected shape {values.words.shape}, got {getattr(out, 'shape', out)}"
            )
        kernel = (
            _core.fixed_point_encode_u32
            if self._word is np.uint32
            else _core.fixed_point_encode_u64
        )
        kernel(self, values.words, values.format, rng, out, threads)
        return out

    def decode_sum(
        self,
        total: NDArray[Any],
        count: int,
        *,
        noise: int | None = None,
        out: NDArray[np.float64] | None = None,
        threads: int | None = None,
    ) -> NDArray[np.float64]:
        """Turn a sum of encoded vectors into numbers.

        Parameters
        ----------
        total : ndarray of uint32 (uint64 above 32 ring bits)
            Sum in the ring; bits above ``ring_bits`` are ignored.
        count : int
            Number of vectors in it, 1 to `max_summands`.
        noise : int, optional
            Largest magnitude of integer noise that the sum may hold besides; the codec's own if
            left out.
        out : ndarray of float64, shape of `total`, optional
            Receives the numbers.
        threads : int, optional
            Most threads to use.

        Returns
        -------
        ndarray of float64
            Exact up to 53 bits of the sum's magnitude in granularities, else rounded to nearest.

        Raises
        ------
        TypeError
            If `total` or `out` has the wrong dtype, or `count` or `noise` is no integer.
        ValueError
            If `count` is out of range, or the total is no sum of `count` encoded vectors: masks
            did not cancel, or the words are corrupt.
        """
        count = whole("count", count, least=1, most=self.max_summands)
        noise = self.noise if noise is None else whole("noise", noise, least=0)
        if out is None:
            out = np.empty(getattr(total, "shape", ()), np.float64)
        elif getattr(out, "shape", None) != total.shape:
            raise ValueError(f"out: expected shape {total.shape}, got {getattr(out, 'shape', out)}")
        kernel = (
            _core.fixed_point_decode_u32
            if self._word is np.uint32
            else _core.fixed_point_decode_u64
        )
        kernel(self, total, min(count * self._levels + noise, (1 << 63) - 1), out, threads)
        return out

    def l2_sensitivity(self, l2_clip: float, dim: int, unit: Literal["vector", "record"]) -> float:
        """Bound on how far one unit moves a rounded sum, widened for the rounding.

        Parameters
        ----------
        l2_clip : float
            L2 norm c of the unit's contribution before encoding.
        dim : int
            Number of coordinates d.
        unit : {"vector", "record"}
            "record": one of the many contributions that a site adds up *before* it rounds its sum;
            two neighbouring sums may round apart by up to g per coordinate, so c + g·√d. "vector":
            a whole encoded vector is added or removed; its rounding moves it by less than g per
            coordinate (half of that to nearest), so c + g·√d or c + g·√d/2.

        Returns
        -------
        float
            In the unit of the values, rounded up.

        Raises
        ------
        ValueError
            If an argument is out of range.

        Notes
        -----
        The triangle inequality; it holds for every draw of the rounding, so no probability is left
        over. Clipping to [-clip, clip] per coordinate is 1-Lipschitz and does not add to it.
        """
        if not (math.isfinite(l2_clip) and l2_clip > 0):
            raise ValueError(f"l2_clip: expected a finite number above 0, got {l2_clip}")
        dim = whole("dim", dim, least=1)
        if unit not in ("vector", "record"):
            raise ValueError(f'unit: expected "vector" or "record", got {unit!r}')
        per_coordinate = self.granularity
        if unit == "vector" and self.rounding == "nearest":
            per_coordinate /= 2
        return math.nextafter(l2_clip + per_coordinate * math.sqrt(dim) * (1 + 1e-15), math.inf)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FixedPoint:
        """Inverse of `to_dict`; checks every value.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.
        """
        if set(values) != set(cls.__slots__):
            wrong = sorted(set(values) ^ set(cls.__slots__))
            raise ValueError(f"expected the fields {cls.__slots__}; missing or unknown: {wrong}")
        return cls(**values)


def require_rng(codec: FixedPoint, rng: SecureGenerator | None) -> None:
    """Refuse a missing generator where rounding draws from one, and one where it does not."""
    if (rng is None) == (codec.rounding == "stochastic"):
        wanted = "a SecureGenerator" if rng is None else "None"
        raise TypeError(f"rng: expected {wanted} for {codec.rounding} rounding")
