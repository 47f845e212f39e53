"""Running weighted means: add updates one by one, merge, in any order, to the same bits."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from veil import _core
from veil._arrays import floats, on_accelerator
from veil._checks import whole
from veil.fl import _lattice_torch

__all__ = ["Accumulator"]


class Accumulator:
    """A weighted mean whose updates need not be there together.

    The bits of :meth:`mean` depend on the multiset of added updates and weights alone: not on the
    order of additions and merges, the number of threads or the instruction set.

    Parameters
    ----------
    shape : int or tuple of int
        Of every update.
    bound : float or None, default None
        A number that no element's ``sum(weight * |x|)`` exceeds, over all additions and merges:
        one lattice, 8 bytes per element; every addition moves the sum by at most ``2**-50 * bound``
        from the exact one. None: two lattices that follow the data, 16 bytes per element; at most
        ``2**-40`` of the largest product in the element's block of 256, plus ``2**-1040``.

    Raises
    ------
    ValueError
        If a dimension is negative, or `bound` is not within [2**-960, 2**960].

    Notes
    -----
    Memory is allocated by the first addition, where that update lives: main memory, or its
    accelerator. Not thread-safe and not constant time. Pickles while it holds main memory.

    References
    ----------
    J. Demmel and H. D. Nguyen, "Parallel Reproducible Summation", IEEE Transactions on Computers
    64(7), 2015.

    Examples
    --------
    >>> mean = veil.fl.Accumulator(2)
    >>> mean.add(np.float32([1, 2]), 1)
    >>> mean.add(np.float32([3, 6]), 3)
    >>> mean.mean()
    array([2.5, 5. ])
    """

    __slots__ = ("_additions", "_bound", "_shape", "_state", "_weight")

    def __init__(self, shape: int | tuple[int, ...], *, bound: float | None = None) -> None:
        sides = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        self._shape = tuple(whole("shape", side) for side in sides)
        if any(side < 0 for side in self._shape):
            raise ValueError(f"shape: expected dimensions of at least 0, got {self._shape}")
        self._bound = None if bound is None else float(bound)
        if self._bound is not None:
            _core.bounded_centre(self._bound)  # refuses a bound outside the range
        self._weight = Fraction(0)
        self._additions = 0
        self._state: Any = None

    def __repr__(self) -> str:
        return f"Accumulator({self._shape}, bound={self._bound}, additions={self._additions})"

    @property
    def total_weight(self) -> float:
        """The sum of all weights, rounded once."""
        return float(self._weight)

    def add(self, update: Any, weight: float, *, threads: int | None = None) -> None:
        """Add one update with its weight.

        On any error nothing is added.

        Parameters
        ----------
        update : ndarray or tensor, of the accumulator's shape
            float32, float64, float16 or bfloat16 (``torch.bfloat16``, or its bits as NumPy uint16),
            C-contiguous; the dtype may differ between additions.
        weight : float
            At least 0 and finite.
        threads : int, optional
            At most this many threads; None means ``veil.core_info()["threads"]``.

        Raises
        ------
        DataError
            If `update` holds an infinity or a NaN; names the element.
        BoundExceeded
            If a partial sum leaves `bound`; without a bound, if a product reaches 2**999 or this is
            addition 2**24.
        ValueError
            If `weight` is negative or not finite, or `update` has another shape or is not
            contiguous.
        TypeError
            If the dtype is none of the four, or `update` lives on another device than the first.
        """
        factor = float(weight)
        if not (factor >= 0 and math.isfinite(factor)):
            raise ValueError(f"weight: expected a finite number of at least 0, got {factor}")
        words, kind, device = _view(update)
        if tuple(words.shape) != self._shape:
            raise ValueError(f"update: expected shape {self._shape}, got {tuple(words.shape)}")
        state = self._state if self._state is not None else self._allocate(device)
        if state.device != device:
            raise TypeError(
                f"update: expected one on {state.device}, where the first was, got {device}"
            )
        state.add(words, kind, factor, self._additions + 1, threads)
        self._state = state
        self._additions += 1
        self._weight += Fraction(factor)

    def merge(self, other: "Accumulator") -> None:
        """Add everything that another accumulator has added; it stays as it is.

        Parameters
        ----------
        other : Accumulator
            Of the same shape and bound.

        Raises
        ------
        ValueError
            If shape or bound differ.
        TypeError
            If the two live on different devices.
        BoundExceeded
            As for :meth:`add`; nothing is merged.
        """
        if (other._shape, other._bound) != (self._shape, self._bound):
            raise ValueError(
                f"other: expected shape {self._shape} and bound {self._bound}, got "
                f"{other._shape} and {other._bound}"
            )
        if other._state is None:
            return
        if self._state is not None and self._state.device != other._state.device:
            raise TypeError(
                f"other: expected one on {self._state.device}, got {other._state.device}"
            )
        additions = self._additions + other._additions
        if self._state is None:
            self._state = other._state.copy()
        else:
            self._state.merge(other._state, additions)
        self._additions = additions
        self._weight += other._weight

    def mean(self, *, out: Any = None, threads: int | None = None) -> Any:
        """Return the weighted mean of what was added so far.

        Parameters
        ----------
        out : ndarray or tensor, optional
            Where to write, of the accumulator's shape and any of the four float formats.
        threads : int, optional
            At most this many threads; None means ``veil.core_info()["threads"]``.

        Returns
        -------
        ndarray or tensor
            `out`, or a new float64 array; a tensor when the updates live on an accelerator.

        Raises
        ------
        ValueError
            If the total weight is zero, or `out` has another shape or is read-only.
        TypeError
            If `out` is not of a float format, or lives elsewhere.
        """
        total = self.total_weight
        if self._state is None or total == 0:
            raise ValueError("mean: expected a total weight above 0, got 0: add an update first")
        target = self._state.empty(self._shape) if out is None else out
        if tuple(target.shape) != self._shape:
            raise ValueError(f"out: expected shape {self._shape}, got {tuple(target.shape)}")
        self._state.mean(total, target, threads)
        return target

    def _allocate(self, device: Any) -> Any:
        length = math.prod(self._shape)
        if device != "cpu":
            if self._bound is None:
                return _lattice_torch.Levels(length, device)
            return _lattice_torch.Bounded(self._bound, length, device)
        return _Levels(length) if self._bound is None else _Bounded(self._bound, length)


def _view(update: Any) -> tuple[Any, str, Any]:
    """Words, format and device of an update."""
    if on_accelerator(update):
        _lattice_torch.require_floats(update, "update")
        return update.detach(), str(update.dtype), update.device
    view = floats(update, "update")
    return view.words, view.format, "cpu"


def _padded(length: int) -> int:
    return -(-length // _core.ACCUMULATOR_BLOCK) * _core.ACCUMULATOR_BLOCK


class _Bounded:
    """One lattice in main memory."""

    device = "cpu"
    __slots__ = ("bound", "sums")

    def __init__(self, bound: float, length: int) -> None:
        self.bound = bound
        self.sums = np.full(_padded(length), _core.bounded_centre(bound))

    def copy(self) -> "_Bounded":
        twin = _Bounded(self.bound, 0)
        twin.sums = self.sums.copy()
        return twin

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return np.empty(shape)

    def add(self, words: Any, kind: str, weight: float, additions: int, threads: Any) -> None:
        _core.accumulate_bounded(self.bound, words, kind, weight, additions, self.sums, threads)

    def merge(self, other: "_Bounded", additions: int) -> None:
        _core.merge_bounded(self.bound, other.sums, additions, self.sums)

    def mean(self, total: float, out: Any, threads: Any) -> None:
        view = floats(out, "out")
        _core.mean_bounded(self.bound, self.sums, total, view.format, view.words, threads)


class _Levels:
    """Two lattices per block in main memory: counts on the upper, on the lower, and the level."""

    device = "cpu"
    __slots__ = ("sums",)

    def __init__(self, length: int) -> None:
        padded = _padded(length)
        blocks = padded // _core.ACCUMULATOR_BLOCK
        self.sums = (
            np.zeros(padded, np.uint64),
            np.zeros(padded, np.uint64),
            np.full(blocks, _core.ACCUMULATOR_LEAST_LEVEL, np.uint8),
        )

    def copy(self) -> "_Levels":
        twin = _Levels(0)
        high, low, levels = self.sums
        twin.sums = (high.copy(), low.copy(), levels.copy())
        return twin

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        return np.empty(shape)

    def add(self, words: Any, kind: str, weight: float, additions: int, threads: Any) -> None:
        _core.accumulate_levels(words, kind, weight, additions, *self.sums, threads)

    def merge(self, other: "_Levels", additions: int) -> None:
        _core.merge_levels(*other.sums, additions, *self.sums)

    def mean(self, total: float, out: Any, threads: Any) -> None:
        view = floats(out, "out")
        _core.mean_levels(*self.sums, total, view.format, view.words, threads)
