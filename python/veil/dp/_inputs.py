"""Checked inputs of a mechanism: what is finite, of a known type, and has room for the result."""

from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _arrays, _core
from veil.errors import DataError
from veil.random import SecureGenerator

__all__ = ["Input", "check_ledger", "generator", "require_finite"]

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
        Memory for the result: of the type of `x` for floats, int64 for integers.

    Raises
    ------
    TypeError
        If a type is not one of these.
    ValueError
        If `out` has another shape, is not contiguous or writable, or overlaps `x` in part.
    DataError
        If `x` holds NaN or infinity, or nothing.
    """

    def __init__(self, x: Any, out: Any) -> None:
        self._given = x
        scalar = isinstance(x, int | float | np.number) and not isinstance(x, bool)
        words = np.asarray(x) if scalar else _arrays.array(x, "x")
        self.scalar = words.ndim == 0 and not _arrays.is_tensor(x)
        self.integer = words.dtype.kind in "iu" and not _is_bfloat16(x)
        if not (self.integer or words.dtype.type in _FLOATS) or not words.dtype.isnative:
            raise TypeError(
                "x: expected float32, float64 or an integer type in native byte order, got "
                f"{getattr(x, 'dtype', words.dtype)}"
            )
        if words.size == 0:
            raise DataError("x: expected at least one value, got an empty array")
        if not self.integer:
            require_finite("x", words)
        self.words = np.ascontiguousarray(words).reshape(-1)
        self.dtype = np.dtype(np.int64) if self.integer else words.dtype
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

    def points(self) -> npt.NDArray[np.int64]:
        """Return integer values clamped to +-2^52, as a new array."""
        low = 0 if self.words.dtype.kind == "u" else -MOST_POINT
        info = np.iinfo(self.words.dtype)
        bounds = max(low, info.min), min(MOST_POINT, info.max)
        points: npt.NDArray[np.int64] = np.clip(self.words, *bounds).astype(np.int64)
        return points


def _is_bfloat16(x: Any) -> bool:
    return str(getattr(x, "dtype", "")).endswith("bfloat16")


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
