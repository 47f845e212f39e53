"""What a session's masks are bound to: everything that reaches a site's training.

A server that may hand each site other instructions can make all sites but one send zeros, and read
that one's update in the sum (the model inconsistency of Pasquini et al. 2022, arXiv 2111.07380, by
any channel). So every mask key depends on a hash of all that was handed out: sites that were told
different things have masks that do not cancel.

A context is 57 bytes: the version; SHA-256 over the hashes of all fields; and of each field's hash
the first four bytes, which only serve to name the fields in which two contexts differ. A field is
hashed as a stream in which every value has its type and its length, so that no two values give the
same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil import _arrays
from veil.errors import ContextMismatch, PolicyRefused
from veil.secagg.wire import digest

__all__ = ["context", "differing_fields", "require_context"]

FIELDS = ("model", "round", "instructions", "shared", "settings", "terms")
VERSION = 1
_DOMAIN = "veil/context/1"
_TAG_BYTES = 4
_BYTES = 1 + 32 + _TAG_BYTES * len(FIELDS)

_MAX_DEPTH = 32  # nested containers; deeper ones are cycles or hostile
_BLOCK = 1 << 16  # elements that are copied at a time where memory is not in C order
_BUFFER = 1 << 12
_COUNT = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")
_DTYPES = {"bool", "float16", "bfloat16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_KINDS = (
    "None, bool, int, float, str, bytes, an array of bools, integers or floats of up to 64 bits"
)


def context(
    *,
    model: Mapping[str, Any],
    round: int,
    instructions: Mapping[str, Any],
    shared: Mapping[str, Any],
    settings: Mapping[str, Any],
    terms: Mapping[str, Any],
) -> bytes:
    """Hash all that reaches a site's training: what `Client.mask` binds the masks to.

    Sites whose arguments differ in one bit have masks that do not cancel, so that a server learns
    nothing from telling them different things. Each site computes it from what it was sent itself,
    before the code that trains can change an array. Nothing has a default: where there is nothing
    of a kind, write ``{}``.

    Parameters
    ----------
    model : mapping of str to ndarray or tensor
        Every array of the model that the site starts from, buffers included.
    round : int
        Number of the training round, ≥ 0.
    instructions : mapping
        All else that came with the model: learning rate, epochs, seeds, record names, whatever the
        server may set.
    shared : mapping
        What the algorithm sent down beside the model: SCAFFOLD's variate, a correction of the
        gradient.
    settings : mapping
        What the sites fixed among themselves: algorithm, optimiser, task, privacy mechanism.
    terms : mapping
        Of the session: ``config.to_dict()``, and what else was agreed on.

    Returns
    -------
    bytes
        57 bytes, for ``Client.mask(context=...)``. They travel in clear: put in no secret, and
        nothing that the server does not know.

    Raises
    ------
    TypeError
        If an argument is of another type, a key is not a str, or a value is none of those below.
    ValueError
        If `round` is negative, or containers are nested more than 32 deep.

    Notes
    -----
    Values are None, bool, int, float, str, bytes, NumPy scalars, arrays and tensors of real
    numbers, and lists, tuples and mappings of these. Types count: 1, 1.0, True and "1" differ, and
    so do 0.0 and −0.0. Not counted: the order of a mapping's keys, whether a sequence is a list or
    a tuple, and how an array lies in memory (strides, byte order, NumPy or torch). An array is
    hashed where it lies if it is contiguous, else by blocks of 65536 elements.

    What it cannot see: one instruction for all that names a site (``{"lr_site2": ...}``), and a
    model made so that other sites' updates vanish; only differential privacy bounds these.

    References
    ----------
    Pasquini, Francati and Ateniese 2022, Eluding secure aggregation in federated learning via model
    inconsistency, arXiv 2111.07380.

    Examples
    --------
    >>> sent = {"model": {"w": np.zeros(3)}, "instructions": {"lr": 0.1, "epochs": 1}}
    >>> fixed = {"shared": {}, "settings": {"algorithm": "fedavg"}, "terms": {"trial": 7}}
    >>> one = veil.secagg.context(round=1, **sent, **fixed)
    >>> other = veil.secagg.context(round=1, **sent | {"instructions": {"lr": 0.0}}, **fixed)
    >>> len(one), one == other
    (57, False)
    """
    if type(round) is not int:
        raise TypeError(f"round: expected an int, got {type(round).__name__}")
    if round < 0:
        raise ValueError(f"round: expected a number >= 0, got {round}")
    values = {"model": model, "round": round, "instructions": instructions, "shared": shared,
              "settings": settings, "terms": terms}  # fmt: skip
    hashes = [_hash_of(name, values[name]) for name in FIELDS]
    named = [part for pair in zip(FIELDS, hashes, strict=True) for part in pair]
    tags = b"".join(one[:_TAG_BYTES] for one in hashes)
    return bytes([VERSION]) + digest(_DOMAIN, *named) + tags


def require_context(found: bytes) -> None:
    """Refuse, against a server that may be malicious, bytes that `context` did not make.

    Raises
    ------
    PolicyRefused
        If there are none, or their length is another.
    ContextMismatch
        If another version made them.
    """
    if len(found) != _BYTES:
        raise PolicyRefused(
            "context: a malicious server could hand out different models and instructions; "
            f"expected the {_BYTES} bytes of veil.secagg.context, got {len(found)}"
        )
    if found[0] != VERSION:
        raise ContextMismatch(
            f"context: version: expected {VERSION}, got {found[0]}; run the same release of Veil "
            "at every party"
        )


def differing_fields(one: bytes, other: bytes) -> str:
    """Name what two contexts that are not equal differ in, for an error's text.

    Parameters
    ----------
    one, other : bytes
        As they came; they may be of another version, or anything.

    Returns
    -------
    str
        The fields' names; or the version, which is all that can be said of bytes that are not of
        this one.
    """
    if not all(len(each) == _BYTES and each[0] == VERSION for each in (one, other)):
        return f"version (of veil.secagg.context; this release makes version {VERSION})"
    start = range(_BYTES - _TAG_BYTES * len(FIELDS), _BYTES, _TAG_BYTES)
    found = [name for name, at in zip(FIELDS, start, strict=True)
             if one[at : at + _TAG_BYTES] != other[at : at + _TAG_BYTES]]  # fmt: skip
    return ", ".join(found) or "a field that the short tags do not tell apart"


def _hash_of(name: str, value: Any) -> bytes:
    if name != "round" and not isinstance(value, Mapping):
        raise TypeError(
            f"{name}: expected a mapping ({{}} if there is nothing of it), got "
            f"{type(value).__name__}"
        )
    sha = hashlib.sha256()
    stream = _Stream(sha.update)
    stream.put(value, (name,))
    stream.flush()
    return sha.digest()


class _Stream:
    """Writes values so that no two give the same bytes, and none is the beginning of another.

    Parameters
    ----------
    update : callable
        Takes bytes, or an array of bytes, in order.
    """

    def __init__(self, update: Callable[[Any], None]) -> None:
        self._update = update
        self._small = bytearray()  # small pieces together: one call for many

    def flush(self) -> None:
        """Hand on what is held back."""
        self._update(self._small)
        self._small = bytearray()

    def put(self, value: Any, path: tuple[Any, ...]) -> None:
        """Write one value; `path` leads to it from the argument, for errors."""
        kind = type(value)
        if value is None:
            self._small += b"N"
        elif kind is bool:
            self._small += b"T" if value else b"F"
        elif kind is int:
            size = value.bit_length() // 8 + 1
            self._put_bytes(b"I", value.to_bytes(size, "little", signed=True))
        elif kind is float:
            self._small += b"D" + _FLOAT.pack(value)
        elif kind is str:
            self._put_bytes(b"S", _utf8(value))
        elif kind is bytes:
            self._put_bytes(b"B", value)
        elif kind is list or kind is tuple:
            self._put_sequence(value, path)
        elif isinstance(value, Mapping):
            self._put_mapping(value, path)
        elif _arrays.is_tensor(value):
            self._put_tensor(value, path)
        elif kind in (np.ndarray, np.memmap) or isinstance(value, np.generic):
            array = np.asarray(value)
            self._put_array(array.dtype.name, array, path)
        else:
            raise TypeError(
                f"{_text(path)}: expected {_KINDS}, or a list, tuple or mapping of these, got "
                f"{kind.__name__}"
            )
        if len(self._small) > _BUFFER:
            self.flush()

    def _put_bytes(self, tag: bytes, content: bytes) -> None:
        self._small += tag + _COUNT.pack(len(content))
        if len(content) <= _BUFFER:
            self._small += content
        else:
            self.flush()
            self._update(content)

    def _put_sequence(self, values: list[Any] | tuple[Any, ...], path: tuple[Any, ...]) -> None:
        _check_depth(path)
        self._small += b"L" + _COUNT.pack(len(values))
        for at, value in enumerate(values):
            self.put(value, (*path, at))

    def _put_mapping(self, values: Mapping[Any, Any], path: tuple[Any, ...]) -> None:
        _check_depth(path)
        for key in values:
            if type(key) is not str:
                raise TypeError(
                    f"{_text(path)}: expected keys of type str, got {type(key).__name__}"
                )
        self._small += b"M" + _COUNT.pack(len(values))
        for key in sorted(values):
            self._put_bytes(b"S", _utf8(key))
            self.put(values[key], (*path, key))

    def _put_tensor(self, tensor: Any, path: tuple[Any, ...]) -> None:
        name = str(tensor.dtype).removeprefix("torch.")
        if not _arrays.on_accelerator(tensor):
            self._put_array(name, _arrays.array(tensor, _text(path)), path)
            return
        self._put_head(name, tuple(tensor.shape), path)
        flat = tensor.detach().reshape(-1)
        for start in range(0, len(flat), _BLOCK):
            self._put_words(_arrays.array(flat[start : start + _BLOCK].cpu(), _text(path)))

    def _put_array(self, dtype: str, array: NDArray[Any], path: tuple[Any, ...]) -> None:
        self._put_head(dtype, array.shape, path)
        if array.dtype.kind == "V":  # bfloat16 of a package that adds it to NumPy
            array = array.view(np.uint16)
        little = array.dtype.newbyteorder("<")
        if array.flags.c_contiguous and array.dtype == little:
            self._put_words(array.reshape(-1))
            return
        for part in _parts(array):
            self._put_words(np.ascontiguousarray(part, little).reshape(-1))

    def _put_head(self, dtype: str, shape: tuple[int, ...], path: tuple[Any, ...]) -> None:
        if dtype not in _DTYPES:
            raise TypeError(f"{_text(path)}: expected {_KINDS}, got an array of {dtype}")
        self._put_bytes(b"A", dtype.encode())
        self._small += b"".join(map(_COUNT.pack, (len(shape), *shape)))
        self.flush()

    def _put_words(self, words: NDArray[Any]) -> None:
        self._update(words.view(np.uint8))


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Cut an array along its first axes, in C order, so that a copy of it is never whole."""
    if array.size <= _BLOCK:
        yield array
        return
    rows = _BLOCK // (array.size // len(array))
    for start in range(0, len(array), max(rows, 1)):
        if rows > 0:
            yield array[start : start + rows]
        else:
            yield from _parts(array[start])


def _check_depth(path: tuple[Any, ...]) -> None:
    if len(path) > _MAX_DEPTH:
        raise ValueError(f"{path[0]}: expected containers nested at most {_MAX_DEPTH} deep")


def _text(path: tuple[Any, ...]) -> str:
    return f"{path[0]}" + "".join(f"[{key!r}]" for key in path[1:])


def _utf8(text: str) -> bytes:
    # Lone surrogates have an encoding of their own, so that the map stays one to one.
    return text.encode("utf-8", "surrogatepass")
