"""A configuration as a server proposes it: every field checked, nothing derived from any.

What follows from the fields (thresholds, the graph, room for the noise) takes time that their
values decide. So a client compares the fields with its policy first, and computes then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, cast

import numpy as np

from veil._checks import fix_whole, is_whole, real
from veil.fixed_point import FixedPoint
from veil.secagg.graph import Adversary
from veil.secagg.noise import NoiseShare

__all__ = ["MAX_CLIENTS", "Cipher", "GraphKind", "Kem", "Proposal"]

Kem = Literal["x25519-mlkem768", "x25519"]
Cipher = Literal["aes256-ctr", "chacha20"]
GraphKind = Literal["full", "k-regular"]

MAX_CLIENTS = 65535  # points of the secret sharing
_MAX_LENGTH = 1 << 31
_CHOICES: dict[str, tuple[str, ...]] = {
    "adversary": ("honest-but-curious", "malicious"),
    "masking": ("pairwise",),
    "graph": ("full", "k-regular"),
    "kem": ("x25519-mlkem768", "x25519"),
    "cipher": ("aes256-ctr", "chacha20"),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "n": (int,),
    "dropout": (float, int),
    "corrupt": (int,),
    "min_survivors": (int, type(None)),
    "codec": (FixedPoint,),
    "length": (int,),
    "weight_max": (int, type(None)),
    "noise": (NoiseShare, type(None)),
}
_CODEC_TYPES: dict[str, tuple[type, ...]] = {
    "clip": (float, int),
    "bits": (int,),
    "max_summands": (int,),
    "rounding": (str,),
    "noise": (int,),
}

_P = TypeVar("_P", bound="Proposal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The fields of a `Config`, which documents them, each in its range.

    Raises
    ------
    ValueError
        If a value is out of range.
    TypeError
        If a value is of another type.
    """

    n: int
    dropout: float
    corrupt: int
    adversary: Adversary
    min_survivors: int | None
    masking: Literal["pairwise"]
    graph: GraphKind
    codec: FixedPoint
    length: int
    weight_max: int | None
    kem: Kem
    cipher: Cipher
    noise: NoiseShare | None = None

    def __post_init__(self) -> None:
        for name in ("n", "corrupt", "min_survivors", "length", "weight_max"):
            if is_whole(getattr(self, name)):
                fix_whole(self, name)
        if not isinstance(self.dropout, bool) and isinstance(self.dropout, int | np.number):
            object.__setattr__(self, "dropout", real("dropout", self.dropout))
        # A NaN, which JSON may hold, is not below any threshold.
        for name, kinds in _TYPES.items():
            _check_type(name, getattr(self, name), kinds)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")
        self._check_ranges()
        self._check_weights()

    def _check_ranges(self) -> None:
        if not 3 <= self.n <= MAX_CLIENTS:
            raise ValueError(f"n: expected 3 to {MAX_CLIENTS} clients, got {self.n}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a fraction below 1, got {self.dropout}")
        if not 0 <= self.corrupt < self.n:
            raise ValueError(f"corrupt: expected 0 to {self.n - 1}, got {self.corrupt}")
        if not 1 <= self.length <= _MAX_LENGTH:
            raise ValueError(f"length: expected 1 to 2**31 elements, got {self.length}")
        if self.codec.max_summands < self.n:
            raise ValueError(
                f"codec: expected max_summands of at least n = {self.n}, got "
                f"{self.codec.max_summands}; the ring would overflow"
            )

    def _check_weights(self) -> None:
        if self.weight_max is None:
            return
        most = (1 << (self.codec.bits - 1)) - 1
        if not 1 <= self.weight_max <= most:
            raise ValueError(
                f"weight_max: expected None or 1 to 2**(bits - 1) - 1 = {most}, got "
                f"{self.weight_max}; a weight of 1 would round to nothing, and the sum show "
                "the heaviest client alone"
            )
        if self.noise is not None:
            raise ValueError(
                f"weight_max: expected None with noise, got {self.weight_max}; the exact sum of "
                "weights would be a release without noise"
            )

    def digest(self) -> bytes:
        """Hash the configuration: part of the session id, so all parties must agree.

        Returns
        -------
        bytes
            SHA-256 of its canonical JSON, 32 bytes.
        """
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"veil/secagg-config/1" + text.encode()).digest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        noise = None if self.noise is None else self.noise.to_dict()
        return {**values, "codec": self.codec.to_dict(), "noise": noise}

    @classmethod
    def from_dict(cls: type[_P], values: Mapping[str, Any]) -> _P:
        """Inverse of `to_dict`; checks every value.

        Raises
        ------
        ValueError
            If a field is missing, unknown or out of range.
        TypeError
            If a value is of another type.
        """
        names = [field.name for field in fields(cls)]
        if set(_mapping("config", values)) != set(names):
            wrong = sorted(set(values) ^ set(names))
            raise ValueError(f"expected the fields {names}; missing or unknown: {wrong}")
        codec = _codec_of(_mapping("codec", values["codec"]))
        noise = values["noise"]
        if noise is not None:
            noise = NoiseShare.from_dict(_mapping("noise", noise))
        return cls(**{**cast("dict[str, Any]", values), "codec": codec, "noise": noise})


def _codec_of(values: Mapping[str, Any]) -> FixedPoint:
    """Read a codec; a whole number that no double holds is out of range, and no OverflowError."""
    for name in set(values) & set(_CODEC_TYPES):
        _check_type(f"codec.{name}", values[name], _CODEC_TYPES[name])
    clip = values.get("clip", 0)
    if not -(2.0**500) <= clip <= 2.0**500:
        raise ValueError(f"codec.clip: expected at most 2**500, got {clip}")
    return FixedPoint.from_dict(values)


def _mapping(name: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise TypeError(f"{name}: expected fields by name, got {type(values).__name__}")
    return values


def _check_type(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name}: expected {names}, got {type(value).__name__}")
