"""The one module that knows NumPy, torch and DLPack views of arrays.

CPU tensors and DLPack exporters become NumPy views without a copy; bfloat16 becomes its uint16
bits; tensors on an accelerator stay where they are. Nothing here imports torch: a tensor can only
come from a caller who did.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from veil.errors import DataError

__all__ = [
    "Floats",
    "array",
    "bytes_view",
    "cast",
    "check_out",
    "check_vector",
    "copy_into",
    "dtype_name",
    "empty_like",
    "empty_vector",
    "flat",
    "floats",
    "is_tensor",
    "on_accelerator",
    "unmasked",
]

_FORMATS = {
    np.dtype(np.float32): "float32",
    np.dtype(np.float64): "float64",
    np.dtype(np.float16): "float16",
    np.dtype(np.uint16): "bfloat16",
}
_EXPECTED = "float32, float64, float16 or bfloat16 (a NumPy array of uint16 holds bfloat16 bits)"


class Floats(NamedTuple):
    """A view of floats.

    Attributes
    ----------
    words : ndarray
        The caller's memory; uint16 for bfloat16.
    format : str
        ``"float32"``, ``"float64"``, ``"float16"`` or ``"bfloat16"``.
    """

    words: npt.NDArray[Any]
    format: str


def is_tensor(x: object) -> bool:
    """Tell whether `x` is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def on_accelerator(x: Any) -> bool:
    """Tell whether `x` is a torch tensor that does not live in main memory."""
    return is_tensor(x) and x.device.type != "cpu"


def array(x: Any, name: str) -> npt.NDArray[Any]:
    """View `x` as a NumPy array that shares its memory.

    Parameters
    ----------
    x : ndarray, CPU tensor or DLPack exporter
        bfloat16 becomes uint16.
    name : str
        The argument that errors name.

    Returns
    -------
    ndarray
        A view; read-only when `x` is a read-only exporter.

    Raises
    ------
    TypeError
        If `x` is none of these, or does not live in main memory.
    DataError
        If it is a masked array with a masked entry.
    """
    x = unmasked(name, x)
    if isinstance(x, np.ndarray):
        return x.view(np.uint16) if x.dtype.name == "bfloat16" else x
    if is_tensor(x):
        return _tensor_view(x, name)
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(
                f"{name}: expected an array in main memory, got a DLPack exporter of type "
                f"{type(x).__name__} that NumPy cannot view ({error})"
            ) from error
    raise TypeError(f"{name}: expected a NumPy array or a torch tensor, got {type(x).__name__}")


def unmasked(name: str, x: Any) -> Any:
    """Return `x`, a masked array without a masked entry as a plain one, or raise DataError.

    What lies behind a mask is still there: arithmetic elsewhere would use it, or only its row.
    """
    if not isinstance(x, np.ma.MaskedArray):
        return x
    hidden = np.flatnonzero(np.ma.getmaskarray(x))
    if hidden.size:
        raise DataError(
            f"{name}: expected no masked entries, got {hidden.size} of {x.size}, the first at "
            f"{int(hidden[0])} (counted from 0); drop them or fill them in by a public rule"
        )
    return np.asarray(x)


def _tensor_view(x: Any, name: str) -> npt.NDArray[Any]:
    torch = sys.modules["torch"]
    if x.device.type != "cpu":
        raise TypeError(f"{name}: expected a tensor on the CPU, got one on {x.device}")
    if x.layout is not torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {x.layout}")
    x = x.detach()
    if x.dtype is torch.bfloat16:
        view: npt.NDArray[Any] = x.view(torch.int16).numpy()
        return view.view(np.uint16)
    try:
        return x.numpy()  # type: ignore[no-any-return]
    except (TypeError, RuntimeError):  # quantized, float8, or a lazily conjugated or negated view
        raise TypeError(
            f"{name}: expected a tensor that NumPy can view, got {x.dtype}; pass a plain copy"
        ) from None


def floats(x: Any, name: str) -> Floats:
    """View `x` as floats without a copy.

    Parameters
    ----------
    x : ndarray, CPU tensor or DLPack exporter
        Of float32, float64, float16 or bfloat16, in native byte order; a NumPy array of uint16 is
        taken as bfloat16 bits.
    name : str
        The argument that errors name.

    Returns
    -------
    Floats
        The view and its format.

    Raises
    ------
    TypeError
        If `x` is no array, or its dtype is none of the four.
    """
    words = array(x, name)
    of_integers = is_tensor(x) and not x.is_floating_point()
    if words.dtype not in _FORMATS or of_integers:
        raise TypeError(f"{name}: expected {_EXPECTED}, got {getattr(x, 'dtype', words.dtype)}")
    return Floats(words, _FORMATS[words.dtype])


def flat(x: Any) -> Any:
    """View a contiguous tensor or array as one dimension, without a copy."""
    return x.detach().view(-1) if is_tensor(x) else x.reshape(-1)


def empty_like(x: Any) -> Any:
    """Allocate a contiguous array of the kind, shape, dtype and device of `x`."""
    if is_tensor(x):
        contiguous = sys.modules["torch"].contiguous_format
        return sys.modules["torch"].empty_like(x, requires_grad=False, memory_format=contiguous)
    return np.empty_like(array(x, "x"), order="C", subok=False)


def dtype_name(name: str, array: Any) -> str:
    """Name of the dtype of a real-valued ndarray or tensor; TypeError for anything else."""
    if is_tensor(array):
        if array.dtype.is_complex or array.is_quantized or array.layout is not _torch().strided:
            raise TypeError(
                f"params[{name!r}]: expected a dense tensor of real numbers, got {array.dtype}"
            )
        name_of: str = str(array.dtype).removeprefix("torch.")
        return name_of
    unmasked(f"params[{name!r}]", array)
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


def empty_vector(arrays: Sequence[Any], size: int, dtype: np.dtype[Any]) -> Any:
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


def bytes_view(array: Any) -> npt.NDArray[np.uint8]:
    """Bytes of an array in C order; a view where the array is contiguous in host memory."""
    if is_tensor(array):
        words = array.detach().cpu().contiguous().reshape(-1)
        view: npt.NDArray[np.uint8] = words.view(_torch().uint8).numpy()
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
