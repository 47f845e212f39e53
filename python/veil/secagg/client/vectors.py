"""Checks of what the caller wants summed, before anything secret is used."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil._arrays import unmasked
from veil._checks import is_whole
from veil.secagg.config import Config

__all__ = ["check_vector", "check_weight"]

_BLOCK = 1 << 16


def check_vector(config: Config, vector: Any) -> NDArray[Any]:
    """Refuse a vector of another type, shape, or with a value that is not finite or in range."""
    vector = unmasked("vector", vector)
    kinds = (np.float32, np.float64) if config.noise is None else (np.int64,)
    if not isinstance(vector, np.ndarray) or vector.dtype not in kinds:
        kind = getattr(vector, "dtype", type(vector).__name__)
        wanted = (
            "a float32 or float64 array"
            if config.noise is None
            else "an int64 array of lattice points with this client's noise in them"
        )
        raise TypeError(f"vector: expected {wanted}, got {kind}")
    if vector.shape != (config.length,):
        raise ValueError(f"vector: expected shape ({config.length},), got {vector.shape}")
    if not vector.flags.c_contiguous:
        raise ValueError("vector: expected a contiguous array; pass np.ascontiguousarray(vector)")
    if config.noise is not None:
        return vector
    for start in range(0, vector.size, _BLOCK):  # no boolean temporary of the vector's size
        if not np.isfinite(vector[start : start + _BLOCK]).all():
            raise ValueError("vector: expected finite values, got NaN or infinity")
    return vector


def check_weight(config: Config, weight: int | None) -> int | None:
    """Return a weight as ``int``; refuse one where none is agreed, none where one is."""
    if config.weight_max is None:
        if weight is not None:
            raise ValueError("weight: expected None, for the session is unweighted")
        return None
    if weight is None or not is_whole(weight) or not 1 <= weight <= config.weight_max:
        raise ValueError(
            f"weight: expected a whole number from 1 to {config.weight_max} "
            f"(weight_max), got {weight!r}"
        )
    return operator.index(weight)
