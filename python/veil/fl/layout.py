"""Names, shapes and dtypes of a model, and its one flat vector.

Reduction, secure aggregation, encryption and noise all take that vector. Floating-point arrays
lie in it in the order of their names; integer and bool arrays (counters such as BatchNorm's
``num_batches_tracked``) are *buffers*: named, digested, never in the vector and never uploaded.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veil import _arrays
from veil.errors import DataError

__all__ = ["Entry", "Layout"]

_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Entry:
    """Name, shape and dtype of one array.

    Parameters
    ----------
    name : str
        Its key in the model's dict.
    shape : tuple of int
        Its shape.
    dtype : str
        Its dtype's name, for example ``"float32"`` or ``"bfloat16"``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dict of arrays lies in one vector.

    Two sites whose dicts hold the same arrays in another order have the same layout: entries are
    sorted by name.

    Parameters
    ----------
    entries : tuple of Entry
        The floating-point arrays, sorted by name, in the order of the vector.
    buffers : tuple of Entry
        The integer and bool arrays, sorted by name, which stay out of the vector.

    Examples
    --------
    >>> model = {"w": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}
    >>> layout = veil.fl.Layout.of(model)
    >>> layout.names, layout.size, layout.flatten(model).dtype.name
    (('b', 'w'), 9, 'float32')
    """

    entries: tuple[Entry, ...]
    buffers: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Layout:
        """Read the layout of a model.

        Parameters
        ----------
        params : mapping of str to ndarray or tensor
            Named arrays, for example a PyTorch ``state_dict``.

        Returns
        -------
        Layout
            Its layout.

        Raises
        ------
        TypeError
            If a value is neither ndarray nor tensor, or its dtype is no real number in the
            machine's byte order.
        DataError
            If there is no floating-point array.
        """
        floats: list[Entry] = []
        others: list[Entry] = []
        for name in sorted(params):
            entry = _entry(name, params[name])
            (floats if entry.dtype in _FLOATS else others).append(entry)
        if not floats:
            raise DataError("params: expected at least one floating-point array, got none")
        return cls(tuple(floats), tuple(others))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays in the vector, in its order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the arrays in the vector."""
        return tuple(entry.shape for entry in self.entries)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Dtypes of the arrays in the vector."""
        return tuple(entry.dtype for entry in self.entries)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(entry.size for entry in self.entries)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the vector: float64 if an entry is float64, else float32, which holds all.

        An upload of lattice points, whose entries are all int64, is of int64.
        """
        if set(self.dtypes) == {"int64"}:
            return np.dtype(np.int64)
        return np.dtype(np.float64 if "float64" in self.dtypes else np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of the vector."""
        return self.size * self.dtype.itemsize

    def flatten(self, params: Mapping[str, Any], *, out: Any = None) -> Any:
        """Copy a model's floating-point arrays into one vector.

        Parameters
        ----------
        params : mapping of str to ndarray or tensor
            A model of this layout; the order of its keys does not matter.
        out : ndarray or tensor of shape (size,), optional
            Where to write, of the vector's dtype, contiguous, sharing no memory with `params`.

        Returns
        -------
        ndarray or tensor of shape (size,)
            `out`, or a new vector: a tensor on the first tensor's device if `params` holds
            tensors, else an ndarray. float16 and bfloat16 widen to float32 exactly.

        Raises
        ------
        DataError
            If names, shapes or dtypes differ from the layout; the message names the array.
        TypeError, ValueError
            If `out` has another dtype or shape, is read-only or not contiguous, or overlaps an
            array of `params`.

        Notes
        -----
        One copy, O(size); no other memory.
        """
        self.check(params)
        arrays = [params[entry.name] for entry in self.entries]
        if out is None:
            out = _arrays.empty_vector(arrays, self.size, self.dtype)
        else:
            _arrays.check_out(out, self.size, self.dtype, arrays)
        start = 0
        for entry, array in zip(self.entries, arrays, strict=True):
            _arrays.copy_into(out[start : start + entry.size], array)
            start += entry.size
        return out

    def unflatten(self, vector: Any, *, buffers: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Give a vector its names and shapes back.

        Parameters
        ----------
        vector : ndarray or tensor of shape (size,)
            Of the vector's dtype.
        buffers : mapping of str to ndarray or tensor, optional
            A model whose integer buffers the result takes over, so that it is complete.

        Returns
        -------
        dict of str to ndarray or tensor
            Arrays of the kind of `vector`. Those whose dtype is the vector's are views of it, the
            others are rounded copies.

        Raises
        ------
        TypeError
            If the dtype differs, or an entry is bfloat16 and `vector` an ndarray (NumPy has no
            bfloat16: pass ``torch.from_numpy(vector)``).
        ValueError
            If the shape differs.
        DataError
            If `buffers` lacks a buffer or holds it with another shape or dtype.
        """
        _arrays.check_vector("vector", vector, self.size, self.dtype)
        params: dict[str, Any] = {}
        start = 0
        for entry in self.entries:
            part = vector[start : start + entry.size]
            params[entry.name] = _arrays.cast(part, entry.dtype).reshape(entry.shape)
            start += entry.size
        if buffers is not None:
            for entry in self.buffers:
                _check_entry(entry, buffers)
                params[entry.name] = buffers[entry.name]
        return params

    def digest(self, params: Mapping[str, Any]) -> bytes:
        """Fingerprint the exact bytes of a model, buffers included.

        Two models have one digest only if every name, dtype, shape and bit agree: −0.0 differs
        from 0.0.

        Parameters
        ----------
        params : mapping of str to ndarray or tensor
            A model of this layout.

        Returns
        -------
        bytes
            32 bytes: SHA-256 over, for each array in the order of entries then buffers, its name,
            dtype, shape and little-endian bytes, each prefixed by its length in 8 bytes.

        Raises
        ------
        DataError
            If names, shapes or dtypes differ from the layout.
        """
        self.check(params)
        sha = hashlib.sha256(b"veil/model/1")
        for entry in (*self.entries, *self.buffers):
            shape = b"".join(extent.to_bytes(8, "little") for extent in entry.shape)
            for field in (entry.name.encode(), entry.dtype.encode(), shape):
                sha.update(len(field).to_bytes(8, "little") + field)
            content = _arrays.bytes_view(params[entry.name])
            sha.update(len(content).to_bytes(8, "little"))
            sha.update(content.data)
        return sha.digest()

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse a model that is not of this layout.

        Parameters
        ----------
        params : mapping of str to ndarray or tensor
            The model.

        Raises
        ------
        DataError
            If an array is missing, unknown, or of another shape or dtype.
        """
        expected = (*self.entries, *self.buffers)
        for entry in expected:
            _check_entry(entry, params)
        unknown = sorted(set(params) - {entry.name for entry in expected})
        if unknown:
            raise DataError(f"params: has {unknown[0]!r}, which the layout does not know")

    def prefixed(self, prefix: str) -> tuple[Entry, ...]:
        """Entries under other names, of the vector's dtype: a part of a larger upload.

        Parameters
        ----------
        prefix : str
            What to put before each name.

        Returns
        -------
        tuple of Entry
            One for each entry of the vector, in its order.
        """
        return tuple(Entry(prefix + e.name, e.shape, self.dtype.name) for e in self.entries)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout as JSON types.

        Returns
        -------
        dict
            ``entries`` and ``buffers``, each a list of [name, shape, dtype].
        """
        return {
            kind: [[e.name, list(e.shape), e.dtype] for e in getattr(self, kind)]
            for kind in ("entries", "buffers")
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Layout:
        """Read what `to_dict` returned.

        Parameters
        ----------
        fields : mapping
            As from `to_dict`.

        Returns
        -------
        Layout
            An equal layout.
        """
        read = {
            kind: tuple(Entry(name, tuple(shape), dtype) for name, shape, dtype in fields[kind])
            for kind in ("entries", "buffers")
        }
        return cls(**read)


def _entry(name: str, array: Any) -> Entry:
    dtype = _arrays.dtype_name(name, array)
    return Entry(name, tuple(int(extent) for extent in array.shape), dtype)


def _check_entry(entry: Entry, params: Mapping[str, Any]) -> None:
    if entry.name not in params:
        raise DataError(f"params: expected an array {entry.name!r}, got none of that name")
    got = _entry(entry.name, params[entry.name])
    if got != entry:
        raise DataError(
            f"params[{entry.name!r}]: expected {entry.dtype} of shape {entry.shape}, "
            f"got {got.dtype} of shape {got.shape}"
        )
