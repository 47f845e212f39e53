"""Scores of a binary classifier, in NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "auroc", "binary_scores", "brier"]


def auroc(y: NDArray[Any], score: NDArray[Any]) -> float:
    """Area under the ROC curve: the chance that a case outranks a control, ties counting half.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Targets.
    score : ndarray of float, shape (n,)
        Scores in any monotone unit.

    Returns
    -------
    float
        In [0, 1]; NaN when `y` holds one class only, for which the area is not defined.

    Raises
    ------
    ValueError
        If the shapes differ, a target is neither 0 nor 1, or a score is NaN.

    Notes
    -----
    The Mann–Whitney statistic from midranks: O(n log n) time, O(n) memory, one thread.

    References
    ----------
    Hanley and McNeil, Radiology 143(1), 1982.

    Examples
    --------
    >>> from veil.fl.metrics import auroc
    >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    positive = _check(y, score)
    cases = int(positive.sum())
    controls = len(positive) - cases
    if cases == 0 or controls == 0:
        return float("nan")
    _, level, count = np.unique(score, return_inverse=True, return_counts=True)
    # Twice the midrank is an integer, so the statistic is exact for any n that fits in memory.
    twice_midrank = 2 * np.cumsum(count) - count + 1
    twice_rank_sum = int(twice_midrank[level][positive].sum())
    return (twice_rank_sum - cases * (cases + 1)) / (2 * cases * controls)


def accuracy(y: NDArray[Any], probability: NDArray[Any]) -> float:
    """Share of rows on the right side of probability 1/2.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Targets.
    probability : ndarray of float, shape (n,)
        Predicted probability of class 1; exactly 1/2 predicts class 1.

    Returns
    -------
    float
        In [0, 1]; NaN when there are no rows.

    Raises
    ------
    ValueError
        As `auroc`.
    """
    positive = _check(y, probability)
    return float(((probability >= 0.5) == positive).mean()) if len(positive) else float("nan")


def brier(y: NDArray[Any], probability: NDArray[Any]) -> float:
    """Mean squared difference between predicted probability and target: lower is better.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Targets.
    probability : ndarray of float, shape (n,)
        Predicted probability of class 1.

    Returns
    -------
    float
        In [0, 1]; NaN when there are no rows.

    Raises
    ------
    ValueError
        As `auroc`.

    References
    ----------
    Brier, Monthly Weather Review 78(1), 1950.
    """
    positive = _check(y, probability)
    if not len(positive):
        return float("nan")
    return float(np.square(probability.astype(np.float64) - positive).mean())


def binary_scores(y: NDArray[Any], probability: NDArray[Any]) -> dict[str, float]:
    """All scores of this module by name.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Targets.
    probability : ndarray of float, shape (n,)
        Predicted probability of class 1.

    Returns
    -------
    dict of str to float
        ``auroc``, ``accuracy`` and ``brier``; NaN where a score is not defined.

    Raises
    ------
    ValueError
        As `auroc`.
    """
    return {
        "auroc": auroc(y, probability),
        "accuracy": accuracy(y, probability),
        "brier": brier(y, probability),
    }


def _check(y: NDArray[Any], score: NDArray[Any]) -> NDArray[np.bool_]:
    if y.ndim != 1 or y.shape != score.shape:
        raise ValueError(f"y, score: expected one shape (n,), got {y.shape} and {score.shape}")
    if not ((y == 0) | (y == 1)).all():
        raise ValueError("y: expected only 0 and 1")
    if np.isnan(score).any():
        raise ValueError("score: has NaN; the model diverged or its input was not imputed")
    return np.asarray(y == 1)
