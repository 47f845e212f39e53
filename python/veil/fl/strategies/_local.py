"""What every strategy's client and server part share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veil.errors import DataError
from veil.fl.records import GradientCorrection, LocalUpdate, SiteRound


def train_locally(
    work: SiteRound, correction: GradientCorrection
) -> tuple[LocalUpdate, NDArray[np.float64]]:
    """Run the task at a site; return what it yields and the model's change, in float64."""
    update = work.task.local_update(work.params, work.site, correction=correction, rng=work.rng)
    try:
        after = work.layout.flatten(update.params)
    except (DataError, TypeError) as error:
        raise DataError(f"site {work.site.id!r}: trained model: {error}") from error
    return update, np.subtract(after, work.vector, dtype=np.float64)


def moved(vector: NDArray[Any], step: NDArray[np.float64]) -> NDArray[Any]:
    """Add a step in float64 and round once to the vector's dtype."""
    after: NDArray[Any] = np.add(vector, step, dtype=np.float64).astype(vector.dtype)
    return after
