"""A site's part of record-level DP-SGD: Poisson samples of patients, sums of clipped gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from veil.random import SecureGenerator

__all__ = ["CLIP_GUARD", "chunks", "clipped_sum", "first_rows", "sample_units"]

# Rounding of norm, factor and product stays far below this, so a clipped norm is at most C.
CLIP_GUARD = 1 + 1e-4


def sample_units(
    patients: NDArray[Any] | None, n_rows: int, *, q: float, rng: SecureGenerator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw each patient with probability q, independently.

    Parameters
    ----------
    patients : ndarray of int or str, shape (n_rows,), or None
        Whose each row is; None: each row is its own patient.
    n_rows : int
        Number of rows.
    q : float
        Probability of each patient, a 64-bit compare.
    rng : SecureGenerator
        Draws the sample.

    Returns
    -------
    tuple of ndarray of int
        The rows of the patients drawn, a patient's rows side by side; and where in them each
        patient's rows start.
    """
    if patients is None:
        owner, n_units = np.arange(n_rows), n_rows
    else:
        ids, owner = np.unique(patients, return_inverse=True)
        n_units = len(ids)
    drawn = rng.bernoulli(q, n_units)
    order = np.argsort(owner, kind="stable")
    rows = order[drawn[owner[order]]]
    return rows, np.flatnonzero(np.diff(owner[rows], prepend=-1))


def chunks(
    rows: NDArray[np.intp], starts: NDArray[np.intp], *, most: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Cut rows between patients.

    Parameters
    ----------
    rows, starts : ndarray of int
        As from `sample_units`.
    most : int
        Rows in a piece; a patient who has more is a piece alone.

    Yields
    ------
    tuple of ndarray of int
        Rows of a piece, and where in it each patient's rows start.
    """
    ends = np.append(starts[1:], len(rows))
    first = 0
    while first < len(starts):
        begin = starts[first]
        last = max(first + 1, int(np.searchsorted(ends, begin + most, side="right")))
        yield rows[begin : ends[last - 1]], starts[first:last] - begin
        first = last


def first_rows(
    rows: NDArray[np.intp], starts: NDArray[np.intp], *, most: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Keep the first rows of each patient, in the order in which the site holds them.

    Which rows those are depends on nothing but the patient's own, so that a patient who comes or
    goes changes no other's.

    Parameters
    ----------
    rows, starts : ndarray of int
        As from `sample_units`.
    most : int
        Rows of a patient that are kept.

    Returns
    -------
    tuple of ndarray of int
        The same of the rows that are kept.
    """
    sizes = np.diff(np.append(starts, len(rows)))
    rank = np.arange(len(rows)) - np.repeat(starts, sizes)
    kept = np.minimum(sizes, most)
    return rows[rank < most], np.cumsum(kept) - kept


def clipped_sum(
    gradients: NDArray[np.float64], max_grad_norm: float
) -> tuple[NDArray[np.float64], int]:
    """Sum rows after scaling each to an L2 norm of at most `max_grad_norm`.

    Parameters
    ----------
    gradients : ndarray of float64, shape (n, size)
        One row per protected unit.
    max_grad_norm : float
        C.

    Returns
    -------
    ndarray of float64, shape (size,)
        Σ g·min(1, C/(‖g‖·(1+1e-4))) over the rows whose norm is finite; all others count as zero.
    int
        How many others there are.
    """
    with np.errstate(all="ignore"):  # also where the process asks NumPy to raise on underflow
        norms = np.sqrt(np.square(gradients).sum(axis=1))
        factors = np.minimum(1.0, max_grad_norm / (norms * CLIP_GUARD))
    usable = np.isfinite(norms)  # NaN, infinities, and squares that overflow
    left_out = len(norms) - int(np.count_nonzero(usable))
    if left_out:  # infinity times zero is no zero
        gradients, factors = np.where(usable[:, None], gradients, 0.0), np.where(usable, factors, 0)
    clipped: NDArray[np.float64] = np.einsum("n,nd->d", factors, gradients)
    return clipped, left_out
