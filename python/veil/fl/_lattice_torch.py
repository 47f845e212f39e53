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
from veil._arrays import is_tensor
from veil._optional import require
from veil.errors import BoundExceeded, DataError

__all__ = ["Bounded", "Levels", "narrow", "require_floats", "weighted_mean"]

_CHUNK = 1 << 20  # elements; bounds the float64 temporaries
_EXPONENT = 0x7FF0000000000000
_HALFWAY = 0x0008000000000000
_LEAST_NORMAL = 0x0010000000000000
# As in accumulate.inc.hpp.
_BLOCK = _core.ACCUMULATOR_BLOCK
_LEVEL_BITS = 40
_LEVEL_BIAS = 27


def require_floats(x: Any, name: str) -> None:
    """Refuse a tensor that is not contiguous or not of a float format."""
    torch = require("torch", "torch")
    formats = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    if x.dtype not in formats:
        raise TypeError(f"{name}: expected float32, float64, float16 or bfloat16, got {x.dtype}")
    if not x.is_contiguous():
        raise ValueError(f"{name}: expected a contiguous tensor; pass {name}.contiguous()")


def _require_finite(x: Any, name: str) -> None:
    finite = x.isfinite()
    if not bool(finite.all()):
        element = int((~finite).nonzero()[0])
        raise DataError(f"{name}: expected finite values, got infinity or NaN at element {element}")


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
        _require_finite(update, f"updates[{index}]")


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


class Bounded:
    """One lattice on an accelerator; see `accumulate.inc.hpp`."""

    def __init__(self, bound: float, length: int, device: Any) -> None:
        torch = require("torch", "torch")
        self.device = device
        self.bound = bound
        self.centre = _core.bounded_centre(bound)
        self.sums = torch.full((length,), self.centre, dtype=torch.float64, device=device)

    def copy(self) -> "Bounded":
        twin = Bounded(self.bound, 0, self.device)
        twin.sums = self.sums.clone()
        return twin

    def empty(self, shape: tuple[int, ...]) -> Any:
        torch = require("torch", "torch")
        return torch.empty(shape, dtype=torch.float64, device=self.device)

    def add(self, words: Any, kind: str, weight: float, additions: int, threads: Any) -> None:
        torch = require("torch", "torch")
        update = words.reshape(-1)
        bits = _bits(self.centre)
        limit = _core.bounded_limit(self.bound, additions)

        def added(part: slice) -> tuple[Any, Any]:
            point = (update[part].double() * weight + self.centre).view(torch.int64)
            return self.sums[part].view(torch.int64) + (point - bits), (point ^ bits) >> 52

        # Looks at everything before it writes anything: on a fault the sums are as before.
        for part in _parts(update.numel()):
            sums, left_binade = added(part)
            if bool((left_binade != 0).any()) or bool(((sums - bits).abs() > limit).any()):
                _require_finite(update, "update")
                raise BoundExceeded(
                    "update: expected every partial sum of weight * update within bound = "
                    f"{self.bound}, got a larger one; nothing was added: raise the bound, or pass "
                    "bound=None"
                )
        for part in _parts(update.numel()):
            self.sums[part] = added(part)[0].view(torch.float64)

    def merge(self, other: "Bounded", additions: int) -> None:
        torch = require("torch", "torch")
        bits = _bits(self.centre)
        limit = _core.bounded_limit(self.bound, additions)

        def merged(part: slice) -> Any:
            mine, theirs = self.sums[part].view(torch.int64), other.sums[part].view(torch.int64)
            return mine + (theirs - bits)

        for part in _parts(self.sums.numel()):
            if bool(((merged(part) - bits).abs() > limit).any()):
                raise BoundExceeded(
                    f"other: expected every sum within bound = {self.bound}, got a larger one; "
                    "nothing was merged"
                )
        for part in _parts(self.sums.numel()):
            self.sums[part] = merged(part).view(torch.float64)

    def mean(self, total: float, out: Any, threads: Any) -> None:
        target = _target(out, self.device)
        for part in _parts(self.sums.numel()):
            target[part] = narrow((self.sums[part] - self.centre) / total, target.dtype)


class Levels:
    """Two lattices per block on an accelerator; see `accumulate.inc.hpp`."""

    def __init__(self, length: int, device: Any) -> None:
        torch = require("torch", "torch")
        self.device = device
        self.length = length
        blocks = -(-length // _BLOCK)
        self.high = torch.zeros((blocks, _BLOCK), dtype=torch.int64, device=device)
        self.low = torch.zeros_like(self.high)
        self.levels = torch.full(
            (blocks, 1), _core.ACCUMULATOR_LEAST_LEVEL, dtype=torch.int64, device=device
        )

    def copy(self) -> "Levels":
        twin = Levels(self.length, self.device)
        twin.high, twin.low = self.high.clone(), self.low.clone()
        twin.levels = self.levels.clone()
        return twin

    def empty(self, shape: tuple[int, ...]) -> Any:
        torch = require("torch", "torch")
        return torch.empty(shape, dtype=torch.float64, device=self.device)

    def add(self, words: Any, kind: str, weight: float, additions: int, threads: Any) -> None:
        torch = require("torch", "torch")
        update = words.reshape(-1)
        _require_additions(additions)
        _require_finite(update, "update")
        if update.numel() and float(update.abs().max().double()) * weight >= 2.0**999:
            raise BoundExceeded(
                "update: expected |weight * update| below 2^999, got a larger product; nothing was "
                "added: use smaller weights"
            )
        for part in _parts(self.levels.numel(), _CHUNK // _BLOCK):
            product = self._blocks(update, part) * weight
            top = product.abs().amax(1, keepdim=True)
            level = ((top.view(torch.int64) >> 52) + 58) // _LEVEL_BITS
            self._raise(part, level.clamp_min(_core.ACCUMULATOR_LEAST_LEVEL))
            centre, fine_centre = _centre(self.levels[part]), _centre(self.levels[part] - 1)
            point = product + centre
            rest = product - (point - centre)
            self.high[part] += point.view(torch.int64) - centre.view(torch.int64)
            fine = (rest + fine_centre).view(torch.int64)
            self.low[part] += fine - fine_centre.view(torch.int64)

    def merge(self, other: "Levels", additions: int) -> None:
        _require_additions(additions)
        if other is self:
            other = self.copy()
        for part in _parts(self.levels.numel(), _CHUNK // _BLOCK):
            self._raise(part, other.levels[part])
            high, low = _moved(
                other.high[part], other.low[part], self.levels[part] - other.levels[part]
            )
            self.high[part] += high
            self.low[part] += low

    def mean(self, total: float, out: Any, threads: Any) -> None:
        target = _target(out, self.device)
        for part in _parts(self.levels.numel(), _CHUNK // _BLOCK):
            unit = _centre(self.levels[part]) * 2.0**-52 / 1.5
            fine_unit = _centre(self.levels[part] - 1) * 2.0**-52 / 1.5
            sums = self.high[part].double() * unit + self.low[part].double() * fine_unit
            mean = narrow(sums / total, target.dtype).view(-1)
            begin = part.start * _BLOCK
            target[begin : begin + mean.numel()] = mean[: self.length - begin]

    def _blocks(self, update: Any, part: slice) -> Any:
        torch = require("torch", "torch")
        values = update[part.start * _BLOCK : part.stop * _BLOCK].double()
        padding = -values.numel() % _BLOCK
        return torch.nn.functional.pad(values, (0, padding)).view(-1, _BLOCK)

    def _raise(self, part: slice, level: Any) -> None:
        torch = require("torch", "torch")
        level = torch.maximum(level, self.levels[part])
        up = level - self.levels[part]
        self.high[part], self.low[part] = _moved(self.high[part], self.low[part], up)
        self.levels[part] = level


def _moved(high: Any, low: Any, up: Any) -> tuple[Any, Any]:
    """Return the counts of blocks that go up by `up` levels."""
    torch = require("torch", "torch")
    zero = torch.zeros((), dtype=torch.int64, device=high.device)
    return (
        torch.where(up == 0, high, zero),
        torch.where(up == 0, low, torch.where(up == 1, high, zero)),
    )


def _centre(levels: Any) -> Any:
    """1.5 * 2^52 lattice units of each level."""
    torch = require("torch", "torch")
    exponent = (levels - _LEVEL_BIAS) * _LEVEL_BITS + 52 + 1023
    return ((exponent << 52) | _HALFWAY).view(torch.float64)


def _parts(length: int, step: int = _CHUNK) -> list[slice]:
    return [slice(at, min(at + step, length)) for at in range(0, length, step)]


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _target(out: Any, device: Any) -> Any:
    if not is_tensor(out) or out.device != device:
        raise TypeError(f"out: expected a tensor on {device}")
    require_floats(out, "out")
    return out.detach().view(-1)


def _require_additions(additions: int) -> None:
    if additions > _core.ACCUMULATOR_MAX_ADDITIONS:
        raise BoundExceeded(
            f"update: expected at most {_core.ACCUMULATOR_MAX_ADDITIONS} additions without a "
            "bound, got one more; nothing was added: take the mean and start anew, or pass a bound"
        )
