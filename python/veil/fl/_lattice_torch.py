"""The lattice sums of `cpp/src/kernels` in torch, for tensors that stay on their accelerator.

Float64 and int64 operations in the same order of roundings as the native kernels, so the bits are
the same; tests run this path on CPU tensors beside the native one.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _core
from veil._optional import require
from veil.errors import DataError

__all__ = ["narrow", "weighted_mean"]

_CHUNK = 1 << 20  # elements; bounds the float64 temporaries
_EXPONENT = 0x7FF0000000000000
_HALFWAY = 0x0008000000000000
_LEAST_NORMAL = 0x0010000000000000


def narrow(values: Any, dtype: Any) -> Any:
    """Round float64 once, to nearest, ties to even.

    Parameters
    ----------
    values : tensor of float64
        Finite.
    dtype : torch.dtype
        Any float format.

    Returns
    -------
    tensor of dtype
        torch itself rounds float64 to half formats twice; going through a float32 that was rounded
        to odd makes the second rounding the only one.
    """
    torch = require("torch", "torch")
    if dtype in (torch.float64, torch.float32):
        return values.to(dtype)
    nearest = values.float()
    back = nearest.double()
    bits = nearest.view(torch.int32)
    bits = torch.where(back.abs() > values.abs(), bits - 1, bits)
    return torch.where(back == values, bits, bits | 1).view(torch.float32).to(dtype)


def weighted_mean(updates: Sequence[Any], weights: npt.NDArray[np.float64], out: Any) -> None:
    """Write the weighted mean of tensors into `out`, with the bits of the native kernel.

    Parameters
    ----------
    updates : sequence of tensor, each of shape (length,)
        One dtype, one device, contiguous.
    weights : ndarray of float64, shape (n_updates,)
        At least 0, finite, not all zero.
    out : tensor, shape (length,)
        On the same device, of the same dtype.

    Raises
    ------
    DataError
        If an update holds an infinity or a NaN.
    """
    scaled, total = _core.scale_weights(weights)
    for begin in range(0, out.numel(), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        out[part] = narrow(_mean_of([u[part] for u in updates], scaled, total), out.dtype)
    for index, update in enumerate(updates):
        if not bool(update.isfinite().all()):
            element = int((~update.isfinite()).nonzero()[0])
            raise DataError(
                f"updates[{index}]: expected finite values, got infinity or NaN at element "
                f"{element}"
            )


def _mean_of(updates: Sequence[Any], scaled: Sequence[float], total: float) -> Any:
    torch = require("torch", "torch")
    top = torch.zeros(updates[0].shape, dtype=torch.float64, device=updates[0].device)
    for update in updates:
        top = torch.maximum(top, update.double().abs())
    power = (top.view(torch.int64) & _EXPONENT).clamp_min(_LEAST_NORMAL)
    centre = power | _HALFWAY
    total_bits = centre * -len(updates)
    for update, weight in zip(updates, scaled, strict=True):
        # Two operations, never a fused multiply-add: the product is rounded before the lattice.
        product = update.double() * weight
        total_bits += (product + centre.view(torch.float64)).view(torch.int64)
    mean = total_bits.double() * math.ldexp(1.0, -52) / total * power.view(torch.float64)
    mean = torch.where(mean > top, top, mean)
    return torch.where(mean < -top, -top, mean)
