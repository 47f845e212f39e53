"""What is checked of a model before a site's data is touched: a function of public bytes alone.

A server that may choose the model could otherwise make one patient's gradient overflow and watch
whether the site answers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl.layout import Layout

__all__ = ["check_model", "largest_value"]

# Products with features up to as much stay finite, and so do sums of 2^20 of them (of 2^7 for
# types narrower than float64, whose range ends at 2^128). No trained model comes near.
_WIDE, _NARROW = 2.0**500, 2.0**60


def largest_value(layout: Layout) -> float:
    """Tell the largest magnitude that a model's value may have.

    Parameters
    ----------
    layout : Layout
        The model's layout.

    Returns
    -------
    float
        2^500 where every array is of float64, else 2^60.
    """
    return _WIDE if set(layout.dtypes) == {"float64"} else _NARROW


def check_model(layout: Layout, vector: NDArray[Any]) -> None:
    """Refuse a model with which gradients may overflow, whatever the data.

    Parameters
    ----------
    layout : Layout
        The model's layout.
    vector : ndarray of float, shape (layout.size,)
        Its values.

    Raises
    ------
    DataError
        If dtype or length are not the layout's, a value is not finite, or its magnitude exceeds
        `largest_value`.
    """
    if vector.dtype != layout.dtype or vector.shape != (layout.size,):
        raise DataError(
            f"model: expected {layout.size} values of {layout.dtype}, got shape {vector.shape} of "
            f"{vector.dtype}"
        )
    most = largest_value(layout)
    # NaN passes through both maxima and fails the comparison.
    if vector.size and not np.maximum(vector.max(), -vector.min()) <= most:
        raise DataError(
            f"model: expected finite values of at most 2^{int(np.log2(most))} in magnitude; the "
            "model diverged, or its sender wants gradients to overflow; no data was touched"
        )
