"""Arrays as JSON types, to the last bit."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Return dtype, shape and the little-endian bytes in base64."""
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(content).decode(),
    }


def unpack(packed: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array that `pack` took, as a copy of its own."""
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    content = np.frombuffer(base64.b64decode(packed["base64"]), dtype)
    return content.reshape(packed["shape"]).astype(dtype.newbyteorder("="))
