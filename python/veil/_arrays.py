"""The one module that knows NumPy, torch and DLPack views of arrays.

CPU tensors and DLPack exporters become NumPy views without a copy; bfloat16 becomes its uint16
bits; tensors on an accelerator stay where they are. Nothing here imports torch: a tensor can only
come from a caller who did.
"""

import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "empty_like", "flat", "floats", "is_tensor", "on_accelerator"]

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
    """
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
    return x.numpy()  # type: ignore[no-any-return]


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
