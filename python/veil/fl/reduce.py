"""Reproducible weighted means: the same bits for any order of arrival and any thread count."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _core
from veil._arrays import array, empty_like, flat, floats, is_tensor, on_accelerator
from veil.fl import _lattice_torch

__all__ = ["weighted_mean"]


def weighted_mean(
    updates: Iterable[Any],
    weights: Sequence[float] | npt.ArrayLike,
    *,
    out: Any = None,
    threads: int | None = None,
) -> Any:
    """Average updates by weight, with the same bits in whatever order they come.

    An element of the result depends on the multiset of (weight, value) pairs of that element alone:
    not on the order of the updates, the number of threads, the instruction set, or the other
    elements, so a model may be cut into vectors in any way.

    Parameters
    ----------
    updates : iterable of ndarray or tensor, each of the same shape and dtype
        float32, float64, float16 or bfloat16 (``torch.bfloat16``, or its bits as NumPy uint16);
        C-contiguous; they need not be stacked. Tensors on an accelerator are averaged there.
    weights : array_like, shape (n_updates,)
        Finite, at least 0, not all zero; they need not sum to 1.
    out : ndarray or tensor, optional
        Where to write: the shape and dtype of an update, in memory of its own.
    threads : int, optional
        At most this many threads; None means ``veil.core_info()["threads"]``.

    Returns
    -------
    ndarray or tensor
        `out`, or a new array of the kind of the first update.

    Raises
    ------
    DataError
        If an update holds an infinity or a NaN, whatever its weight; names the update and the
        element. `out` is then partly written.
    ValueError
        If there is no update, the shapes differ, an update is not contiguous, the number of weights
        differs, a weight is negative or not finite, all are zero, or `out` overlaps an update, is
        read-only or has another shape.
    TypeError
        If the dtypes differ or are not one of the four, or updates live on different devices.

    Notes
    -----
    Each product ``w*x`` is rounded to float64, then to a power-of-two lattice chosen from the
    element's largest ``|x|``; lattice points are added as integers, which has no order. Before the
    one rounding to the dtype an element is within
    ``(1 + n*max(w)/sum(w)) * 2**-50 * max|x| + 2**-1070`` of the exact mean (n < 4096; from there
    the error doubles with n), and never beyond ``max|x|``. Equal values in float32 and narrower
    formats average to themselves.

    Reads the updates once, from main memory; needs the output and a few KiB. Not constant time.

    References
    ----------
    J. Demmel and H. D. Nguyen, "Parallel Reproducible Summation", IEEE Transactions on Computers
    64(7), 2015.

    Examples
    --------
    >>> a, b = np.float32([1, 2]), np.float32([3, 6])
    >>> veil.fl.weighted_mean([a, b], [1, 3])
    array([2.5, 5. ], dtype=float32)
    """
    rows = list(updates)
    if not rows:
        raise ValueError("updates: expected at least one, got none")
    weight_array = _weights(weights, len(rows))
    if any(map(on_accelerator, rows)):
        return _mean_on_device(rows, weight_array, out)
    views = [floats(row, f"updates[{i}]") for i, row in enumerate(rows)]
    for i, view in enumerate(views):
        _require_alike(i, view.words.shape, views[0].words.shape, view.format, views[0].format)
    target = empty_like(rows[0]) if out is None else out
    target_words = array(target, "out")
    _require_shape("out", target_words.shape, views[0].words.shape)
    _core.weighted_mean(
        [view.words for view in views], weight_array, target_words, views[0].format, threads
    )
    return target


def _weights(weights: Any, n: int) -> npt.NDArray[np.float64]:
    got = np.ascontiguousarray(weights, dtype=np.float64)
    if got.shape != (n,):
        raise ValueError(f"weights: expected one per update, shape ({n},), got shape {got.shape}")
    return got


def _require_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(got) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(got)}")


def _require_alike(
    index: int, shape: tuple[int, ...], first_shape: tuple[int, ...], dtype: Any, first_dtype: Any
) -> None:
    if dtype != first_dtype:
        raise TypeError(
            f"updates[{index}]: expected {first_dtype}, the dtype of updates[0], got {dtype}"
        )
    if tuple(shape) != tuple(first_shape):
        raise ValueError(
            f"updates[{index}]: expected shape {tuple(first_shape)}, that of updates[0], got "
            f"{tuple(shape)}"
        )


def _mean_on_device(rows: list[Any], weights: npt.NDArray[np.float64], out: Any) -> Any:
    first = rows[0]
    for i, row in enumerate(rows):
        if not is_tensor(row) or row.device != first.device:
            where = row.device if is_tensor(row) else type(row).__name__
            raise TypeError(
                f"updates[{i}]: expected a tensor on {getattr(first, 'device', 'the CPU')}, where "
                f"updates[0] is, got {where}"
            )
        _lattice_torch.require_floats(row, f"updates[{i}]")
        _require_alike(i, row.shape, first.shape, row.dtype, first.dtype)
    target = empty_like(first) if out is None else out
    if not is_tensor(target) or target.device != first.device or target.dtype != first.dtype:
        raise TypeError(f"out: expected a tensor of {first.dtype} on {first.device}")
    _require_shape("out", target.shape, first.shape)
    if not target.is_contiguous():
        raise ValueError("out: expected a contiguous tensor")
    _lattice_torch.weighted_mean([flat(row) for row in rows], weights, flat(target))
    return target
