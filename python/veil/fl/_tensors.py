"""What `Layout` needs from an array, be it NumPy's or torch's; never imports torch itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(array: Any) -> bool:
    """Whether `array` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def dtype_name(name: str, array: Any) -> str:
    """Name of the dtype of a real-valued ndarray or tensor; TypeError for anything else."""
    if is_tensor(array):
        if array.dtype.is_complex or array.is_quantized or array.layout is not _torch().strided:
            raise TypeError(
                f"params[{name!r}]: expected a dense tensor of real numbers, got {array.dtype}"
            )
        name_of: str = str(array.dtype).removeprefix("torch.")
        return name_of
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"params[{name!r}]: expected an ndarray or tensor, got {type(array).__name__}"
        )
    if array.dtype.kind not in "biuf" or not array.dtype.isnative or array.dtype.itemsize > 8:
        raise TypeError(
            f"params[{name!r}]: expected real numbers of up to 64 bits in native byte order, "
            f"got {array.dtype.str}"
        )
    return str(array.dtype.name)


def empty_like_any(arrays: Sequence[Any], size: int, dtype: np.dtype[Any]) -> Any:
    """Make a vector: a tensor on the first tensor's device if there is a tensor."""
    for array in arrays:
        if is_tensor(array):
            return _torch().empty(size, dtype=_torch_dtype(dtype.name), device=array.device)
    return np.empty(size, dtype)


def check_vector(argument: str, vector: Any, size: int, dtype: np.dtype[Any]) -> None:
    """Refuse what is no vector of this length and dtype."""
    if not (is_tensor(vector) or isinstance(vector, np.ndarray)):
        raise TypeError(f"{argument}: expected an ndarray or tensor, got {type(vector).__name__}")
    got = str(vector.dtype).removeprefix("torch.")
    if got != dtype.name:
        raise TypeError(f"{argument}: expected {dtype.name}, got {got}")
    if tuple(vector.shape) != (size,):
        raise ValueError(f"{argument}: expected shape ({size},), got {tuple(vector.shape)}")


def check_out(out: Any, size: int, dtype: np.dtype[Any], arrays: Sequence[Any]) -> None:
    """Refuse an output that cannot be written, or that shares memory with an input."""
    check_vector("out", out, size, dtype)
    contiguous = out.is_contiguous() if is_tensor(out) else out.flags.c_contiguous
    if not contiguous:
        raise ValueError("out: expected a contiguous vector")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out: expected a writable vector, got a read-only one")
    low, high = _bounds(out)
    for array in arrays:
        start, stop = _bounds(array)
        if start < high and low < stop:
            raise ValueError("out: expected memory of its own, got memory of params")


def copy_into(part: Any, array: Any) -> None:
    """Copy `array` of any shape into the 1-D slice `part`, widening its dtype."""
    if is_tensor(part):
        source = array.detach() if is_tensor(array) else _torch().from_numpy(array)
        part.view(tuple(array.shape)).copy_(source)
    elif is_tensor(array):
        _torch().from_numpy(part).view(tuple(array.shape)).copy_(array.detach())
    else:
        np.copyto(part.reshape(array.shape), array, casting="safe")


def cast(part: Any, dtype: str) -> Any:
    """Give `part` a dtype by name: itself when it has it."""
    if is_tensor(part):
        return part.to(_torch_dtype(dtype))
    if dtype == "bfloat16":
        raise TypeError(
            "vector: NumPy has no bfloat16; pass torch.from_numpy(vector) to get tensors"
        )
    return part.astype(dtype, copy=False)


def bytes_view(array: Any) -> NDArray[np.uint8]:
    """Bytes of an array in C order; a view where the array is contiguous in host memory."""
    if is_tensor(array):
        flat = array.detach().cpu().contiguous().reshape(-1)
        view: NDArray[np.uint8] = flat.view(_torch().uint8).numpy()
        return view
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _bounds(array: Any) -> tuple[int, int]:
    """First address and the one past the last."""
    if is_tensor(array):
        if array.device.type != "cpu":
            return (0, 0)
        start, width = array.data_ptr(), array.element_size()
        strides = [step * width for step in array.stride()]
    else:
        start, width = array.__array_interface__["data"][0], array.itemsize
        strides = list(array.strides)
    if 0 in array.shape:
        return (0, 0)
    reach = [(n - 1) * step for n, step in zip(array.shape, strides, strict=True)]
    return start + sum(min(r, 0) for r in reach), start + sum(max(r, 0) for r in reach) + width


def _torch() -> Any:
    return sys.modules["torch"]


def _torch_dtype(name: str) -> Any:
    return getattr(_torch(), name)
