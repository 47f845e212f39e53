"""Sums of clipped gradients in which whatever one patient breaks stays with that patient.

An exception, a value that is not finite or an array of another shape must not cost the site its
answer, which would tell the server of that patient, nor the other patients their gradients, which
would move the sum by more than one clipping norm. So a batch that fails is halved until the
patients are found; each of them counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl.privacy.clipping import clipped_sum
from veil.fl.protocols import PrivateTask
from veil.fl.records import Params, SiteRound
from veil.fl.sites import Site

__all__ = ["PartialSum", "check_gradients", "isolated_sum"]


@dataclass(frozen=True, slots=True, eq=False)
class PartialSum:
    """A sum of clipped gradients, and how many patients count as zero in it.

    Parameters
    ----------
    total : ndarray of float64, shape (size,)
        The sum.
    left_out : int
        Patients that count as zero. Private: for the site's own log.
    raised : BaseException or None
        What the task raised first, if it did; it may quote values.
    """

    total: NDArray[np.float64]
    left_out: int
    raised: BaseException | None

    def __add__(self, other: PartialSum) -> PartialSum:
        """Return the sum of both."""
        return PartialSum(
            self.total + other.total, self.left_out + other.left_out, self.raised or other.raised
        )


def isolated_sum(
    task: PrivateTask,
    params: Params,
    work: SiteRound,
    rows: NDArray[np.intp],
    starts: NDArray[np.intp],
    *,
    clip: float,
) -> PartialSum:
    """Sum patients' clipped gradients; a patient whose gradient cannot be had counts as zero.

    Parameters
    ----------
    task : PrivateTask
        Whose `record_gradients` is called.
    params : dict of str to ndarray
        The model.
    work : SiteRound
        Holds the data, and the model for another copy of it after a failure.
    rows, starts : ndarray of int
        Rows of a batch, and where in them each patient's rows start.
    clip : float
        L2 norm to which each patient's gradient is clipped.

    Returns
    -------
    PartialSum
        A new array, whatever memory the task reuses.

    Notes
    -----
    A batch without failures is computed once. One failure among n patients costs about log2(n)
    further calls, n failures at most 2n: that shows in the time.
    """
    try:
        each = task.record_gradients(params, work.site.x[rows], work.site.y[rows])
        gradients = _by_patient(each, len(rows), starts, work.layout.size)
        total, left_out = clipped_sum(gradients, clip)
    except KeyboardInterrupt:  # the operator stops the site
        raise
    except BaseException as error:
        if len(starts) == 1:
            return PartialSum(np.zeros(work.layout.size), 1, error)
        middle = len(starts) // 2
        cut = starts[middle]
        halves = (rows[:cut], starts[:middle]), (rows[cut:], starts[middle:] - cut)
        # The task may have left its copy of the model changed.
        first, second = (isolated_sum(task, work.params, work, *half, clip=clip) for half in halves)
        return first + second
    return PartialSum(total, left_out, None)


def _by_patient(each: Any, rows: int, starts: NDArray[np.intp], size: int) -> NDArray[np.float64]:
    _check_shape(each, rows, size)
    gradients: NDArray[np.float64] = each.astype(np.float64, copy=False)
    if len(starts) < rows:
        with np.errstate(all="ignore"):  # what is not finite counts as zero
            gradients = np.add.reduceat(gradients, starts, axis=0)
    return gradients


def _check_shape(each: Any, rows: int, size: int) -> None:
    # No subclass: the norm of a masked array passes over entries that its sum has.
    if type(each) is not np.ndarray or each.dtype.kind != "f" or each.shape != (rows, size):
        got = type(each).__name__
        if type(each) is np.ndarray:
            got = f"{each.dtype} of shape {each.shape}"
        raise TypeError(
            f"task: record_gradients: expected an ndarray of float of shape ({rows}, {size}), got "
            f"{got}"
        )


def check_gradients(task: PrivateTask, params: Params, site: Site, *, size: int) -> None:
    """Try a task on rows of zeros: its faults show before any patient's row is used.

    Parameters
    ----------
    task : PrivateTask
        The task.
    params : dict of str to ndarray
        A model of it, made without data.
    site : Site
        Gives the shape and dtype of a row, which are public.
    size : int
        Values of the model.

    Raises
    ------
    TypeError
        If what it returns is no gradient for each row.
    DataError
        If it raises.
    """
    x = np.zeros((2, *site.x.shape[1:]), site.x.dtype)
    y = np.array([0, 1]).astype(site.y.dtype)
    try:
        each = task.record_gradients(params, x, y)
    except Exception as error:
        raise DataError(
            f"task: record_gradients of {type(task).__name__} raised {type(error).__name__} on two "
            f"rows of zeros of shape {site.x.shape[1:]}: {error}"
        ) from error
    _check_shape(each, 2, size)
