"""Checked inputs of a mechanism: what is finite, of a known type, and has room for the result."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _arrays, _core
from veil.errors import DataError
from veil.random import SecureGenerator

__all__ = [
    "MOST_POINT",
    "Input",
    "check_flag",
    "check_ledger",
    "generator",
    "nearest_multiples",
    "require_finite",
]

# Integers are clamped to what a double holds exactly, as floats are: it changes no sensitivity.
MOST_POINT = 2**52
_FLOATS = (np.float32, np.float64)
_LEAST_FLOAT32_LATTICE = 2.0**-125


class Input:
    """The argument of a release: a flat view, and where the result goes.

    Parameters
    ----------
    x : float, int, ndarray or CPU tensor
        Of float32, float64 or an integer type.
    out : ndarray or CPU tensor, optional
        Memory for the result: int64 with `integer`, else the type of `x` if that is a float, and
        float64 if not.
    integer : bool
        Whether integer noise is added. The caller's word, for the type may depend on the data.

    Raises
    ------
    TypeError
        If a type is not one of these.
    ValueError
        If `out` has another shape, is not contiguous or writable, or overlaps `x` in part.
    DataError
        If `x` holds NaN or infinity, a masked entry, or nothing.
    """

    def __init__(self, x: Any, out: Any, *, integer: bool) -> None:
        self._given = x
        self.integer = check_flag("integer", integer)
        words = _words(x)
        self.scalar = words.ndim == 0 and not _arrays.is_tensor(x)
        is_float = words.dtype.kind == "f"
        if integer and is_float:
            raise TypeError(
                f"x: expected an integer type with integer=True, got {words.dtype}; round it where "
                "its sensitivity is bounded, or leave integer=False"
            )
        if words.size == 0:
            raise DataError("x: expected at least one value, got an empty array")
        if is_float:
            require_finite("x", words)
        self.words = np.ascontiguousarray(words).reshape(-1)
        self.dtype = np.dtype(np.int64 if integer else words.dtype if is_float else np.float64)
        self.shape = words.shape
        self._out = out
        if out is not None:
            self._check_out(words)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(self.words.size)

    def _check_out(self, words: npt.NDArray[Any]) -> None:
        target = _arrays.array(self._out, "out")
        if target.dtype != self.dtype or _is_bfloat16(self._out):
            raise TypeError(f"out: expected dtype {self.dtype}, got {target.dtype}")
        if target.shape != self.shape:
            raise ValueError(f"out: expected shape {self.shape}, got {target.shape}")
        if not (target.flags.c_contiguous and target.flags.writeable):
            raise ValueError("out: expected a C-contiguous, writable array")
        same = target.ctypes.data == words.ctypes.data and target.dtype == words.dtype
        if np.may_share_memory(target, words) and not (same and words.flags.c_contiguous):
            raise ValueError("out: expected memory apart from `x` or the same array")

    def result(self) -> tuple[npt.NDArray[Any], Any]:
        """Return the array to fill, and what the caller gets."""
        if self._out is not None:
            return _arrays.array(self._out, "out"), self._out
        made = _arrays.empty_vector([self._given], self.size, self.dtype).reshape(self.shape)
        return _arrays.array(made, "out"), made

    def check_lattice(self, granularity: float) -> None:
        """Refuse float32 on a lattice where its subnormals, which count as zero, would matter.

        Raises
        ------
        ValueError
            If the granularity is below 2^-125 for float32.
        """
        if self.dtype == np.float32 and granularity < _LEAST_FLOAT32_LATTICE:
            raise ValueError(
                f"x: expected float64 for noise this small (a lattice of {granularity:g}), got "
                "float32, whose values below 2^-126 count as zero; pass float64 or rescale the data"
            )

    def floats(self, granularity: float) -> npt.NDArray[Any]:
        """Return values as floats that round to the lattice as the given ones would."""
        if self.words.dtype.kind == "f":
            return self.words
        return nearest_multiples(self.words, granularity)

    def points(self) -> npt.NDArray[np.int64]:
        """Return integer values clamped to +-2^52, as a new array."""
        info = None if self.words.dtype.kind == "O" else np.iinfo(self.words.dtype)
        low = -MOST_POINT if info is None else max(-MOST_POINT, info.min)
        high = MOST_POINT if info is None else min(MOST_POINT, info.max)
        points: npt.NDArray[np.int64] = np.clip(self.words, low, high).astype(np.int64)
        return points


def _words(x: Any) -> npt.NDArray[Any]:
    """View numbers as an array of float32, float64 or an integer type, or raise TypeError."""
    if isinstance(x, bool):
        raise TypeError("x: expected numbers, got bool")
    if isinstance(x, int) and not -(2**63) <= x < 2**63:
        return np.array(x, object)
    words = np.asarray(x) if isinstance(x, int | float | np.number) else _arrays.array(x, "x")
    known = words.dtype.type in _FLOATS or (words.dtype.kind in "iu" and not _is_bfloat16(x))
    if not known or not words.dtype.isnative:
        raise TypeError(
            "x: expected float32, float64 or an integer type in native byte order, got "
            f"{getattr(x, 'dtype', words.dtype)}"
        )
    return words


def nearest_multiples(values: npt.NDArray[Any], granularity: float) -> npt.NDArray[np.float64]:
    """Round integers to multiples of a power of two, ties to even, as exact floats.

    A double holds 53 bits: converting first, then rounding to the lattice, would round twice and
    move neighbours apart by more than one lattice unit. Multiples beyond 2^52 are inexact, and
    clamped by whoever adds noise.
    """
    bits = math.frexp(granularity)[1] - 1
    if values.dtype.kind == "O" or bits >= 63:
        multiples = (round(Fraction(int(value)) / Fraction(granularity)) for value in values)
        most = 2 * MOST_POINT
        return np.array([min(max(m, -most), most) for m in multiples], np.float64) * granularity
    if bits <= 0:
        # Every integer is on the lattice; what a double does not hold is clamped anyhow.
        return np.clip(values.astype(np.float64), -(2.0**53), 2.0**53)
    wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
    kind = wide.dtype.type
    points = wide >> kind(bits)
    rest, half = wide - (points << kind(bits)), kind(1 << (bits - 1))
    points += ((rest > half) | ((rest == half) & (points & kind(1) == 1))).astype(wide.dtype)
    return points.astype(np.float64) * granularity


def _is_bfloat16(x: Any) -> bool:
    return str(getattr(x, "dtype", "")).endswith("bfloat16")


def check_flag(name: str, value: bool) -> bool:
    """Return a bool, or raise TypeError: anything else would be true or false by chance."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return value


def require_finite(name: str, values: npt.NDArray[Any]) -> None:
    """Raise DataError if floats hold NaN or infinity."""
    # A sum is finite only if every term is; where large finite terms overflow it, look closer.
    with np.errstate(over="ignore", invalid="ignore"), _core.SubnormalsAsZero():
        total = values.sum(dtype=np.float64)
    if np.isfinite(total) or np.isfinite(values).all():
        return
    bad = int(np.count_nonzero(~np.isfinite(values)))
    raise DataError(
        f"{name}: expected finite values, got NaN or infinity in {bad} of {values.size}"
    )


def check_ledger(ledger: Any) -> None:
    """Raise TypeError unless a ledger was given."""
    from veil.dp.ledger import Ledger

    if not isinstance(ledger, Ledger):
        raise TypeError(
            f"ledger: expected a veil.dp.Ledger, got {type(ledger).__name__}; every release is "
            "charged to one"
        )


def generator(rng: Any) -> SecureGenerator:
    """Return the generator to draw from; a new one from the operating system if none is given."""
    if rng is None:
        return SecureGenerator()
    if not isinstance(rng, SecureGenerator):
        raise TypeError(f"rng: expected a veil.random.SecureGenerator, got {type(rng).__name__}")
    return rng
